"""Bicubic resizing against polynomials and Pillow, and what the networks start as."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gen_jax.nets import superres
from gen_jax.nets.conv import shuffle
from gen_jax.nets.superres import NETS, Enlarger

RNG = np.random.default_rng(0)


def quadratic(height, width, scale=1.0):
  """1 + i - j / 2 + i^2 / 9 - i j / 7 at the centres of pixels as wide as 1 / scale."""
  i = (np.arange(height)[:, None] + 0.5) / scale
  j = (np.arange(width) + 0.5) / scale
  return (1 + i - j / 2 + i**2 / 9 - i * j / 7).astype(np.float32)[None, ..., None]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_quadratic_is_reproduced_inside(scale):
  small, large = quadratic(12, 14), quadratic(12 * scale, 14 * scale, scale)
  inside = np.s_[:, 3 * scale : -3 * scale, 3 * scale : -3 * scale]
  np.testing.assert_allclose(superres.enlarge(small, scale)[inside], large[inside], atol=2e-4)
  # Averages of squares are more than squares of averages: Keys' kernel, whose second moment is 0,
  # has none of that.
  inside = np.s_[:, 3:-3, 3:-3]
  np.testing.assert_allclose(superres.reduce(large, scale)[inside], small[inside], atol=2e-4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_both_ways_are_pillows(scale):
  x = RNG.uniform(0, 255, size=(12 * scale, 8 * scale)).astype(np.float32)
  resized = lambda x, size: np.asarray(Image.fromarray(x).resize(size, Image.Resampling.BICUBIC))
  small = superres.reduce(jnp.asarray(x)[None, ..., None], scale)
  np.testing.assert_allclose(small[0, ..., 0], resized(x, (8, 12)), atol=1e-2)
  large = superres.enlarge(small, scale)
  again = resized(np.asarray(small[0, ..., 0]), (8 * scale, 12 * scale))
  np.testing.assert_allclose(large[0, ..., 0], again, atol=1e-2)


@pytest.mark.parametrize("scale", [2, 3])
def test_shuffle_lays_channels_out_as_pixels(scale):
  x = RNG.normal(size=(2, 3, 4, scale**2 * 5))
  y = shuffle(x, scale)
  assert y.shape == (2, 3 * scale, 4 * scale, 5)
  for i, j, c in np.ndindex(3 * scale, 4 * scale, 5):
    channel = (i % scale * scale + j % scale) * 5 + c
    np.testing.assert_array_equal(y[:, i, j, c], x[:, i // scale, j // scale, channel])


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_with_a_skip_it_starts_as_the_bicubic(net, scale):
  x = RNG.uniform(size=(2, 6, 7, 3)).astype(np.float32)
  module = Enlarger(scale, net, width=8, blocks=1)
  params = module.init(jax.random.key(0), x)
  np.testing.assert_array_equal(module.apply(params, x), superres.enlarge(x, scale))
  other = module.clone(skip=False)
  assert not np.allclose(other.apply(other.init(jax.random.key(0), x), x), module.apply(params, x))


@pytest.mark.parametrize(
  "net,scale,width,weights",
  [
    # Dong et al. 2016, table 1: 8,032 weights of 9-1-5; Shi et al. 2016: 5x5, 3x3, 3x3 by sums.
    ("srcnn", 4, 64, 81 * 64 + 64 * 32 + 25 * 32),
    ("espcn", 3, 64, 25 * 64 + 9 * 64 * 32 + 9 * 32 * 9),
    ("srresnet", 4, 32, 9 * 32 + 13 * 9 * 32**2 + 9 * 32 * 16),
  ],
)
def test_weights_are_the_sources(net, scale, width, weights):
  module = Enlarger(scale, net, width)
  shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
  leaves = jax.tree.leaves(shapes)
  assert sum(leaf.size for leaf in leaves if leaf.ndim == 4) == weights
  if net == "srresnet":
    assert sum(leaf.size for leaf in leaves) == 125_168


@pytest.mark.parametrize("net", NETS)
def test_a_shifted_picture_is_enlarged_to_a_shifted_one(net):
  x = RNG.uniform(size=(1, 20, 22, 1)).astype(np.float32)
  module = Enlarger(3, net, width=8, blocks=1)
  params = module.init(jax.random.key(0), x)
  params = jax.tree.map(lambda leaf: leaf + 0.1 * RNG.normal(size=leaf.shape), params)
  whole, part = module.apply(params, x), module.apply(params, x[:, 1:, 2:])
  inside = np.s_[:, 18:-18, 18:-18]
  np.testing.assert_allclose(whole[:, 3:, 6:][inside], part[inside], atol=1e-4)
