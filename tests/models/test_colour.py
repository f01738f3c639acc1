import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import data
from gen_jax.colour import lab_to_rgb, rgb_to_lab
from gen_jax.core import Spec, UserError
from gen_jax.data import shapes
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import colour as losses
from gen_jax.models import colour
from gen_jax.models.colour import CriticNet, Decoding, Net

SPEC = Spec.of((8, 8, 3), 256)
SMALL = dict(net=Net((4, 6)), critic=CriticNet((4,), "none"))


def pictures(n=4, seed=0):
  x = jax.random.randint(jax.random.key(seed), (n, 8, 8, 3), 0, 256)
  return x.astype(jnp.uint8)


def started(**options):
  model = colour.build(SPEC, **{**SMALL, **options}).stages[0].model
  return model, model.init(jax.random.key(0), {"x": pictures()})


@pytest.mark.parametrize("given", list(colour.GIVEN))
def test_colours_and_what_is_given_make_the_picture_again(given):
  see, recombine = colour.GIVEN[given]
  rgb = jax.random.uniform(jax.random.key(1), (500, 3))
  tone, ab = see(rgb), rgb_to_lab(rgb)[:, 1:]
  np.testing.assert_allclose(recombine(tone, ab), rgb, atol=2e-3)


def test_the_largest_channel_rises_with_lightness():
  """What `with_value` searches by, over all colours."""
  lightness = jnp.linspace(0, 1, 101)[:, None]
  ab = jnp.asarray(losses.bins(), jnp.float32)
  lab = jnp.concatenate(
    [jnp.broadcast_to(100 * lightness[..., None], (101, len(ab), 1)),
     jnp.broadcast_to(ab, (101, len(ab), 2))], axis=-1,
  )  # fmt: skip
  assert float(jnp.diff(colour.value_of(lab_to_rgb(lab)), axis=0).min()) > -1e-6


@pytest.mark.parametrize("given", list(colour.GIVEN))
@pytest.mark.parametrize("learn", ["regression", "classification", "gan"])
def test_colours_of_the_picture_are_not_seen(learn, given):
  model, state = started(learn=learn, given=given)
  x = pictures()
  grey = model.observe(state, x)
  assert grey.dtype == jnp.uint8 and (grey == grey[..., :1]).all()
  np.testing.assert_array_equal(model.observe(state, grey), grey)
  see = colour.GIVEN[given][0]
  np.testing.assert_allclose(see(grey / 255), see(x / 255), atol=3e-3)
  made, again = model.transform(state, x), model.transform(state, grey)
  assert made.shape == x.shape and made.dtype == jnp.uint8
  assert np.abs(made.astype(int) - again.astype(int)).mean() < 2


def test_what_is_given_is_kept():
  """Colours that sRGB has at that lightness leave it as it is."""
  model, state = started(learn="regression")
  last = state["params"]["net"]["Dense_1"]  # of faint colours
  state["params"]["net"]["Dense_1"] = jax.tree.map(lambda p: 0.1 * p, last)
  x = pictures().clip(60, 200)
  before, after = (rgb_to_lab(v / 255.0)[..., 0] for v in (x, model.transform(state, x)))
  assert float(jnp.median(jnp.abs(before - after))) < 0.5


@pytest.mark.parametrize("error", ["l2", "l1"])
def test_regression_loses_what_its_error_says(error):
  model, state = started(learn="regression", error=error)
  x = pictures()
  state["params"]["net"] = jax.tree.map(jnp.zeros_like, state["params"]["net"])  # grey
  ab = np.asarray(rgb_to_lab(jnp.asarray(x, jnp.float32) / 255)[..., 1:]) / 110
  wanted = (ab**2).sum(-1).mean() if error == "l2" else np.abs(ab).sum(-1).mean()
  _, metrics = model.update(state, {"x": x[None]}, jax.random.key(0), jnp.int32(0))
  assert float(metrics["loss"]) == pytest.approx(wanted, rel=1e-5)
  terms = model.evaluate(state, {"x": x}, None)
  wanted = 110**2 * (ab**2).sum(-1).mean()
  assert float(terms["ab_squared_error"].mean()) == pytest.approx(wanted, rel=1e-5)


def test_a_net_that_knows_nothing_has_the_entropy_of_all_bins():
  model, state = started(sigma=0.0)
  state["params"]["net"] = jax.tree.map(jnp.zeros_like, state["params"]["net"])
  terms = model.evaluate(state, {"x": pictures()}, None)
  np.testing.assert_allclose(terms["cross_entropy"], np.log(len(losses.bins())), rtol=1e-5)
  assert terms.keys() == {"ab_squared_error", "cross_entropy"}


