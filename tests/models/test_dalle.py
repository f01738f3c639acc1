"""Words and codes in one sequence: what sees what, that it is a probability, how it is drawn."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError, fold_all, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import dalle
from gen_jax.models.autoregressive import Steps, drawer, drawn, steps_of
from gen_jax.models.dalle import Joint, Sampler, best_of, guided, joint_model
from gen_jax.models.discrete import FirstStage
from gen_jax.models.pairs import Encoders
from gen_jax.models.vqvae import Transformer
from gen_jax.nets.dalle import TextTransformer
from gen_jax.nets.transformer import Transformer as Plain

P, V, T, K = 3, 4, 2, 3
SIZES = dict(width=8, layers=1, heads=2, classes=V + 1)
NET = TextTransformer(K, T, **SIZES, dtype=jnp.float64, words=V, prefix=P)
CODES = Spec.of((1, T, 1), K)
WORDS = np.array([*itertools.product((2,), (1, 2, 3), (1, 2, 3))])  # the first is given
EVERY = [np.repeat(WORDS, K**T, 0), np.tile([*itertools.product(range(K), repeat=T)], (9, 1))]


def random(tree, scale=0.5):
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda p: jnp.asarray(rng.normal(0, scale, p.shape), p.dtype), tree)


def variables(net, *inputs, scale=0.5):
  return {"params": random(jax.eval_shape(net.init, jax.random.key(0), *inputs)["params"], scale)}


def inputs():
  caption, x = (jnp.asarray(each) for each in EVERY)
  return x, caption


def model_of(weight=7.0, dropout=0.0, sample=Sampler()):
  return joint_model(
    Joint(NET, "transformer", dropout, weight), CODES, Optimizer("sgd", 1.0, b1=0.0), 0.0, sample
  )


@pytest.fixture(scope="module")
def wide():
  with jax.enable_x64(True):
    yield


@pytest.fixture(scope="module")
def params(wide):
  x, caption = inputs()
  return variables(NET, x[:1], caption[:1], scale=0.4)


def batch(**changes):
  x, caption = inputs()
  n = len(x)
  return {
    "x": x.reshape(n, 1, T, 1), "caption": caption, "mask": jnp.ones(n, bool),
    "last": jnp.ones(n, bool), "index": jnp.arange(n), **changes,
  }  # fmt: skip


def keys(n, seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(n))


def test_probabilities_of_all_captions_with_all_codes_sum_to_one(params):
  model = model_of()
  state = {"params": {"transformer": params["params"]}, "ema": {}}
  terms = jax.jit(model.evaluate)(state, batch(), None)
  text, codes = (np.asarray(terms[n]) for n in ("nats_per_caption", "nats_per_code"))
  np.testing.assert_allclose(np.exp(-text - T * codes).sum(), 1, rtol=1e-10)
  of_codes = np.exp(-T * codes).reshape(9, 9)
  np.testing.assert_allclose(of_codes.sum(1), 1, rtol=1e-10)
  assert np.ptp(of_codes, axis=0).max() > 0.01  # the codes depend on the caption
  np.testing.assert_allclose(terms["nats_per_word"], text / 2, rtol=1e-10)


def test_a_position_sees_what_is_before_it_and_words_see_no_codes(params):
  apply = jax.jit(lambda x, caption: NET.apply(params, x, caption))
  x, caption = (each[:1] for each in inputs())
  words, codes = apply(x, caption)
  differs = lambda a, b: np.abs(np.exp(a) - np.exp(b)).max(-1)[0] > 1e-6
  for j in range(T):
    other_words, other_codes = apply(x.at[0, j].add(1), caption)
    assert not differs(other_words, words).any()
    np.testing.assert_array_equal(differs(other_codes, codes), np.arange(T) > j)
  for i in range(P):
    other_words, other_codes = apply(x, caption.at[0, i].add(1))
    np.testing.assert_array_equal(differs(other_words, words), np.arange(P - 1) >= i)
    assert differs(other_codes, codes).all()


def test_a_caption_of_one_word_is_a_label_bit_for_bit():
  sizes = dict(width=8, layers=2, heads=2, classes=5)
  net, plain = TextTransformer(K, 6, **sizes, words=4, prefix=1), Plain(K, 6, **sizes)
  x, caption = jnp.arange(12).reshape(2, 6) % K, jnp.array([[3], [1]])
  bound = variables(net, x, caption)
  words, codes = jax.jit(net.apply)(bound, x, caption)
  np.testing.assert_array_equal(codes, jax.jit(plain.apply)(bound, x, caption[:, 0]))
  assert words.shape == (2, 0, 4)


def steps():
  """Those of the net, whose captions are read before."""
  begin = lambda variables, n, caption: NET.apply(variables, caption, method="begin")
  return Steps(begin, *steps_of(NET)[1:])


def test_samples_are_those_of_a_whole_pass_for_each_position(params):
  caption = jnp.asarray(np.tile(WORDS, (3, 1)))
  n = len(caption)
  whole = jax.jit(lambda x: NET.apply(params, x, caption)[1])
  for options in (Sampler(), Sampler(temperature=0.7, top_k=2)):
    got = jax.jit(drawer(steps(), T, options, rooms=(1, T)))(params, keys(n), caption)
    x = jnp.zeros((n, T), jnp.int32)
    for i in range(T):
      x = x.at[:, i].set(drawn(keys(n), i, whole(x)[:, i], options))
    np.testing.assert_array_equal(got, x)
    assert len(np.unique(x, axis=0)) > 3


def test_guidance_of_one_is_none_of_zero_forgets_the_caption_and_above_follows_it_more(params):
  n = 2000
  caption = jnp.tile(jnp.asarray(WORDS[4:5]), (n, 1))
  draws = lambda steps, caption: jax.jit(drawer(steps, T, Sampler()))(params, keys(n), caption)
  plain, nothing = draws(steps(), caption), jnp.full_like(caption, V)
  np.testing.assert_array_equal(draws(guided(steps(), 1.0, V), caption), plain)
  untold = draws(steps(), nothing)
  np.testing.assert_array_equal(draws(guided(steps(), 0.0, V), caption), untold)
  assert (plain != untold).any()
  first = lambda caption: np.asarray(NET.apply(params, plain[:1], caption[:1])[1][0, 0])
  logits = first(nothing) + 3 * (first(caption) - first(nothing))
  p = np.exp(logits) / np.exp(logits).sum()
  share = np.bincount(draws(guided(steps(), 3.0, V), caption)[:, 0], minlength=K) / n
  assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-12).all()


def test_the_gradient_weighs_words_and_codes_as_one_to_w(params):
  own, given = params["params"], jax.tree.map(lambda leaf: leaf[None], batch())
  plain = model_of()

  def mean(own, term):
    return plain.evaluate({"params": {"transformer": own}, "ema": {}}, batch(), None)[term].mean()

  def moved(own, w):
    """By a step of gradient descent of length 1, from nothing before."""
    model = model_of(weight=w)
    opt = jax.eval_shape(lambda key: model.init(key, batch())["opt"], jax.random.key(0))
    opt = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), opt)
    state = {"params": {"transformer": own}, "mutable": {"transformer": {}}, "opt": opt}
    state |= {"ema": {}, "updates": {}}
    after, _ = model.update(state, given, jax.random.key(1), jnp.int32(0))
    return jax.tree.map(jnp.subtract, own, after["params"]["transformer"])

  separately = jax.jit(
    lambda own: [jax.grad(mean)(own, term) for term in ("nats_per_word", "nats_per_code")]
  )
  text, codes = separately(own)
  together = jax.jit(moved)
  for w in (7.0, 0.5):
    want = jax.tree.map(lambda a, b, w=w: (a + w * b) / (1 + w), text, codes)
    near = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-10)
    jax.tree.map(near, together(own, w), want)


def test_the_best_of_some_candidates():
  draw = lambda keys: jax.vmap(lambda key: jax.random.normal(key, (2, 2)))(keys)
  own, k = keys(5), 4
  every = jnp.stack([draw(fold_all(own, j)) for j in range(k)])
  first = best_of(k, own, draw, lambda x: jnp.zeros(len(x)))
  np.testing.assert_array_equal(first, every[0])
  best = best_of(k, own, draw, lambda x: -(x**2).sum((1, 2)))
  chosen = (np.asarray(every) ** 2).sum((2, 3)).argmin(0)
  np.testing.assert_array_equal(best, np.asarray(every)[chosen, np.arange(5)])
  assert len(set(chosen)) > 1


SPEC = Spec.of((4, 4, 1), 17, caption=Field((P,), V, ("<pad>", "<bos>", "<eos>", "red")))
SMALL = dict(
  vqvae=FirstStage(factor=2, codes=K, dim=2, width=4, blocks=0, residual=2),
  transformer=Transformer(width=8, layers=1, heads=2, ema=0.0, dropout=0.0),
  encoders=Encoders(4, (4,), (), 4, 1, 2),
)


@pytest.fixture(scope="module")
def system():
  """The program before any training, and a batch, one caption of which is padded."""
  rng = np.random.default_rng(1)
  x = jnp.asarray(rng.integers(0, 17, (3, 4, 4, 1)), jnp.uint8)
  caption = jnp.array([[1, 3, 2], [1, 2, 0], [1, 3, 2]])
  given = {**batch(), "x": x, "caption": caption}
  given |= {name: given[name][:3] for name in ("mask", "last", "index")}
  states, stages = [], dalle.build(SPEC, **SMALL).stages
  for stage in stages:
    seen = stage.view(states, given) if stage.view else given
    states.append(jax.jit(stage.model.init)(jax.random.key(0), seen))
  return states, given


def test_before_training_words_and_codes_are_uniform_and_padding_costs_nothing(system):
  states, given = system
  terms = jax.jit(dalle.build(SPEC, **SMALL).model.evaluate)(states, given, keys(3))
  np.testing.assert_allclose(terms["nats_per_code"], np.log(K), rtol=1e-5)
  np.testing.assert_allclose(terms["nats_per_word"], np.log(V - 1), rtol=1e-5)
  np.testing.assert_allclose(terms["nats_per_caption"], np.log(V - 1) * np.array([2, 1, 2]), 1e-5)
  assert {"reconstruction_mse", "similarity"} <= terms.keys()


def test_of_some_candidates_a_sample_is_the_most_like_its_caption(system):
  states, given = system
  cond = {"caption": given["caption"]}
  plain, four = (dalle.build(SPEC, **SMALL, sample=Sampler(candidates=k)).model for k in (1, 4))
  x = jax.jit(four.sample)(states, keys(3), cond)

  @jax.jit
  def candidate(keys):
    x = plain.sample(states, keys, cond)
    u, v = plain.embed(states, x, None, cond)
    return x, (u * v).sum(-1)

  every, likeness = zip(*(candidate(fold_all(keys(3), j)) for j in range(4)))
  chosen = np.argmax(likeness, axis=0)
  np.testing.assert_array_equal(x, np.asarray(every)[chosen, np.arange(3)])
  assert x.shape == (3, 4, 4, 1) and x.dtype == jnp.uint8
  assert jax.eval_shape(plain.sample, states, keys(3)).shape == x.shape  # without a caption
  with pytest.raises(UserError, match="conditioned on caption"):
    four.sample(states, keys(3))


@pytest.mark.parametrize("change,message", [
  (dict(spec=Spec.of((4, 4, 1), 17)), "needs captions"),
  (dict(sample=Sampler(candidates=2), clip=False), "sample.candidates"),
  (dict(sample=Sampler(guidance=2.0), caption_dropout=0.0), "sample.guidance=2.0 needs"),
  (dict(sample=Sampler(top_k=K + 1)), "sample.top_k"),
  (dict(sample=Sampler(candidates=0)), "sample.candidates must be 1 or more"),
  (dict(transformer=Transformer(width=8, heads=3)), "model.transformer.heads=3 must divide"),
  (dict(vqvae=FirstStage(factor=3)), "power of 2"),
])  # fmt: skip
def test_refusals(change, message):
  with pytest.raises(UserError, match=message):
    dalle.build(**{"spec": SPEC, **SMALL, **change})
