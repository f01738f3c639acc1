"""Upsampling layers against sums, reshapes, Flax and each other, and how uneven they begin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax import metrics
from gen_jax.nets import upsample
from gen_jax.nets.conv import enlarge
from gen_jax.nets.upsample import UPSAMPLERS, Autoencoder, Upsample

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 5, 3)).astype(np.float32)


def kernel(size, channels=3, features=2):
  return RNG.normal(size=(size, size, channels, features)).astype(np.float32)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6])
def test_transposed_is_the_explicit_sum(size):
  w, start = kernel(size), (size - 1) // 2
  whole = np.zeros((2, 2 * 4 + size, 2 * 5 + size, 2))
  for i, j in np.ndindex(4, 5):
    for a, b in np.ndindex(size, size):
      whole[:, 2 * i + a, 2 * j + b] += X[:, i, j] @ w[a, b]
  found = upsample.transposed(X, w)
  assert found.shape == (2, 8, 10, 2)
  np.testing.assert_allclose(found, whole[:, start : start + 8, start : start + 10], atol=1e-5)


@pytest.mark.parametrize("size", [3, 4])
def test_transposed_is_the_adjoint_of_the_strided_convolution(size):
  w, y = kernel(size), RNG.normal(size=(2, 8, 10, 2)).astype(np.float32)
  start = (size - 1) // 2
  strided = jax.lax.conv_general_dilated(
    y, w.swapaxes(2, 3), (2, 2), [(start, size - 2 - start)] * 2,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
  )  # fmt: skip
  np.testing.assert_allclose((upsample.transposed(X, w) * y).sum(), (X * strided).sum(), rtol=1e-4)


def test_transposed_of_even_kernels_is_that_of_flax():
  layer = nn.ConvTranspose(2, (4, 4), (2, 2), transpose_kernel=False, use_bias=False)
  w = kernel(4)
  want = layer.apply({"params": {"kernel": w[::-1, ::-1]}}, X)
  np.testing.assert_allclose(upsample.transposed(X, w), want, atol=1e-5)


def test_unpooling_puts_values_where_the_maximum_was():
  # No value twice, so that each maximum has one place.
  y = RNG.permutation(2 * 6 * 8 * 3).reshape(2, 6, 8, 3).astype(np.float32)
  most, position = upsample.pool_with_positions(jnp.asarray(y))
  restored = np.asarray(upsample.unpool(most, position))
  for i, j in np.ndindex(3, 4):
    window, given = y[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2], most[:, i, j]
    top = window.max((1, 2), keepdims=True)
    np.testing.assert_array_equal(given, top[:, 0, 0])
    np.testing.assert_array_equal(
      restored[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2], np.where(window == top, window, 0)
    )
  # Other values go to the same places, and pooling brings them back.
  other = jnp.abs(jnp.asarray(X[:1, :3, :4])) + 1
  np.testing.assert_array_equal(
    upsample.pool_with_positions(upsample.unpool(other, position[:1]))[0], other
  )


def test_pixel_shuffle_is_an_independent_reshape():
  w = kernel(2, features=4 * 2)
  wide = np.asarray(upsample.convolve(X, w))
  want = wide.reshape(2, 4, 5, 2, 2, 2).transpose(0, 1, 3, 2, 4, 5).reshape(2, 8, 10, 2)
  np.testing.assert_allclose(upsample.shuffle(X, w), want, atol=1e-6)


def test_bilinear_of_a_ramp_is_a_ramp():
  ramp = jnp.broadcast_to(jnp.arange(6.0)[None, :, None, None], (1, 6, 6, 1))
  found = upsample.between(ramp)[0, 1:-1, :, 0]
  np.testing.assert_allclose(found - found[:1], np.arange(10)[:, None] / 2 + 0 * found, atol=1e-6)


def test_icnr_begins_as_nearest_after_a_convolution():
  net = Upsample("icnr", 5)
  params = net.init(jax.random.key(0), X)
  sub = params["params"]["kernel"][..., :5]
  np.testing.assert_allclose(net.apply(params, X), enlarge(upsample.convolve(X, sub)), atol=1e-5)
  assert jnp.abs(sub).min() > 0


def test_unpooling_of_ties_is_a_transposed_convolution():
  """Where all pixels of a window are equal its place says nothing: zeros are stuffed in between."""
  w = kernel(4)
  stuffed = upsample.convolve(upsample.unpool(X, np.zeros(X.shape, int)), w)
  found = upsample.transposed(X, w[::-1, ::-1])
  # Convolutions of even kernels lie one pixel on.
  np.testing.assert_allclose(stuffed[:, :-1, :-1], found[:, 1:, 1:], atol=1e-5)


@pytest.mark.parametrize("up", UPSAMPLERS)
def test_all_have_equal_parameters_a_gradient_and_the_type_asked_for(up):
  positions = jnp.zeros(X.shape, int)
  for dtype in (jnp.float32, jnp.bfloat16):
    net = Upsample(up, 2, dtype=dtype)
    params = net.init(jax.random.key(0), X, positions)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 16 * 3 * 2 + 2
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    y = net.apply(params, X, positions)
    assert y.shape == (2, 8, 10, 2) and y.dtype == dtype
  slope = jax.grad(lambda p: (net.apply(p, X, positions) ** 2).sum().astype(jnp.float32))(params)
  assert all((leaf != 0).any() for leaf in jax.tree.leaves(slope))


@pytest.mark.parametrize("up", UPSAMPLERS)
def test_the_first_outputs_have_the_variance_of_he_et_al(up):
  """Of rectified normal inputs, whose mean square is one half, the mean square is 1."""
  one, two, three = jax.random.split(jax.random.key(0), 3)
  x = nn.relu(jax.random.normal(one, (4, 32, 32, 32)))
  positions = jax.random.randint(two, x.shape, 0, 4)
  net = Upsample(up, 64)
  y = net.apply(net.init(three, x, positions), x, positions)[:, 4:-4, 4:-4]
  # Between pixels the variance of each way is (9 + 1) / 16 of a pixel's, around the mean.
  mean = (2 * np.pi) ** -0.5
  want = 2 * (mean**2 + (0.5 - mean**2) * (10 / 16) ** 2) if up == "bilinear" else 1
  np.testing.assert_allclose((y**2).mean(), want, rtol=0.15)


def uneven(y):
  """std of phase means / rms of pictures of one colour, away from the borders."""
  part = y[:, 12:20, 12:20]
  square = (part**2).mean((1, 2)).sum()
  return float(jnp.sqrt(metrics.lattice_energy(part, 2).sum() / square))


@pytest.mark.parametrize("seed", range(4))
def test_what_begins_even_and_what_does_not(seed):
  """Step 0 of the whole autoencoder, on pictures of one colour."""
  colours = jax.random.uniform(jax.random.key(9), (8, 1, 1, 3), minval=0.25, maxval=0.75)
  flat = jnp.broadcast_to(colours, (8, 32, 32, 3))
  found = {}
  for up, size in [(up, 4) for up in UPSAMPLERS] + [("transposed", 3)]:
    net = Autoencoder(3, 16, 4, up, size)
    params = jax.jit(net.init)(jax.random.key(seed), flat[:1])
    found[up, size] = uneven(jax.jit(net.apply)(params, flat))
  for up in ("nearest", "bilinear", "icnr"):
    assert found[up, 4] < 0.01, up
  # A kernel that is a multiple of the stride makes no difference.
  for each in (("transposed", 3), ("transposed", 4), ("shuffle", 4), ("unpool", 4)):
    assert found[each] > 0.3, each


def test_equal_weights_are_uneven_by_their_overlap_alone():
  flat = jnp.ones((1, 32, 32, 1))
  for size in (3, 4):
    u = metrics.unevenness(size, 2)
    found = uneven(upsample.transposed(flat, jnp.ones((size, size, 1, 1))))
    np.testing.assert_allclose(found, u / (1 + u**2) ** 0.5, atol=1e-6)
