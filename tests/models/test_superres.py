"""Super-resolution: what it starts as, colours, sizes, symmetries, stages and refusals."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import superres
from gen_jax.models.superres import SelfEnsemble
from gen_jax.nets.superres import NETS

SPEC = Spec.of((16, 16, 3), 256, classes=3)
RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, size=(4, 16, 16, 3)).astype(np.uint8)
SMALL = dict(scale=2, width=4, blocks=1)
GAME = dict(
  adversarial=0.01, colour="rgb", critic=superres.CriticNet((4, 4), (4,)),
  perceptual=superres.Perceptual("classifier", pixels=1.0, width=2, hidden=4),
)  # fmt: skip


def begun(spec=SPEC, noise=0.0, **kwargs):
  """The model and the states of its only stage, its weights moved by noise."""
  program = superres.build(spec, **{**SMALL, **kwargs})
  height, width, channels = spec.shape
  batch = {"x": X[:, :height, :width, :channels]}
  state = jax.jit(program.stages[0].model.init)(jax.random.key(1), batch)
  rng = np.random.default_rng(1)
  move = lambda leaf: leaf + noise * rng.normal(size=leaf.shape).astype(leaf.dtype)
  return program.model, [{**state, "params": jax.tree.map(move, state["params"])}]


def bicubic(x, size):
  """By Pillow, of each channel, not rounded."""
  of = lambda c: Image.fromarray(np.asarray(c, np.float32)).resize(size, Image.Resampling.BICUBIC)
  return np.stack([of(x[..., c]) for c in range(x.shape[-1])], -1)


def test_the_choice_is_the_table():
  hints = typing.get_type_hints(superres.build.__wrapped__, include_extras=True)
  assert typing.get_args(hints["net"]) == tuple(NETS)


@pytest.mark.parametrize("scale", [2, 4])
def test_what_is_given_is_the_antialiased_bicubic_rounded(scale):
  model, states = begun(scale=scale)
  small = np.asarray(model.observe(states, X, None))
  wanted = np.rint(bicubic(X[1], (16 // scale, 16 // scale))).clip(0, 255)
  assert small.dtype == np.uint8
  assert (np.abs(small[1] - wanted) <= 1).all() and (small[1] == wanted).mean() > 0.98


@pytest.mark.parametrize("colour", ["y", "rgb"])
@pytest.mark.parametrize("net", NETS)
def test_it_starts_as_the_bicubic(colour, net):
  model, states = begun(colour=colour, net=net)
  small = model.observe(states, X, None)
  large = bicubic(np.asarray(small)[2], (16, 16)).clip(0, 255)
  np.testing.assert_allclose(model.transform(states, small, None)[2], large, atol=1e-2)
  terms = model.evaluate(states, {"x": X}, None)
  np.testing.assert_allclose(terms["pixel_error"], terms["bicubic_pixel_error"], rtol=1e-5)


def test_in_y_the_chroma_is_the_bicubics_and_y_is_the_nets():
  model, states = begun(noise=0.02)
  small = RNG.integers(100, 150, size=(2, 8, 8, 3)).astype(np.uint8)
  made = np.asarray(model.transform(states, small, None), np.float64)
  large = np.stack([bicubic(x, (16, 16)) for x in small])
  assert made.min() > 0 and made.max() < 255 and np.abs(made - large).max() > 1
  # Y, Cb and Cr of ITU-R BT.601.
  matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]])
  difference = (made - large) @ matrix.T / 255
  np.testing.assert_allclose(difference[..., 1:], 0, atol=2e-2)
  grey, of_grey = begun(Spec.of((16, 16, 1), 256), noise=0.02)
  grey_small = small[..., :1]
  one = grey.transform(of_grey, grey_small, None)
  three = model.transform(states, grey_small.repeat(3, -1), None)
  np.testing.assert_allclose(three, np.repeat(one, 3, -1), atol=1e-2)


def test_sizes_that_the_scale_does_not_divide_are_cut():
  model, states = begun(scale=3, spec=Spec.of((15, 15, 3), 256))
  x = RNG.integers(0, 256, size=(1, 17, 13, 3)).astype(np.uint8)
  small = model.observe(states, x, None)
  assert small.shape == (1, 5, 4, 3)
  np.testing.assert_array_equal(small, model.observe(states, x[:, :15, :12], None))
  assert model.stride == 1 and model.transform(states, small, None).shape == (1, 15, 12, 3)


def test_the_ensemble_is_the_mean_over_the_square():
  one, states = begun(noise=0.1, colour="rgb")
  eight, _ = begun(sample=SelfEnsemble(True), colour="rgb")
  x = X[:2, :6, :8]
  single = lambda x: np.asarray(one.transform(states, x, None))
  found = np.asarray(eight.transform(states, x, None))
  turned = [(k, f) for k in range(4) for f in (False, True)]
  flip = lambda x, f: x[:, :, ::-1] if f else x
  ways = [np.rot90(flip(single(flip(np.rot90(x, k, (1, 2)), f)), f), -k, (1, 2)) for k, f in turned]
  inside = np.all([(way > 0) & (way < 255) for way in ways], axis=0)
  assert inside.mean() > 0.3
  np.testing.assert_allclose(found[inside], np.mean(ways, axis=0)[inside], atol=1e-2)
  turn = lambda x: np.rot90(x, 1, (1, 2))
  np.testing.assert_allclose(eight.transform(states, turn(x), None), turn(found), atol=1e-2)


def test_it_learns_what_the_bicubic_lacks():
  # Steep edges of rectangles.
  sides = RNG.integers(1, 8, size=(64, 4))
  i, j = np.mgrid[:16, :16]
  inside = [(i >= t) & (i < t + h + 4) & (j >= s) & (j < s + w + 4) for t, h, s, w in sides]
  x = (255 * np.array(inside)[..., None]).astype(np.uint8)
  spec = Spec.of((16, 16, 1), 256)
  how = Optimizer(learning_rate=5e-3, clip=1.0)
  model = superres.build(spec, **{**SMALL, "width": 8}, optimizer=how).stages[0].model
  state, update = model.init(jax.random.key(0), {"x": x}), jax.jit(model.update)
  for step in range(100):
    state, _ = update(state, {"x": x[None, :48]}, jax.random.key(0), jnp.int32(step))
  terms = jax.jit(model.evaluate)(state, {"x": x[48:]}, None)
  assert terms["pixel_error"].mean() < 0.7 * terms["bicubic_pixel_error"].mean()


def test_the_game_goes_on_from_the_regression_and_keeps_its_features():
  program = superres.build(SPEC, **SMALL, **GAME, ema=0.5)
  classifier, regression, last = program.stages
  batch = {"x": X, "label": jnp.arange(4) % 3}
  states = [
    jax.jit(stage.model.init)(jax.random.key(i), batch)
    for i, stage in enumerate((classifier, regression))
  ]
  one = jax.tree.map(lambda leaf: leaf[None], batch)
  states[1], _ = jax.jit(regression.model.update)(states[1], one, jax.random.key(2), jnp.int32(0))
  fresh = jax.jit(last.model.init)(jax.random.key(3), batch)
  begun = last.carry(states, fresh)
  assert jax.tree.structure(begun) == jax.tree.structure(fresh) and last.release == (0, 1)
  same = lambda a, b: jax.tree.map(np.testing.assert_array_equal, a, b)
  same(begun["params"]["generator"], states[1]["ema"]["generator"])
  assert begun["updates"]["generator"] == 1
  keys = fold_each(jax.random.key(0), jnp.arange(4))
  small = regression.model.observe(states[1], X, keys)
  before = regression.model.transform(states[1], small, keys)
  same(program.model.transform([{}, {}, begun], small, keys), before)
  two = jax.tree.map(lambda leaf: jnp.stack([leaf] * 2), batch)
  after, found = jax.jit(last.model.update)(begun, two, jax.random.key(4), jnp.int32(0))
  same(after["mutable"]["generator"]["phi"], begun["mutable"]["generator"]["phi"])
  same(begun["mutable"]["generator"]["phi"], states[0]["params"]["classifier"])
  for player in ("generator", "critic"):
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), *(
      s["params"][player] for s in (after, begun)
    ))  # fmt: skip
    assert any(jax.tree.leaves(moved)), player
  content = found["pixel_error"] + found["feature_error"]
  np.testing.assert_allclose(
    found["generator_loss"], content + 0.01 * found["adversarial"], rtol=1e-5
  )


def test_without_features_the_content_is_the_pixels():
  program = superres.build(SPEC, **SMALL, adversarial=0.5, critic=GAME["critic"], loss="l2")
  assert len(program.stages) == 2
  model = program.stages[1].model
  state = jax.jit(model.init)(jax.random.key(0), {"x": X})
  two = {"x": jnp.stack([X] * 2)}
  _, found = jax.jit(model.update)(state, two, jax.random.key(1), jnp.int32(0))
  np.testing.assert_allclose(
    found["generator_loss"], found["pixel_error"] + 0.5 * found["adversarial"], rtol=1e-5
  )


@pytest.mark.parametrize(
  "spec,kwargs,message",
  [
    (Spec.of((2,)), {}, "grey levels"),
    (Spec.of((15, 16, 1), 256), {}, "multiples of 2"),
    (Spec.of((16, 16, 4), 256), {}, "grey or RGB"),
    (Spec.of((16, 16, 1), 256), dict(colour="rgb"), "three channels"),
    (SPEC, dict(scale=5), "model.scale must be one of"),
    (SPEC, dict(net="vdsr"), "model.net must be one of"),
    (SPEC, dict(perceptual=GAME["perceptual"]), "set model.adversarial above 0"),
    (SPEC, {**GAME, "critic": superres.CriticNet(())}, "1 or more entries"),
    (SPEC, {**GAME, "critic": superres.CriticNet((2,) * 5)}, "multiples of 32"),
    (Spec.of((16, 16, 3), 256), GAME, "needs labels"),
  ],
)
def test_refusals(spec, kwargs, message):
  with pytest.raises(UserError, match=message):
    superres.build(spec, **{**SMALL, **kwargs})
