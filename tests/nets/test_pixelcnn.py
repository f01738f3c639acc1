"""What each position sees, by Jacobian: all before it in raster order and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.pixelcnn import GatedStack, HorizontalConv, PixelCNN, VerticalConv

H, W = 4, 4


def dependence(function, x):
  """[H, W, H, W] bool: does the output at the first position depend on the input at the second?"""
  jacobian = jax.jit(jax.jacrev(lambda x: function(x[None])[0]))(x)  # [H, W, F, H, W, C]
  return np.abs(np.asarray(jacobian)).sum((2, 5)) > 0


def initialised(net, x):
  """The net with every parameter drawn at random, so that no path is closed by chance."""
  params = random_params(net, x[None])
  return lambda x: net.apply(params, x)


def random_params(net, *inputs):
  shapes = jax.eval_shape(net.init, jax.random.key(0), *inputs)
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 0.3, p.shape), p.dtype), shapes)


@pytest.fixture
def x():
  return jnp.asarray(np.random.default_rng(1).normal(size=(H, W, 2)), jnp.float32)


@pytest.mark.parametrize("kernel,dilations", [(3, (1, 1)), (3, (2, 1)), (5, (1,))])
def test_a_pixel_depends_on_all_pixels_before_it_and_on_no_other(x, kernel, dilations):
  net = GatedStack(width=4, dilations=dilations, kernel=kernel, first_kernel=5)
  seen = dependence(initialised(net, x), x).reshape(H * W, H * W)
  np.testing.assert_array_equal(seen, np.tril(np.ones((H * W, H * W), bool), -1))


@pytest.mark.parametrize("mask", ["A", "B"])
def test_masks_of_one_convolution(x, mask):
  reach = mask == "B"  # whether it sees its own row or place
  i, j, a, b = np.ogrid[:H, :W, :H, :W]
  above = (a <= i - 1 + reach) & (a >= i - 1) & (abs(b - j) <= 1)
  left = (a == i) & (b <= j - 1 + reach) & (b >= j - 1)
  for conv, want in ((VerticalConv, above), (HorizontalConv, left)):
    net = conv(features=3, kernel=3, mask=mask, dilation=1, dtype=jnp.float32)
    np.testing.assert_array_equal(dependence(initialised(net, x), x), want)


@pytest.mark.parametrize("embed", [False, True])
def test_logits_at_one_position_are_those_of_all_and_see_only_what_is_before(embed):
  levels, label = 6, jnp.array([1, 2, 2])
  net = PixelCNN(levels, embed, 1, 8, width=4, dilations=(1,), classes=3)
  x = jnp.asarray(np.random.default_rng(0).integers(0, levels, (3, H, W)))
  params = random_params(net, x, label)
  apply = jax.jit(lambda *args: net.apply(params, *args))
  logits = apply(x, label)
  assert logits.shape == (3, H, W, levels)
  i, j = 2, 2
  np.testing.assert_allclose(apply(x, label, (i, j)), logits[:, i, j], rtol=1e-5, atol=1e-5)
  after = (jnp.arange(H * W) >= i * W + j).reshape(H, W)
  other = apply(jnp.where(after, (x + 1) % levels, x), label)
  np.testing.assert_array_equal(other[:, i, j], logits[:, i, j])
  assert np.abs(np.asarray(other - logits))[:, i, j + 1 :].max() > 0
  by_label = np.abs(np.asarray(apply(x, label[::-1]) - logits)).max((1, 2, 3))
  assert (by_label > 0).tolist() == [True, False, True]
