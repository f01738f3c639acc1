"""The layers of the style-based generator against what defines them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.models.stylegan import cross_over
from gen_jax.nets import conv
from gen_jax.nets.progan import Equal, blur
from gen_jax.nets.style import Mapping, Synthesis, modulated, noises


def normal(*shape, seed=0):
  return jax.random.normal(jax.random.key(seed), shape)


def test_styles_set_the_moments_and_nothing_else_is_left_of_them():
  x, style = normal(3, 8, 8, 5), normal(3, 10, seed=1)
  y = modulated(x, style)
  np.testing.assert_allclose(y.mean((1, 2)), style[:, 5:], atol=1e-5)
  np.testing.assert_allclose(y.std((1, 2)), abs(1 + style[:, :5]), rtol=1e-4, atol=1e-5)
  scale, shift = jnp.exp(normal(3, 1, 1, 5, seed=2)), normal(3, 1, 1, 5, seed=3)
  np.testing.assert_allclose(modulated(scale * x + shift, style), y, atol=2e-5)


def test_a_rate_scales_what_a_step_of_adam_moves_and_not_what_is_computed():
  x, moved = normal(4096, 64), {}
  for rate in (1.0, 0.01):
    layer = Equal(32, rate=rate)
    params = layer.init(jax.random.key(1), x)
    assert float(layer.apply(params, x).std()) == pytest.approx(np.sqrt(2), rel=0.05)
    total = lambda p, layer=layer: (layer.apply(p, jnp.eye(64)) @ normal(32, seed=5)).sum()
    gradient = jax.grad(total)(params)
    updates, _ = (tx := optax.adam(1e-3)).update(gradient, tx.init(params))
    now = layer.apply(optax.apply_updates(params, updates), jnp.zeros((1, 64)))
    effective = rate * updates["params"]["kernel"] * np.sqrt(2 / 64)
    moved[rate] = abs(now).max(), abs(effective).max()
  for slow, fast in zip(moved[0.01], moved[1.0], strict=True):
    assert float(slow / fast) == pytest.approx(0.01, rel=1e-3)
  assert float(moved[0.01][0]) == pytest.approx(1e-5, rel=1e-3)  # of the bias


def test_eight_layers_of_the_mapping_keep_the_scale_of_any_latent():
  net, z = Mapping(8, 256), normal(64, 32)
  params = net.init(jax.random.key(1), z)
  w = net.apply(params, z)
  assert 0.5 < float((w**2).mean()) < 1.5
  np.testing.assert_allclose(net.apply(params, 9 * z), w, rtol=1e-3, atol=1e-4)


def test_a_blur_keeps_constants_and_spreads_a_point():
  np.testing.assert_allclose(blur(jnp.full((1, 6, 6, 2), 3.0))[:, 1:-1, 1:-1], 3)
  point = jnp.zeros((1, 5, 5, 1)).at[0, 2, 2, 0].set(1.0)
  row = np.array([0, 1, 2, 1, 0]) / 4
  np.testing.assert_allclose(blur(point)[0, ..., 0], np.outer(row, row))


def test_convolutions_that_resample_are_those_of_the_whole():
  x, kernel = normal(2, 6, 4, 3), normal(27, 5, seed=1)
  for image, plain, folded in (
    (x, lambda x: conv.convolve(conv.enlarge(x), kernel), conv.convolve_enlarged),
    (x, lambda x: conv.pool(conv.convolve(x, kernel)), conv.convolve_pooled),
  ):
    np.testing.assert_allclose(folded(image, kernel), plain(image), rtol=1e-4, atol=1e-5)
  names = ("NHWC", "HWIO", "NHWC")
  same = jax.lax.conv_general_dilated(
    x, kernel.reshape(3, 3, 3, 5), (1, 1), "SAME", dimension_numbers=names
  )
  np.testing.assert_allclose(conv.convolve(x, kernel), same, rtol=1e-4, atol=1e-5)


def test_before_the_cut_no_layer_knows_of_the_other_style():
  net, w = Synthesis(3, 1, (4, 3)), normal(2, 1, 6)
  params = net.init(jax.random.key(1), jnp.zeros((1, 4, 6)))
  own, other = (jnp.repeat(v[None], 4, axis=1) for v in w)
  noise = noises(jax.random.split(jax.random.key(2), 1), 1, jnp.float32)

  def layers(other, cut):
    y, kept = net.apply(
      params, cross_over(own, other, jnp.array([cut])), noise, capture_intermediates=True
    )
    each = [kept["intermediates"][f"level{l}{i}"]["__call__"][0] for l in (0, 1) for i in "ab"]
    return [*each, y]

  for cut in (1, 3):
    y, pull = jax.vjp(lambda v, cut=cut: layers(v, cut), other)
    # Of one layer at a time.
    weights = [[(i == j) * normal(*v.shape) for j, v in enumerate(y)] for i in range(len(y))]
    slopes = [pull(one)[0] for one in weights]
    assert [bool((s != 0).any()) for s in slopes] == [i >= cut for i in range(4)] + [True]
  for a, b in zip(layers(other, 4), layers(own, 4), strict=True):
    np.testing.assert_array_equal(a, b)


def test_faded_out_the_grown_generator_is_the_smaller_one_bit_for_bit():
  z, keys = normal(3, 6), jax.random.split(jax.random.key(2), 3)
  large, small = Synthesis(3, 2, (4, 3, 2)), Synthesis(3, 1, (4, 3))
  w, noise = jnp.repeat(z[:, None], 6, axis=1), noises(keys, 2, jnp.float32)
  params = jax.jit(large.init)(jax.random.key(1), w, noise, jnp.zeros(()))["params"]
  known = jax.eval_shape(small.init, jax.random.key(1), w[:, :4])["params"]
  own = {name: params[name] for name in known}
  a = jax.jit(small.apply)({"params": own}, w[:, :4], noise[:4])
  b = jax.jit(large.apply)({"params": params}, w, noise, jnp.zeros(()))
  np.testing.assert_array_equal(b, conv.enlarge(a))
