"""Growth is exact: a grown player with its new layers faded out is the smaller one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.penalties import Penalties
from gen_jax.models import growing, progan
from gen_jax.nets.conv import enlarge, pool
from gen_jax.nets.progan import Critic, Equal, Generator, minibatch_deviation, pixel_norm

WIDTHS = (6, 5, 4)
SMALL = dict(latent=3, widths=WIDTHS, fade=4, group=2)
SPEC = Spec.of((16, 16, 3), 256)


def batch_of(size, n=4):
  x = np.random.default_rng(size).integers(256, size=(n, size, size, 3)).astype(np.uint8)
  return {"x": x, "mask": np.ones(n, bool)}


@pytest.fixture(scope="module")
def stages():
  """The states at the end of the first stage and the beginning of the second, and their models."""
  program = progan.build(SPEC, **SMALL)
  first, second = program.stages
  state, micro = first.model.init(jax.random.key(0), batch_of(8)), jax.tree.map
  batch = micro(lambda v: jnp.stack([v] * 2), batch_of(8))
  for step in range(3):
    state, _ = jax.jit(first.model.update)(state, batch, jax.random.key(step), step)
  fresh = second.model.init(jax.random.key(9), batch_of(16))
  return first, state, second, second.carry([state], fresh), fresh


def test_faded_out_the_grown_players_are_the_smaller_ones_bit_for_bit(stages):
  _, small, _, large, _ = stages
  z = jax.random.normal(jax.random.key(1), (5, 3))
  zero = jnp.zeros(())
  for kind in ("params", "ema"):
    a = Generator(3, 1, WIDTHS[:2]).apply({"params": small[kind]["generator"]}, z)
    b = Generator(3, 2, WIDTHS).apply({"params": large[kind]["generator"]}, z, zero)
    np.testing.assert_array_equal(b, enlarge(a))
  x = jax.random.normal(jax.random.key(2), (6, 16, 16, 3))
  a = Critic(1, WIDTHS[:2]).apply({"params": small["params"]["critic"]}, pool(x), None, 2)
  b = Critic(2, WIDTHS).apply({"params": large["params"]["critic"]}, x, zero, 2)
  np.testing.assert_array_equal(a, b)


def test_a_stage_begins_with_new_optimisers_and_an_average_that_goes_on(stages):
  _, small, second, large, fresh = stages
  assert int(small["updates"]["generator"]) == 3 == int(large["updates"]["generator"])
  for a, b in zip(jax.tree.leaves(large["opt"]), jax.tree.leaves(fresh["opt"]), strict=True):
    np.testing.assert_array_equal(a, b)
  assert float(large["mutable"]["generator"]["fade"]) == 0
  batch = jax.tree.map(lambda v: jnp.stack([v] * 2), batch_of(16))
  fades = []
  for step in range(6):
    large, metrics = jax.jit(second.model.update)(large, batch, jax.random.key(step), step)
    fades.append(float(metrics["fade"]))
  assert fades == [0, 0.25, 0.5, 0.75, 1, 1]


def test_real_images_fade_in_as_made_ones_do():
  x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  np.testing.assert_array_equal(growing.faded(x, 0.0), enlarge(pool(x)))
  np.testing.assert_array_equal(growing.faded(x, 1.0), x)
  middle = growing.faded(x, 0.25)
  np.testing.assert_allclose(middle, 0.75 * enlarge(pool(x)) + 0.25 * x, rtol=1e-6)


def test_deviation_of_a_group():
  x = np.random.default_rng(0).normal(size=(6, 2, 2, 3)).astype(np.float32)
  found = minibatch_deviation(jnp.asarray(x), 3)
  for i in range(2):  # groups are 0, 2, 4 and 1, 3, 5
    expected = x[i::2].std(axis=0).mean()
    np.testing.assert_allclose(found[i::2, ..., 3], expected, rtol=1e-5)
  np.testing.assert_array_equal(found[..., :3], x)
  mask = np.array([1, 1, 1, 1, 0, 1], bool)
  masked = minibatch_deviation(jnp.asarray(x), 3, mask)
  np.testing.assert_allclose(masked[0, ..., 3], x[[0, 2]].std(axis=0).mean(), rtol=1e-5)
  np.testing.assert_allclose(minibatch_deviation(jnp.asarray(x), 1)[..., 3], 1e-4, rtol=1e-5)


def test_pixels_have_norm_one_and_layers_keep_the_scale():
  x = jax.random.normal(jax.random.key(0), (512, 64))
  np.testing.assert_allclose((pixel_norm(7 * x) ** 2).mean(-1), 1, rtol=1e-5)
  net = Equal(256, gain=1.5)
  params = net.init(jax.random.key(1), x)
  assert abs(float(params["params"]["kernel"].std()) - 1) < 0.02
  assert abs(float(net.apply(params, x).std()) - 1.5) < 0.03


def test_without_an_equalised_rate_a_layer_is_the_same_and_learns_by_its_weights_alone():
  x = jax.random.normal(jax.random.key(0), (8, 64))
  outcomes = []
  for equalized in (True, False):
    net = Equal(16, gain=1.5, rate=0.5, equalized=equalized)
    params = net.init(jax.random.key(1), x)
    y, pull = jax.vjp(net.apply, params, x)
    grad = pull(jnp.ones_like(y))[0]["params"]
    outcomes.append((params["params"]["kernel"], y, grad))
  (w, y, grad), (own_w, own_y, own_grad) = outcomes
  scale = 0.5 * 1.5 / 8  # rate * gain / sqrt(64)
  np.testing.assert_allclose(own_y, y, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(own_w, scale * w, rtol=1e-5)
  np.testing.assert_allclose(scale * own_grad["kernel"], grad["kernel"], rtol=1e-5)
  np.testing.assert_allclose(own_grad["bias"], 8)
  np.testing.assert_allclose(grad["bias"], 0.5 * 8)


def test_without_pixel_norm_the_size_of_the_latents_counts():
  z = jax.random.normal(jax.random.key(0), (2, 4))
  for normalized in (True, False):
    net = Generator(3, 1, (4, 4), normalized=normalized)
    draw = functools.partial(net.apply, net.init(jax.random.key(1), z))
    assert np.allclose(draw(z), draw(3 * z), atol=1e-4) == normalized


def test_a_penalty_does_not_see_padding():
  program = progan.build(SPEC, **SMALL)
  model = program.stages[0].model
  batch = batch_of(8)
  state = model.init(jax.random.key(0), batch)
  mask = np.array([1, 1, 1, 0], bool)
  other = batch["x"].copy()
  other[3] = 0
  outcomes = []
  for x in (batch["x"], other):
    micro = jax.tree.map(lambda v: jnp.stack([v] * 2), {"x": x, "mask": mask})
    outcomes.append(jax.jit(model.update)(state, micro, jax.random.key(3), 0))
  for a, b in zip(*map(jax.tree.leaves, outcomes), strict=True):
    np.testing.assert_array_equal(a, b)


def test_the_loss_is_the_one_that_is_asked_for():
  how = SMALL | {"widths": (3, 3), "penalties": Penalties()}
  models = {
    loss: progan.build(Spec.of((8, 8, 3), 256), loss=loss, **how).model for loss in ("wgan", "ns")
  }
  state = models["ns"].init(jax.random.key(0), batch_of(8))
  for name, model in models.items():
    found = model.evaluate([state], batch_of(8), jax.random.split(jax.random.key(1), 4))
    real, fake = found["critic_on_real"], found["critic_on_fake"]
    for player in ("critic", "generator"):
      expected = getattr(LOSSES[name], player)(real, fake)
      np.testing.assert_allclose(found[f"{player}_loss"], expected, rtol=1e-6)


@pytest.mark.parametrize(
  ("spec", "how", "message"),
  [
    (Spec.of((8, 8, 1), 17), {}, "of 16 pixels, not 8x8: give 2 widths"),
    (Spec.of((16, 8, 3), 256), {}, "of square images"),
    (Spec.of((2,)), {}, "integer grey levels"),
    (SPEC, {"fade": 0}, "model.fade must be 1 or more"),
  ],
)
def test_refusals(spec, how, message):
  with pytest.raises(UserError, match=message):
    progan.build(spec, **(SMALL | how))
