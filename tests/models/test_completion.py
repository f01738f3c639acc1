import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec, UserError
from gen_jax.models import completion
from gen_jax.models.completion import Blending, CompleterNet, CriticNet, Holes

SPEC = Spec.of((16, 16, 3), 256)
SMALL = dict(
  holes=Holes(4, 6), completer=CompleterNet((4, 4), (2,)), critic=CriticNet((4, 4), (4,), 4, 8)
)
KEYS = jax.random.split(jax.random.key(9), 5)


def batch(n=5):
  return {"x": jax.random.randint(jax.random.key(5), (n, 16, 16, 3), 0, 256).astype(jnp.uint8)}


def begun(program, stage=0):
  return program.stages[stage].model.init(jax.random.key(0), batch())


def steps(model, state, n=3):
  stacked = jax.tree.map(lambda v: jnp.stack([v] * model.microbatches), batch())
  update = jax.jit(model.update)
  for i in range(n):
    state, _ = update(state, stacked, jax.random.key(i), jnp.int32(i))
  return state


def same(a, b):
  return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), a, b)))


@pytest.mark.parametrize("blend", [False, True])
@pytest.mark.parametrize("levels", [256, 16])
def test_what_is_known_comes_back_bit_for_bit_and_the_hole_is_filled(blend, levels):
  spec = Spec.of((16, 16, 3), levels)
  program = completion.build(spec, **SMALL, sample=Blending(blend))
  x = batch()["x"] % levels
  states = [program.stages[0].model.init(jax.random.key(0), {"x": x})]
  given = program.model.observe(states, x, KEYS)
  hole = np.asarray(given[..., 3] == 0)
  assert set(np.unique(given[..., 3])) == {0, levels - 1} and not given[hole].any()
  assert ((hole.sum((1, 2)) >= 16) & (hole.sum((1, 2)) <= 36)).all()
  np.testing.assert_array_equal(np.asarray(given[..., :3])[~hole], np.asarray(x)[~hole])
  made = np.asarray(program.model.transform(states, given, KEYS))
  assert made.dtype == np.uint8 and made.max() < levels
  np.testing.assert_array_equal(made[~hole], np.asarray(x)[~hole])
  assert (made[hole] != 0).any()


def test_a_completion_does_not_depend_on_what_is_hidden():
  """Its Jacobian with respect to hidden pixels is 0, and not with respect to the others."""
  program = completion.build(SPEC, **SMALL)
  state = begun(program)
  parts = parts_of(program)
  x = batch()["x"][:1] / 255.0
  hole = jnp.zeros((1, 16, 16), bool).at[0, 3:8, 5:10].set(True)
  slope = jax.jacrev(lambda x: parts.completed(state, x, hole)[0, 3:8, 5:10])(x)[:, :, :, 0]
  seen = np.asarray(jnp.abs(slope).max(axis=(0, 1, 2, 5)))
  assert (seen[np.asarray(hole[0])] == 0).all() and (seen[~np.asarray(hole[0])] > 0).mean() > 0.3


def parts_of(program):
  """What `transform` is made of."""
  return program.stages[0].model.transform.args[0]


def test_what_the_blended_fill_adds_is_harmonic_in_the_hole():
  plain, blended = (completion.build(SPEC, **SMALL, sample=Blending(b)) for b in (False, True))
  states, x = [begun(plain)], batch()["x"]
  given = plain.model.observe(states, x, KEYS)
  a, b = (np.asarray(p.model.transform(states, given, KEYS), int) for p in (plain, blended))
  hole = np.asarray(given[..., 3] == 0)
  assert (a[hole] != b[hole]).any()
  added = (b - a)[0]
  inner = hole[0].copy()
  for axis in (0, 1):
    for step in (1, -1):
      inner &= np.roll(hole[0], step, axis)
  mean = sum(np.roll(added, step, axis) for axis in (0, 1) for step in (1, -1)) / 4
  # But for rounding, and where it is cut off at black and white.
  inside = inner & (b[0] > 0).all(-1) & (b[0] < 255).all(-1)
  assert inside.any() and abs((added - mean)[inside]).max() <= 2


