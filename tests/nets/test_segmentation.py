"""The segmentation U-Net: sizes, pooling, and what a translation does."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.segmentation import SegmentationUNet, bilinear, max_pool, transposed


def keys():
  return jax.random.split(jax.random.key(0))


@pytest.mark.parametrize("size", [(8, 8), (7, 6), (5, 9)])
def test_max_pool_is_that_of_flax(size):
  x = jax.random.normal(jax.random.key(0), (2, *size, 3))
  np.testing.assert_array_equal(max_pool(x), nn.max_pool(x, (2, 2), (2, 2)))


@pytest.mark.parametrize("up", ["bilinear", "transposed"])
def test_any_height_and_width(up):
  net = SegmentationUNet(5, (4, 8, 8), up)
  params = net.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
  for size in [(8, 8), (9, 14), (13, 7)]:
    assert net.apply(params, jnp.zeros((2, *size, 3))).shape == (2, *size, 5)


@pytest.mark.parametrize("up", ["bilinear", "transposed"])
def test_logits_move_with_the_picture_by_a_whole_stride(up):
  net = SegmentationUNet(5, (4, 8, 8), up, norm="none")
  one, two = keys()
  patch = jax.random.normal(one, (1, 8, 8, 3))
  x = jnp.zeros((1, 64, 64, 3)).at[:, 28:36, 28:36].set(patch)
  params = net.init(two, x)
  there = net.apply(params, x)
  stride = lambda n: net.apply(params, jnp.roll(x, (n, n), (1, 2)))[:, 20:44, 20:44]
  moved = lambda n: jnp.roll(there, (n, n), (1, 2))[:, 20:44, 20:44]
  np.testing.assert_allclose(stride(4), moved(4), atol=1e-5)
  assert jnp.abs(stride(1) - moved(1)).max() > 1e-3


class Up(nn.Module):
  layer: object

  @nn.compact
  def __call__(self, x):
    return self.layer(x, 3)


def test_bilinear_continues_a_ramp():
  ramp = jnp.broadcast_to(jnp.arange(8.0)[None, :, None, None], (1, 8, 8, 1))
  params = Up(bilinear).init(jax.random.key(0), ramp)
  out = Up(bilinear).apply(params, ramp)
  slope = params["params"]["Dense_0"]["kernel"][0] / 2
  inner = out[0, 1:-1]
  wanted = jnp.broadcast_to(slope, (13, 16, 3))
  np.testing.assert_allclose(inner[1:] - inner[:-1], wanted, atol=1e-5)


def test_transposed_is_the_transposed_convolution():
  one, two = keys()
  x = jax.random.normal(one, (2, 4, 5, 3))
  params = Up(transposed).init(two, x)
  kernel = params["params"]["Dense_0"]["kernel"].reshape(3, 2, 2, 3).transpose(1, 2, 0, 3)
  names = ("NHWC", "HWIO", "NHWC")
  wanted = jax.lax.conv_general_dilated(
    x, kernel[::-1, ::-1], (1, 1), ((1, 1), (1, 1)), lhs_dilation=(2, 2), dimension_numbers=names
  )
  np.testing.assert_allclose(Up(transposed).apply(params, x), wanted, atol=1e-5)
