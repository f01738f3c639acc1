"""What each position sees, by Jacobian: all before it in raster order and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.pixelcnn import GatedLayer, GatedStack, MaskedConv, PixelCNN

H, W = 4, 4
BEFORE = np.tril(np.ones((H * W, H * W), bool), -1)


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
  np.testing.assert_array_equal(seen, BEFORE)


@pytest.mark.parametrize("kernel,dilation", [(3, 1), (3, 2), (5, 1)])
@pytest.mark.parametrize("mask", ["A", "B"])
def test_masks_of_one_convolution(x, mask, kernel, dilation):
  reach, half = mask == "B", kernel // 2  # whether it sees its own row or place
  back = half if mask == "B" else half - 1
  i, j, a, b = np.ogrid[:H, :W, :H, :W]

  def within(gap, most):
    """Whether what stands `gap` entries behind is under the kernel."""
    return (gap >= 0) & (gap % dilation == 0) & (gap <= dilation * most)

  own = 1 - reach
  above = within(i - own - a, back) & within(abs(b - j), half)
  left = (a == i) & within(j - own - b, back)
  for axis, want in ((1, above), (2, left)):
    net = MaskedConv(3, axis, kernel, mask, dilation, dtype=jnp.float32)
    np.testing.assert_array_equal(dependence(initialised(net, x), x), want)


@pytest.mark.parametrize("mask", ["A", "B"])
def test_masks_of_a_layer(x, mask):
  """Its vertical features see rows above (and their own under mask B), its horizontal ones all of
  this one row up, and their own row before them (and their own place under mask B)."""
  net = GatedLayer(3, 3, mask, 1, 0.0, 0, jnp.float32)
  both = x if mask == "A" else jnp.concatenate([x, x[..., :1]], -1)  # residual: C = width
  params = random_params(net, both[None], both[None])
  i, j, a, b = np.ogrid[:H, :W, :H, :W]
  own = mask == "B"
  rows = (a <= i - 1 + own) & (a >= i - 1) & (abs(b - j) <= 1)
  places = (a == i) & (b <= j - 1 + own) & (b >= j - 1)

  def seen(output, of_v):
    def run(z):
      inputs = (z, both[None]) if of_v else (both[None], z)
      return net.apply(params, *inputs)[output]

    return dependence(run, both)

  np.testing.assert_array_equal(seen(0, True), rows)
  assert not seen(0, False).any()
  for output in (1, 2):
    np.testing.assert_array_equal(seen(output, True), rows)
    np.testing.assert_array_equal(seen(output, False), places)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_no_logit_depends_on_its_own_value_or_later_ones_in_any_channel(channels):
  columns = 2 * channels
  net = PixelCNN(7, columns, channels=channels, width=8, dilations=(1, 2, 1))
  x = jnp.asarray(np.random.default_rng(1).uniform(0, 6, (2, columns)), jnp.float32)
  apply = initialised(net, x)
  jacobian = np.asarray(jax.jit(jax.jacrev(lambda x: apply(x[None])[0]))(x))  # [H, W, K, H, W]
  seen = (np.abs(jacobian).sum(2) > 0).reshape(2 * columns, 2 * columns)
  np.testing.assert_array_equal(seen, np.tril(np.ones_like(seen), -1))


def test_no_logit_depends_on_its_own_code_or_later_ones():
  # Each position has a level of its own, so that a row of the table is a position's input.
  net = PixelCNN(H * W, W, embed=True, width=4, dilations=(1, 1), first_kernel=3)
  x = jnp.arange(H * W).reshape(1, H, W)
  params = random_params(net, x)["params"]
  logits = lambda table: net.apply({"params": params | {"table": {"embedding": table}}}, x)[0]
  jacobian = jax.jit(jax.jacrev(logits))(params["table"]["embedding"])  # [H, W, K, rows, F]
  seen = (np.abs(np.asarray(jacobian)).sum((2, 4)) > 0).reshape(H * W, H * W)
  np.testing.assert_array_equal(seen, BEFORE)


def test_logits_depend_on_the_label():
  net = PixelCNN(6, W, width=4, dilations=(1,), classes=3)
  x, label = jnp.zeros((3, H, W)), jnp.array([1, 2, 2])
  params = random_params(net, x, label)
  apply = jax.jit(lambda label: net.apply(params, x, label))
  by_label = np.abs(np.asarray(apply(label[::-1]) - apply(label))).max((1, 2, 3))
  assert (by_label > 0).tolist() == [True, False, True]