def test_each_phase_moves_its_players_and_goes_on_where_the_last_one_ended():
  program = completion.build(SPEC, **SMALL, ema=0.9)
  first, second, third = program.stages
  fresh = begun(program)
  one = steps(first.model, fresh)
  assert same(one["params"]["critic"], fresh["params"]["critic"])
  assert not same(one["params"]["generator"], fresh["params"]["generator"])
  carried = second.carry([one], begun(program, 1))
  assert same(carried, one)
  two = steps(second.model, carried)
  for part in ("params", "opt", "mutable"):
    assert same(two[part]["generator"], one[part]["generator"])
  assert same(two["ema"], one["ema"]) and same(two["updates"], one["updates"])
  assert not same(two["params"]["critic"], one["params"]["critic"])
  three = steps(third.model, third.carry([{}, two], begun(program, 2)))
  for player in ("generator", "critic"):
    assert not same(three["params"][player], two["params"][player])
  assert three["updates"]["generator"] == 6
  assert second.release == (0,) and third.release == (1,)


def test_without_an_adversary_there_is_one_phase_which_is_the_first():
  alone, whole = completion.build(SPEC, **SMALL, alpha=0.0), completion.build(SPEC, **SMALL)
  assert len(alone.stages) == 1 and len(whole.stages) == 3
  a, b = (steps(p.stages[0].model, begun(p)) for p in (alone, whole))
  assert set(a["params"]) == {"generator"}
  for x, y in zip(*map(jax.tree.leaves, (a["params"], {"generator": b["params"]["generator"]}))):
    np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)
  assert set(alone.stages[0].model.evaluate(a, batch(), KEYS)) == {"hole_error"}


def test_the_generator_descends_the_error_and_alpha_times_the_adversarial_loss():
  """By finite differences of the objective as the source writes it, over fixed holes."""
  with jax.enable_x64(True):
    x = batch()["x"]
    hole = jnp.zeros((5, 16, 16), jnp.uint8).at[:, 4:9, 2:7].set(1)
    spec = Spec.of((16, 16, 3), 256, hole=Field((16, 16), 2))
    program = completion.build(
      spec, **{**SMALL, "holes": Holes(field="hole")}, alpha=0.5, dtype="float64"
    )
    given = {"x": x, "hole": hole}
    state = program.stages[0].model.init(jax.random.key(0), given)
    parts, params, mutable = parts_of(program), state["params"], state["mutable"]
    args = mutable, given, jax.random.key(3), 0

    x = np.asarray(x, np.float64) / 255

    def objective(generator):
      known = np.asarray(1 - hole)[..., None] * x
      shown = known + np.asarray(hole)[..., None] * x.mean((0, 1, 2))
      seen = jnp.concatenate([shown, hole[..., None].astype(float)], -1)
      c = known + hole[..., None] * parts.net.apply({"params": generator}, seen)
      d = 1 / (1 + jnp.exp(-parts.judge.apply({"params": params["critic"]}, c, hole == 1)))
      error = ((c - x) ** 2).sum((1, 2, 3)) / (25 * 3)
      return (error - 0.5 * jnp.log(d)).mean()

    def loss(generator):
      with_own = {**params, "generator": generator}
      return completion.generator_loss(parts, 0.5, with_own, *args)[0].mean()

    value, slope = jax.value_and_grad(loss)(params["generator"])
    assert value == pytest.approx(float(objective(params["generator"])), rel=1e-9)
    leaves, tree = jax.tree.flatten(params["generator"])
    noise = [np.random.default_rng(i).normal(size=leaf.shape) for i, leaf in enumerate(leaves)]
    along = jax.tree.unflatten(tree, noise)
    at = lambda e: objective(jax.tree.map(lambda p, d: p + e * d, params["generator"], along))
    wanted = (at(1e-6) - at(-1e-6)) / 2e-6
    found = sum(jax.tree.leaves(jax.tree.map(lambda g, d: (g * d).sum(), slope, along)))
    assert found == pytest.approx(float(wanted), rel=1e-4)


