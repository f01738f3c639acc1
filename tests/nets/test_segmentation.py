"""The networks of segmentation: sizes, pooling, reach, and what a translation does."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.segmentation import (
  FCN,
  SegmentationUNet,
  bilinear,
  enlarged,
  max_pool,
  reach,
  transposed,
)


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


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_enlargement_is_the_bilinear_kernel_of_fcns(factor):
  """k[a] = 1 - |a - (s - 1/2)| / s, a = 0, ..., 2 s - 1 (Long et al. 2015, code)."""
  impulse = jnp.zeros((1, 7, 7, 1)).at[0, 3, 3, 0].set(1)
  tap = 1 - np.abs(np.arange(2 * factor) - (factor - 0.5)) / factor
  wanted = np.zeros((7 * factor, 7 * factor))
  first = 3 * factor - factor // 2
  wanted[first : first + 2 * factor, first : first + 2 * factor] = np.outer(tap, tap)
  np.testing.assert_allclose(enlarged(impulse, factor)[0, ..., 0], wanted, atol=1e-6)


def fcn(every, norm="none"):
  return FCN(5, (4, 6, 8, 8), every, norm)


def test_an_fcn_starts_as_the_next_coarser_one():
  """Its new scores are zero: the coarser one's scores, enlarged in two steps."""
  one, two = keys()
  x = jax.random.normal(one, (2, 16, 24, 3))
  params = fcn(8).init(two, x)["params"]
  assert not jax.tree.leaves(params["Dense_0"])[1].any()
  params["Dense_0"]["kernel"] = jax.random.normal(two, params["Dense_0"]["kernel"].shape)
  _, seen = fcn(8).apply({"params": params}, x, capture_intermediates=True)
  scores = seen["intermediates"]["Dense_0"]["__call__"][-1]
  fine = {**fcn(4).init(two, x)["params"], **params}
  assert fine.keys() - params.keys() == {"Dense_1"}
  expected = enlarged(enlarged(scores, 2), 4)
  np.testing.assert_allclose(fcn(4).apply({"params": fine}, x), expected, atol=1e-5)


@pytest.mark.parametrize("every", [1, 2, 8])
def test_an_fcn_has_one_score_for_so_many_pixels(every):
  one, two = keys()
  x = jax.random.normal(one, (1, 16, 16, 3))
  net = fcn(every, "group")
  assert net.apply(net.init(two, x), x).shape == (1, 16, 16, 5)
  assert (
    len([name for name in net.init(two, x)["params"] if "Dense" in name])
    == {1: 4, 2: 3, 8: 1}[every]
  )


@pytest.mark.parametrize(
  "make", [lambda: SegmentationUNet(2, (4, 4, 4), norm="none"), lambda: fcn3(1), lambda: fcn3(4)]
)
def test_nothing_farther_away_than_the_reach_counts(make):
  net, context = make(), reach(3)
  x = jax.random.normal(jax.random.key(0), (1, 128, 128, 1))
  params = net.init(jax.random.key(1), x)
  params = jax.tree.map(lambda v: v + 0.1 * jax.random.normal(jax.random.key(2), v.shape), params)
  slope = jax.grad(lambda x: net.apply(params, x)[0, 61, 66].sum())(x)[0, ..., 0]
  rows, columns = np.nonzero(np.asarray(slope))
  assert max(abs(rows - 61).max(), abs(columns - 66).max()) <= context
  assert len(rows) > 100


def fcn3(every):
  return FCN(2, (4, 4, 4), every, "none")