def test_the_prior_is_the_mean_code_of_what_was_seen_without_the_padding():
  model, state = started(uniform=0.5)
  own = lambda s: np.asarray(s["mutable"]["net"]["prior"])
  ab = lambda x: rgb_to_lab(jnp.asarray(x, jnp.float32) / 255)[..., 1:]
  code = lambda x: np.asarray(losses.soft_code(ab(x), 5.0)).mean((0, 1, 2))
  np.testing.assert_allclose(own(state), code(pictures()), atol=1e-6)
  batches = [pictures(seed=1), pictures(seed=2)]
  mask = jnp.arange(4) < 3
  for x in batches:
    batch = {"x": x[None], "mask": mask[None]}
    state, _ = model.update(state, batch, jax.random.key(0), jnp.int32(0))
  wanted = (code(batches[0][:3]) + code(batches[1][:3])) / 2
  np.testing.assert_allclose(own(state), wanted, atol=1e-6)


def test_rebalancing_weights_the_gradient_and_not_the_reported_entropy():
  plain, state = started()
  balanced, own = started(uniform=0.3)
  batch = {"x": pictures()[None]}
  _, a = plain.update(state, batch, jax.random.key(0), jnp.int32(0))
  _, b = balanced.update(own, batch, jax.random.key(0), jnp.int32(0))
  assert float(a["cross_entropy"]) == pytest.approx(float(b["cross_entropy"]), rel=1e-6)
  assert float(a["loss"]) == pytest.approx(float(a["cross_entropy"]), rel=1e-6)
  assert abs(float(b["loss"]) - float(b["cross_entropy"])) > 1e-3


def sprites(n):
  source = data.load("shapes", resolution=8, test=0.02)
  return source.spec, source.splits["train"].arrays(), source.splits["test"].take(np.arange(n))


def fitted(steps=300, **options):
  """A model of sprites of which the largest channel is seen, and sprites it has not seen."""
  spec, train, test = sprites(120)
  rate = Optimizer(learning_rate=1e-2, clip=1.0)
  how = dict(given="value", net=Net((8, 8)), optimizer=rate) | options
  program = colour.build(spec, **how)
  model = program.stages[0].model
  rows = np.random.default_rng(0).integers(len(train["x"]), size=(steps, 32))
  batch = lambda i: {k: jnp.asarray(v[rows[i]])[None] for k, v in train.items()}
  state = model.init(jax.random.key(0), jax.tree.map(lambda v: v[0], batch(0)))
  update = jax.jit(model.update)
  for i in range(steps):
    state, _ = update(state, batch(i), jax.random.key(i), jnp.int32(i))
  return program, state, test


def saturated(test):
  """The pixels [n, 8, 8] that a sprite covers wholly."""
  return test["x"].max(-1) == 255


PURE = np.asarray(rgb_to_lab(jnp.array(list(shapes.COLOURS.values()), jnp.float32) / 255))


@pytest.mark.slow
def test_squared_error_takes_the_mean_of_colours_that_cannot_be_told():
  program, state, test = fitted(learn="regression")
  made = rgb_to_lab(program.model.transform([state], jnp.asarray(test["x"])) / 255.0)[..., 1:]
  inside = np.asarray(made)[saturated(test)]
  np.testing.assert_allclose(inside.mean(0), PURE[:, 1:].mean(0), atol=6)
  assert np.linalg.norm(inside, axis=1).max() < np.linalg.norm(PURE[:, 1:], axis=1).min()


@pytest.mark.slow
def test_classes_find_that_there_are_six_and_a_low_temperature_takes_one():
  program, state, test = fitted(600, sigma=0.0)
  where = saturated(test)
  terms = program.model.evaluate([state], {k: jnp.asarray(v) for k, v in test.items()}, None)
  assert 1.6 < float(terms["cross_entropy_foreground"].mean()) < 2.1
  cold = colour.build(
    sprites(1)[0], given="value", net=Net((8, 8)), sigma=0.0, sample=Decoding(0.0)
  ).model
  made = np.asarray(rgb_to_lab(cold.transform([state], jnp.asarray(test["x"])) / 255.0))[where]
  apart = np.linalg.norm(made[:, None, 1:] - PURE[:, 1:], axis=-1).min(1)
  assert np.quantile(apart, 0.9) < 10


@pytest.mark.parametrize("spec,options,match", [
  (Spec.of((8, 8, 1), 256), {}, "RGB"),
  (Spec.of((8, 8, 3)), {}, "grey levels"),
  (SPEC, dict(net=Net((4,) * 6)), "give others"),
  (SPEC, dict(learn="gan", critic=CriticNet((4,) * 4)), "give fewer"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(spec, options, match):
  with pytest.raises(UserError, match=match):
    colour.build(spec, **{**SMALL, **options})


def test_label_images_single_out_their_pixels():
  terms = {"t": jnp.arange(8.0).reshape(2, 2, 2)}
  found = colour.over_pixels(terms, jnp.array([[[0, 1], [2, 0]], [[0, 0], [0, 0]]]))
  np.testing.assert_allclose(found["t"], [1.5, 5.5])
  np.testing.assert_allclose(found["t_foreground"], [1.5, 0])
  assert colour.over_pixels(terms, None).keys() == {"t"}
