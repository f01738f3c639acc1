"""StackGAN: what is frozen stays, texts that are right by accident do not count, captions draw."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError, fold_each
from gen_jax.data import shapes
from gen_jax.losses.penalties import Penalties
from gen_jax.models import stackgan
from gen_jax.models.painters import GeneratorNet, first_painter
from gen_jax.models.pairs import Encoders, wrong_captions
from gen_jax.models.stackgan import CriticNet, Sampler
from gen_jax.models.whitening import zca
from gen_jax.nets import gan
from gen_jax.nets.stackgan import Augmentation, Refiner, Sentence
from gen_jax.run.conditions import conditions, parse_given

SMALL = dict(
  latent=3, condition=2, ema=0.5,
  encoders=Encoders(embedding=4, widths=(4,), hidden=(), text=4, heads=2),
  generator=GeneratorNet(hidden=(), first=(4,), second=(4,), blocks=1),
  critic=CriticNet(first=(4,), second=(4,), hidden=()),
)  # fmt: skip
CAPTION = Field((shapes.CAPTION_LENGTH,), len(shapes.VOCABULARY), shapes.VOCABULARY.words)
SPEC = Spec.of((8, 8, 3), 256, caption=CAPTION)


def batch_of(size, n=4, microbatches=0):
  drawn = shapes.render(np.arange(n) * 5003 % shapes.SIZE, size)
  batch = {name: jnp.asarray(drawn[name]) for name in ("x", "caption")}
  return jax.tree.map(lambda v: jnp.stack([v] * microbatches), batch) if microbatches else batch


def quick(function):
  """Compiled in little time, for what runs once."""
  return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def trained():
  """The program, its states after a step of the last stage, and the last as it began."""
  program, states = stackgan.build(SPEC, **SMALL), []
  for i, (stage, size) in enumerate(zip(program.stages, (8, 4, 8), strict=True)):
    state = quick(stage.model.init)(jax.random.key(i), batch_of(size))
    state = state if stage.carry is None else stage.carry(states, state)
    # An average of its own.
    states.append({**state, "ema": jax.tree.map(lambda v: v + 0.01, state["ema"])})
  model = program.stages[-1].model
  batch = batch_of(8, microbatches=model.microbatches)
  after, _ = quick(model.update)(states[-1], batch, jax.random.key(0), 0)
  return program, [*states[:-1], after], states[-1]


def test_later_stages_keep_what_earlier_ones_learnt_bit_for_bit(trained):
  _, (encoders, low, high), begun = trained
  kept = high["mutable"]["generator"]
  for a, b in ((kept["pairs"], encoders["params"]["encoders"]), (kept["first"], low["ema"])):
    b = b.get("generator", b)
    jax.tree.map(np.testing.assert_array_equal, a, b)
  # While the players that go on from there move.
  for player in ("generator", "critic"):
    both = high["params"][player], begun["params"][player]
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), *both))
    assert any(moved), player


@pytest.fixture(scope="module")
def task():
  """Stage I's losses with a table in the encoders' place, the parameters, and what is frozen."""
  painter = first_painter((4, 4, 3), 4, 3, 2, SMALL["generator"], "float32")
  net = gan.Critic((4,), projection=True)
  made = stackgan.Task(
    painter, net, lambda x: x / 127.5 - 1, lambda table, captions: table[captions[:, 3]],
    {}, wrong_captions, Penalties(r1=1.0), 0.1, jnp.float32,
  )  # fmt: skip
  x, table = jnp.zeros((1, 4, 4, 3)), jax.random.normal(jax.random.key(1), (30, 4))
  params = {
    "generator": painter.init(jax.random.key(2)),
    "critic": net.init(jax.random.key(3), x, table[:1])["params"],
  }
  return made, params, {"generator": table, "critic": {}}


def test_white_captions_are_those_of_the_moments_that_the_encoders_came_to():
  program = stackgan.build(SPEC, **SMALL, whiten=True)
  encoders, _, high = (stage.model for stage in program.stages)
  state = quick(encoders.init)(jax.random.key(0), batch_of(8))
  state, _ = quick(encoders.update)(state, batch_of(8, microbatches=1), jax.random.key(1), 0)
  by = zca(state["mutable"]["encoders"])
  states = [state]
  for stage, size in zip(program.stages[1:], (4, 8), strict=True):
    fresh = quick(stage.model.init)(jax.random.key(2), batch_of(size))
    np.testing.assert_array_equal(fresh["mutable"]["generator"]["white"]["matrix"], np.eye(4))
    states.append(stage.carry(states, fresh))
    jax.tree.map(np.testing.assert_array_equal, states[-1]["mutable"]["generator"]["white"], by)
  # And they count: the same but for them draws something else.
  plain = states[-1] | {"mutable": fresh["mutable"]}
  plain["mutable"]["generator"] |= {
    name: leaf for name, leaf in states[-1]["mutable"]["generator"].items() if name != "white"
  }
  keys = jax.random.split(jax.random.key(3), 4)
  a, b = (high.evaluate(state, batch_of(8), keys) for state in (states[-1], plain))
  assert (a["condition_kl"] != b["condition_kl"]).all()


def test_what_makes_conditions_learns_from_the_generator_s_loss_alone(task):
  made, params, mutable = task

  def slopes(loss):
    def value(own):
      key = jax.random.key(0)
      return loss(made, {**params, "generator": own}, mutable, batch_of(4), key, 0)[0].sum()

    return jax.tree.leaves(quick(jax.grad(value))(params["generator"]))

  assert not any(slope.any() for slope in slopes(stackgan.critic_loss))
  assert all(slope.any() for slope in slopes(stackgan.generator_loss))


def test_equal_captions_leave_no_loss_of_wrong_pairs(task):
  made, params, mutable = task
  log = jax.nn.log_sigmoid
  loss = quick(
    lambda batch: stackgan.critic_loss(made, params, mutable, batch, jax.random.key(0), 0)
  )
  for equal in (True, False):
    batch = batch_of(4)
    if equal:
      batch["caption"] = jnp.tile(batch["caption"][:1], (4, 1))
    value, (_, terms) = loss(batch)
    rest = -log(terms["critic_on_real"]) - log(-terms["critic_on_fake"]) / 2
    of_wrong = value - rest - terms["penalty_r1"]
    texts = mutable["generator"][jnp.roll(batch["caption"][:, 3], 1)]
    wrong = made.critic.apply({"params": params["critic"]}, made.scaled(batch["x"]), texts)
    np.testing.assert_allclose(of_wrong, 0 if equal else -log(-wrong) / 2, atol=1e-5)
    np.testing.assert_allclose(terms["critic_on_wrong"], 0 if equal else wrong.mean(), atol=1e-5)


def test_wrong_captions_are_never_right_by_accident():
  captions = jnp.array([[1, 2], [3, 4], [3, 4], [1, 2]])
  wrong, mismatched = wrong_captions(jax.random.key(0), captions)
  np.testing.assert_array_equal(wrong, captions[jnp.array([3, 0, 1, 2])])
  assert mismatched.tolist() == [False, True, False, True]
  for word in (False, True):
    assert not wrong_captions(jax.random.key(1), jnp.ones((5, 3)), word=word)[1].any()
    # Nor those of padding, which say nothing.
    mask = jnp.array([1, 1, 1, 0], bool)
    found = wrong_captions(jax.random.key(2), jnp.arange(8).reshape(4, 2), mask, word)[1]
    assert found.tolist() == [False, True, True, True]


def test_one_word_of_a_wrong_caption_is_another_s():
  """Each of those that differ as often as the others."""
  captions = jnp.array([[7, 1, 2, 3], [7, 4, 5, 3], [6, 4, 5, 3]])
  draw = quick(jax.vmap(lambda key: wrong_captions(key, captions, word=True)))
  wrong, mismatched = draw(jax.random.split(jax.random.key(0), 3000))
  assert mismatched.all()
  changed = np.asarray(wrong != captions)
  assert (changed.sum(-1) == 1).all()
  others = np.broadcast_to(np.roll(captions, 1, axis=0), wrong.shape)
  np.testing.assert_array_equal(wrong[changed], others[changed])
  among = np.array([[1 / 3, 1 / 3, 1 / 3, 0], [0, 1 / 2, 1 / 2, 0], [1, 0, 0, 0]])
  np.testing.assert_allclose(changed.mean(0), among, atol=0.05)


def test_conditions_are_drawn_around_their_mean():
  net = Augmentation(2)
  text = jnp.array([[0.3, -1.0, 2.0]])
  params = net.init(jax.random.key(0), text, jnp.zeros((1, 2)))["params"]
  eps = jax.random.normal(jax.random.key(1), (20_000, 2))
  plain = lambda params, eps: net.apply({"params": params}, jnp.tile(text, (len(eps), 1)), eps)
  apply = quick(plain)
  c, mean, log_var = apply(params, eps)
  np.testing.assert_allclose(c.mean(0), mean[0], atol=0.05)
  np.testing.assert_allclose(jnp.log(c.var(0)), log_var[0], atol=0.05)
  dense = params["Dense_0"]
  moved = lambda shift: {"Dense_0": {**dense, "bias": dense["bias"].at[:2].add(shift)}}
  jacobian = jax.jacobian(lambda shift: plain(moved(shift), eps[:1])[0][0])(jnp.zeros(2))
  np.testing.assert_allclose(jacobian, np.eye(2), atol=1e-6)
  still = {"Dense_0": {**dense, "bias": dense["bias"].at[2:].set(-200)}}
  c, mean, _ = apply(still, eps)
  np.testing.assert_array_equal(c, mean)


def test_a_sentence_ends_where_its_words_end():
  net = Sentence(9, 6, 4, width=8, heads=2)
  captions = jnp.array([[1, 4, 5, 2, 0, 0]])
  params = quick(net.init)(jax.random.key(0), captions)["params"]
  apply = quick(lambda params, captions: net.apply({"params": params}, captions))
  text = apply(params, captions)
  np.testing.assert_allclose((text**2).sum(-1), 1, rtol=1e-5)
  # Neither the word for padding nor the places where it stands are heard.
  heard = params["TextEncoder_0"]
  noisy = {
    **heard,
    "Embed_0": {"embedding": heard["Embed_0"]["embedding"].at[0].add(3.0)},
    "position": heard["position"].at[4:].add(3.0),
  }
  other = apply({**params, "TextEncoder_0": noisy}, captions)
  np.testing.assert_allclose(other, text, rtol=1e-5)
  longer = apply(params, captions.at[0, 4].set(7))
  assert jnp.abs(longer - text).max() > 1e-3


def test_stage_two_begins_as_the_bicubic_of_stage_one():
  net = Refiner((4, 4), blocks=1)
  x, c = jax.random.normal(jax.random.key(0), (2, 4, 4, 3)), jnp.ones((2, 3))
  params = quick(net.init)(jax.random.key(1), x, c)
  bicubic = jax.image.resize(x, (2, 8, 8, 3), "cubic")
  np.testing.assert_allclose(quick(net.apply)(params, x, c), bicubic, atol=1e-6)
  source = Refiner((4, 4), blocks=1, skip=False)
  y = quick(lambda key: source.apply(source.init(key, x, c), x, c))(jax.random.key(1))
  assert y.shape == (2, 8, 8, 3) and jnp.abs(y).max() < 1


def test_captions_draw_pictures_of_either_stage(trained):
  program, states, _ = trained
  model = program.model
  keys = fold_each(jax.random.key(3), jnp.arange(3))

  sample = quick(model.sample)

  def drawn(text):
    given = parse_given(model, SPEC, {"caption": text})
    return np.asarray(sample(states, keys, conditions(model, SPEC, 3, given=given)))

  small = drawn("a small red square at the top left")
  assert small.shape == (3, 8, 8, 3) and small.dtype == np.uint8
  np.testing.assert_array_equal(drawn("A small RED square at the top left"), small)
  assert (drawn("a large blue heart at the bottom right") != small).any((1, 2, 3)).all()
  # Stage I's own, of the same randomness, enlarged.
  other = stackgan.build(SPEC, **SMALL, sample=Sampler(stage=1)).model
  cond = {"caption": batch_of(4, 3)["caption"]}
  code = model.prior(states, keys, cond)
  low = quick(program.stages[1].model.decode)(states[1], code[:, :5], cond)
  enlarged = jax.image.resize(low, (3, 8, 8, 3), "cubic")
  np.testing.assert_allclose(
    quick(other.decode)(states, code, cond), enlarged, rtol=1e-4, atol=1e-2
  )
  with pytest.raises(UserError, match="no word 'pink'"):
    drawn("a pink square")


def test_embeddings_are_those_that_the_first_stage_learnt(trained):
  program, states, _ = trained
  batch = batch_of(8)
  first = program.stages[0].model
  found = quick(program.model.embed)(states, batch["x"], None, batch)
  learnt = quick(first.embed)(states[0], batch["x"], None, batch)
  jax.tree.map(np.testing.assert_array_equal, found, learnt)
  own = (found[0] * found[1]).sum(-1)
  similarity = quick(first.evaluate)(states[0], batch, None)["similarity"]
  np.testing.assert_allclose(similarity, own, rtol=1e-5)


@pytest.mark.parametrize(
  ("spec", "how", "message"),
  [
    (Spec.of((8, 8, 3), 256), {}, "needs captions"),
    (Spec.of((8, 4, 3), 256, caption=CAPTION), {}, "square images, not 8x4"),
    (Spec.of((2,), caption=CAPTION), {}, "integer grey levels"),
    (SPEC, {"critic": CriticNet(first=(4, 4, 4), second=(4,))}, "critic.first=.* 4 times"),
    (SPEC, {"generator": GeneratorNet(first=(), second=(4,))}, "generator.first must have 1"),
    (SPEC, {"encoders": dataclasses.replace(SMALL["encoders"], heads=3)}, "must divide its text=4"),
  ],
)
def test_refusals(spec, how, message):
  with pytest.raises(UserError, match=message):
    stackgan.build(spec, **(SMALL | how))
