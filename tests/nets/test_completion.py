import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gen_jax import holes
from gen_jax.nets.completion import Completer, Critics, corners, patches, with_hole


def count(params):
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_source_s_net_has_its_parameters():
  """6,066,179 of Iizuka et al.'s table 1, less what 3x3 kernels have fewer than 4x4 ones have where
  the image is doubled."""
  x = jax.ShapeDtypeStruct((1, 256, 256, 4), jnp.float32)
  params = jax.eval_shape(Completer(3).init, jax.random.key(0), x)
  assert count(params) == 6_066_179 - (16 - 9) * (256 * 128 + 128 * 64)


def test_a_dilated_convolution_is_one_with_zeros_in_its_kernel():
  """Of the net's layer itself: its parameters, stuffed with zeros, as an ordinary convolution."""
  net, d = Completer(1, (3,), (3,)), 3
  x = jax.random.uniform(jax.random.key(0), (2, 14, 11, 2))
  variables = net.init(jax.random.key(1), x)
  _, seen = net.apply(variables, x, capture_intermediates=True)
  layers = seen["intermediates"]
  name = next(
    name for name, layer in variables["params"].items()
    if layer["kernel"].shape == (3, 3, 3, 3) and name == "Conv_2"
  )  # fmt: skip
  before = jax.nn.relu(layers["Conv_1"]["__call__"][0])
  kernel = variables["params"][name]["kernel"]
  stuffed = jnp.zeros((2 * d + 1, 2 * d + 1, 3, 3)).at[::d, ::d].set(kernel)
  names = ("NHWC", "HWIO", "NHWC")
  wanted = lax.conv_general_dilated(before, stuffed, (1, 1), "SAME", dimension_numbers=names)
  np.testing.assert_allclose(layers[name]["__call__"][0], wanted, atol=1e-5)


@pytest.mark.parametrize("dilations", [(), (2,), (2, 4)])
def test_what_a_pixel_sees(dilations):
  """The support of its Jacobian, which the layers' kernels, strides and dilations give."""
  net = Completer(1, (2, 2), dilations)
  x = jax.random.uniform(jax.random.key(0), (1, 96, 96, 2))
  # Positive weights: no path is cut by a ReLU, or cancelled.
  params = jax.tree.map(lambda p: jnp.abs(p) + 0.01, net.init(jax.random.key(1), x))
  scaled = jax.tree.map(lambda p: p / 20, params)
  seen = jax.grad(lambda x: net.apply(scaled, x)[0, 48, 48, 0])(x)[0].any(axis=-1)
  rows = np.flatnonzero(np.asarray(seen.any(axis=1)))
  # At half the resolution: two, the dilated ones, and two.
  low = 1 + 1 + sum(dilations) + 1 + 1
  # Two 3x3 at full resolution see 46..50. Of an even row 2 i `UpConv` sees i - 1 and i.
  first, last = 22 - low, 25 + low
  # The convolution of stride 2 sees 2 i - 1 .. 2 i + 1, and the 5x5 one two more.
  np.testing.assert_array_equal([rows[0], rows[-1]], [2 * first - 3, 2 * last + 3])


def test_nothing_of_what_is_hidden_is_seen():
  x = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
  hole = jnp.zeros((2, 8, 8), bool).at[:, 2:5, 3:7].set(True)
  mean = jnp.array([0.1, 0.2, 0.3])
  seen = with_hole(x, hole, mean)
  np.testing.assert_array_equal(seen[..., 3], hole)
  np.testing.assert_array_equal(seen[:, 2:5, 3:7, :3], jnp.broadcast_to(mean, (2, 3, 4, 3)))
  np.testing.assert_array_equal(jnp.where(hole[..., None], 0, seen[..., :3] - x), 0)
  other = jnp.where(hole[..., None], 1 - x, x)
  np.testing.assert_array_equal(with_hole(other, hole, mean), seen)


def test_patches_have_the_hole_in_their_middle_or_are_at_the_border():
  hole = jnp.zeros((3, 32, 40), bool)
  hole = hole.at[0, 10:14, 20:25].set(True).at[1, :3, 37:].set(True).at[2, 8:13, 0:2].set(True)
  hole = hole.at[2, 20:24, 30:31].set(True)  # of two parts: the box around both
  np.testing.assert_array_equal(corners(hole, 8), [[8, 18], [0, 32], [12, 11]])
  x = jnp.arange(3 * 32 * 40.0).reshape(3, 32, 40, 1)
  part = patches(x, corners(hole, 8), 8)
  np.testing.assert_array_equal(part[0, ..., 0], x[0, 8:16, 18:26, 0])
  np.testing.assert_array_equal(part[1, ..., 0], x[1, :8, 32:, 0])


def test_every_hole_that_fits_a_patch_is_in_it():
  hole = holes.boxes(jax.random.split(jax.random.key(0), 200), 32, 24, 5, 8)
  part = patches(hole[..., None], corners(hole, 8), 8)
  np.testing.assert_array_equal(part.sum((1, 2, 3)), hole.sum((1, 2)))


def test_patches_and_their_gradient_are_those_of_a_product_with_one_hot_rows():
  x = jax.random.normal(jax.random.key(0), (5, 20, 16, 3))
  weights = jax.random.normal(jax.random.key(1), (5, 8, 8, 3))
  corner = jnp.stack([jnp.arange(5) * 3, jnp.arange(5) * 2], axis=1)

  def product(x):
    rows, columns = (
      jax.nn.one_hot(corner[:, k, None] + jnp.arange(8), x.shape[1 + k]) for k in (0, 1)
    )
    return jnp.einsum("bph,bqw,bhwc->bpqc", rows, columns, x)

  sliced = lambda x: patches(x, corner, 8)
  np.testing.assert_array_equal(sliced(x), product(x))
  of = lambda crop: jax.grad(lambda x: (weights * crop(x) ** 2).sum())(x)
  np.testing.assert_allclose(of(sliced), of(product), rtol=1e-6)


def test_critics_judge_an_example_by_the_whole_and_by_the_patch():
  judge = Critics((4, 4), (4,), 8, 8)
  x = jax.random.uniform(jax.random.key(0), (3, 16, 16, 1))
  hole = holes.boxes(jax.random.split(jax.random.key(1), 3), 16, 16, 4, 6)
  variables = judge.init(jax.random.key(2), x, hole)
  logit = judge.apply(variables, x, hole)
  assert logit.shape == (3,)
  np.testing.assert_allclose(judge.apply(variables, x[1:2], hole[1:2])[0], logit[1], rtol=1e-5)
  slope = jax.grad(lambda x: judge.apply(variables, x, hole).sum())(x)
  assert slope.any(axis=(1, 2, 3)).all()
  # Without the whole's features, only the patch is seen.
  dense = variables["params"]["Dense_0"]["kernel"]
  cut = {**variables["params"], "Dense_0": {
    **variables["params"]["Dense_0"], "kernel": dense.at[:8].set(0),
  }}  # fmt: skip
  slope = jax.grad(lambda x: judge.apply({"params": cut}, x, hole).sum())(x)
  inside = jnp.zeros_like(hole)
  for i, (top, left) in enumerate(corners(hole, 8)):
    inside = inside.at[i, top : top + 8, left : left + 8].set(True)
  assert not (slope.any(axis=-1) & ~inside).any() and slope.any(axis=(1, 2, 3)).all()
  # The same picture with another hole has another logit: the hole is an input.
  assert not np.allclose(judge.apply(variables, x, jnp.roll(hole, 1, axis=1)), logit)