def test_a_critic_that_says_nothing_loses_two_ln_2(monkeypatch):
  program = completion.build(SPEC, **SMALL)
  state, parts = begun(program), parts_of(program)
  monkeypatch.setattr(type(parts.judge), "apply", lambda self, params, x, hole: jnp.zeros(len(x)))
  value, _ = completion.critic_loss(
    parts, state["params"], state["mutable"], batch(), jax.random.key(0), 0
  )
  np.testing.assert_allclose(value, 2 * np.log(2), rtol=1e-6)


def test_the_critic_sees_real_pictures_and_completions_each_with_a_hole_of_its_own(monkeypatch):
  program = completion.build(SPEC, **SMALL)
  state, parts, seen = begun(program), parts_of(program), []
  record = lambda self, params, x, hole: seen.append((x, hole)) or jnp.zeros(len(x))
  monkeypatch.setattr(type(parts.judge), "apply", record)
  completion.critic_loss(parts, state["params"], state["mutable"], batch(), jax.random.key(0), 0)
  (real, elsewhere), (made, hole) = seen
  x = batch()["x"] / jnp.float32(255)
  np.testing.assert_allclose(real, x, rtol=1e-6)
  outside = ~np.asarray(hole)
  np.testing.assert_array_equal(np.asarray(made)[outside], np.asarray(real)[outside])
  assert (np.asarray(made)[~outside] != np.asarray(real)[~outside]).any()
  assert (elsewhere != hole).any(axis=(1, 2)).all()


def test_holes_that_the_data_state():
  spec = Spec.of((16, 16, 3), 256, hole=Field((16, 16), 2))
  program = completion.build(spec, **{**SMALL, "holes": Holes(field="hole")})
  hole = jax.random.bernoulli(jax.random.key(1), 0.2, (5, 16, 16)).astype(jnp.uint8)
  states, x = [begun(program)], batch()["x"]
  assert program.model.cond == ("hole",)
  given = program.model.observe(states, x, KEYS, {"hole": hole})
  np.testing.assert_array_equal(given[..., 3] == 0, hole == 1)
  assert program.model.transform(states, given, KEYS).shape == x.shape
  with pytest.raises(UserError, match="conditioned on hole"):
    program.model.observe(states, x, KEYS, None)


def test_pictures_of_any_size_and_soft_borders():
  """What is not fully opaque is hidden."""
  program = completion.build(SPEC, **SMALL)
  x = jax.random.randint(jax.random.key(0), (1, 22, 30, 3), 0, 256).astype(jnp.uint8)
  alpha = jnp.full((1, 22, 30, 1), 255, jnp.uint8).at[:, 5:9, 6:20].set(254)
  made = program.model.transform([begun(program)], jnp.concatenate([x, alpha], -1), None)
  changed = np.asarray((made != x).any(-1)[0])
  assert not changed[np.asarray(alpha[0, ..., 0]) == 255].any() and changed[5:9, 6:20].mean() > 0.9
  with pytest.raises(UserError, match="of 4 channels"):
    program.model.transform([begun(program)], x, None)


@pytest.mark.parametrize(
  "spec,options,words",
  [
    (Spec.of((16, 16, 4), 256), {}, "grey and RGB"),
    (Spec.of((8,)), {}, "images"),
    (SPEC, {"holes": Holes(6, 4)}, "at most model.holes.high"),
    (SPEC, {"holes": Holes(4, 16)}, "below the image"),
    (SPEC, {"holes": Holes(field="segmentation")}, "must be a field"),
    (SPEC, {"completer": CompleterNet(())}, "1 or more"),
    (SPEC, {"completer": CompleterNet((2,) * 6, (1,))}, "multiples of 32"),
    (SPEC, {"critic": CriticNet((2,) * 5, (2,), 2, 8)}, "multiples of 32"),
    (SPEC, {"critic": CriticNet((2,), (2,), 2, 18)}, "at most the image"),
    (SPEC, {"critic": CriticNet((2,), (2,) * 4, 2, 8)}, "multiple of 16"),
  ],
)
def test_what_is_refused(spec, options, words):
  with pytest.raises(UserError, match=words):
    completion.build(spec, **{**SMALL, **options})
