"""Encoders and decoders: shapes, what depends on what, precision, and the layers against NumPy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.core import UserError
from gen_jax.nets import conv, mlp
from gen_jax.nets.conv import max_pool


def key(i=0):
  return jax.random.key(i)


def pair(shape, widths=(), hidden=(12, 6), dtype=jnp.float32, out=5):
  return conv.coders(
    shape, out, widths=widths, hidden=hidden, activation="tanh", dtype=jnp.dtype(dtype)
  )


def shapes_of(shape, widths, classes=0, **kwargs):
  """Shapes of a batch's code, decoded images [L, B, ...] and parameters, without computing."""
  encoder, decoder = pair(shape, widths, **kwargs)
  x, z = jnp.zeros((3, *shape)), jnp.zeros((2, 3, 5))
  c = jnp.zeros((3, classes)) if classes else None
  run = lambda net, x: jax.eval_shape(lambda: net.init_with_output(key(), x, c))
  return run(encoder, x), run(decoder, z)


@pytest.mark.parametrize("classes", [0, 4])
@pytest.mark.parametrize(
  "shape,widths",
  [((2,), ()), ((8, 8, 1), ()), ((8, 8, 1), (4,)), ((28, 28, 1), (4, 6)), ((16, 24, 3), (4, 6, 8)),
   ((64, 64, 3), (4, 4, 4, 4))],
)  # fmt: skip
def test_shapes_and_types(shape, widths, classes):
  for dtype in (jnp.float32, jnp.bfloat16):
    (code, e), (image, d) = shapes_of(shape, widths, classes, dtype=dtype)
    assert code.shape == (3, 5) and image.shape == (2, 3, *shape)
    for leaf in jax.tree.leaves((code, image, e, d)):
      assert leaf.dtype == jnp.float32


def test_the_decoder_mirrors_the_encoder():
  (_, e), (_, d) = shapes_of((16, 16, 3), (4, 8), hidden=(12, 6))
  dense = lambda p: [v["kernel"].shape for _, v in sorted(p["params"]["MLP_0"].items())]
  assert dense(e) == [(4 * 4 * 8, 12), (12, 6), (6, 5)]
  assert dense(d) == [(5, 6), (6, 12), (12, 4 * 4 * 8)]
  kernels = lambda p: [v["kernel"].shape for k, v in sorted(p["params"].items()) if k != "MLP_0"]
  assert kernels(e) == [(4 * 4 * 3, 4), (4 * 4 * 4, 8)]
  assert kernels(d) == [(3 * 3 * 8, 4 * 4), (3 * 3 * 4, 4 * 3)]


def test_mlp_is_matrices_and_a_nonlinearity_between_them():
  net = mlp.MLP(2, (4,), jnp.tanh)
  x = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
  y, variables = net.init_with_output(key(1), x)
  a, b = (variables["params"][f"Dense_{i}"]["kernel"] for i in range(2))
  np.testing.assert_allclose(y, np.tanh(x @ np.asarray(a)) @ np.asarray(b), rtol=1e-5, atol=1e-6)
  linear, variables = mlp.MLP(2, ()).init_with_output(key(1), x)
  kernel = variables["params"]["Dense_0"]["kernel"]
  np.testing.assert_allclose(linear, x @ np.asarray(kernel), rtol=1e-5, atol=1e-6)


def test_double_lays_four_channels_out_as_two_by_two_pixels():
  x = np.arange(2 * 3 * 4).reshape(1, 2, 3, 4)
  got = np.asarray(conv.double(jnp.asarray(x)))
  assert got.shape == (1, 4, 6, 1)
  for i in range(2):
    for j in range(3):
      block = got[0, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, 0]
      np.testing.assert_array_equal(block.reshape(-1), x[0, i, j])


X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 4, 2)), jnp.float32)
KERNEL = np.random.default_rng(1).normal(size=(4, 4, 2, 5)).astype(np.float32)


def test_halve_undoes_double():
  np.testing.assert_array_equal(conv.double(conv.halve(X)), X)
  np.testing.assert_array_equal(conv.halve(X)[0, 1, 1], X[0, 2:4, 2:4].reshape(-1))


def test_a_dense_layer_on_windows_is_a_3x3_convolution():
  kernel = KERNEL[:3, :3]
  exact = nn.Conv(5, (3, 3), use_bias=False).apply({"params": {"kernel": kernel}}, X)
  found = conv.windows(conv.border(X), 3) @ kernel.reshape(-1, 5)
  np.testing.assert_allclose(found, exact, atol=1e-4)


@pytest.mark.parametrize("size", [4, 7])
def test_convolve_is_a_convolution_and_so_are_its_gradients_of_any_order(size):
  x = jax.random.normal(jax.random.key(0), (2, size, size + 1, 3))
  kernel = jax.random.normal(jax.random.key(1), (3, 3, 3, 5))
  once = lambda layer: lambda *at: jnp.sin(layer(*at)).sum()

  def twice(layer):
    to_x, to_kernel = (jax.grad(once(layer), i) for i in (0, 1))
    return lambda *at: jnp.cos(to_x(*at)).sum() + (to_kernel(*at) ** 3).sum()

  def thrice(layer):
    return lambda *at: (jax.grad(twice(layer), 1)(*at) ** 2).sum()

  for order in (once, twice, thrice):
    for i in (0, 1):
      found, exact = (jax.grad(order(f), i)(x, kernel) for f in (conv.convolve3, conv.same))
      np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5 * np.abs(exact).max())


def test_in_a_loop_no_gradient_of_convolve_is_in_an_order_of_axes_that_is_slow_on_cpu():
  x, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 5))

  def penalty(kernel):
    slope = jax.grad(lambda x: (conv.convolve3(x, kernel) ** 2).sum())(x)
    return (slope**2).sum() + (conv.convolve3(x, kernel) ** 4).sum()

  def descend(kernel):
    return jax.lax.fori_loop(0, 3, lambda _, k: k - 1e-3 * jax.grad(penalty)(k), kernel)

  text = jax.jit(descend).lower(kernel).compile().as_text()
  orders = re.findall(r" convolution\(.*dim_labels=(\S+?),? ", text)
  assert len(orders) > 4 and set(orders) == {"b01f_01io->b01f"}


def test_a_dense_layer_on_windows_of_a_halved_image_is_a_4x4_convolution_of_stride_2():
  exact = nn.Conv(5, (4, 4), strides=2, use_bias=False).apply({"params": {"kernel": KERNEL}}, X)
  # Rows 2 i + k: the i-th row of windows, and in it the k-th row of pixels.
  rows = KERNEL.reshape(2, 2, 2, 2, 2, 5).swapaxes(1, 2).reshape(-1, 5)
  np.testing.assert_allclose(conv.windows(conv.halve(conv.border(X)), 2) @ rows, exact, atol=1e-4)


def test_a_transposed_convolution_is_a_sub_pixel_one():
  # As the module says: 4x4 of stride 2 is a 3x3 kernel with zeros for each of the four pixels.
  x = jax.random.normal(key(), (1, 5, 5, 2))
  transposed = nn.ConvTranspose(3, (4, 4), strides=(2, 2), use_bias=False)
  y, variables = transposed.init_with_output(key(1), x)
  # Linear and translation invariant: its kernels are read off from single pixels.
  kernel = np.zeros((3, 3, 2, 2, 2, 3), np.float32)
  for c in range(2):
    response = transposed.apply(variables, jnp.zeros((1, 5, 5, 2)).at[0, 2, 2, c].set(1.0))[0]
    for i, j in np.ndindex(3, 3):
      top, left = 2 * (2 + 1 - i), 2 * (2 + 1 - j)
      kernel[i, j, c] = response[top : top + 2, left : left + 2]
    assert not np.asarray(response)[:2].any() and not np.asarray(response)[8:].any()
  sub_pixel = nn.Conv(12, (3, 3), use_bias=False)
  wide = sub_pixel.apply({"params": {"kernel": kernel.reshape(3, 3, 2, 12)}}, x)
  np.testing.assert_allclose(conv.double(wide), y, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("widths", [(), (4,)])
def test_the_condition_is_heard_by_both(widths):
  encoder, decoder = pair((8, 8, 1), widths)
  x, z = jax.random.normal(key(), (3, 8, 8, 1)), jax.random.normal(key(), (3, 5))
  one, other = jnp.eye(3), jnp.eye(3)[::-1]
  for net, value in ((encoder, x), (decoder, z)):
    variables = jax.jit(net.init)(key(2), value, one)
    a, b = (jax.jit(net.apply)(variables, value, c) for c in (one, other))
    differs = abs(a - b).reshape(3, -1).max(axis=1) > 1e-4
    np.testing.assert_array_equal(differs, [True, False, True])


def test_every_activation_has_a_function():
  for name in mlp.Activation.__args__:
    value = mlp.activation_of(name)(jnp.array([-2.0, 0.0, 2.0]))
    assert value.shape == (3,) and value[2] > value[0]


def test_what_cannot_be_halved_is_refused():
  with pytest.raises(UserError, match="multiples of 8.*28, 28, 1.*fewer widths"):
    pair((28, 28, 1), (4, 4, 4))
  with pytest.raises(UserError, match=r"shape \(2,\)"):
    pair((2,), (4,))
  with pytest.raises(UserError, match="from 1 on"):
    pair((8, 8, 1), (), hidden=(0,))


@pytest.mark.parametrize("use_bias", [True, False])
def test_the_folded_convolution_is_that_of_the_enlarged_image(use_bias):
  with jax.enable_x64(True):
    types = {"use_bias": use_bias, "dtype": jnp.float64, "param_dtype": jnp.float64}
    x = jax.random.normal(key(), (2, 3, 5, 4), jnp.float64)
    folded, whole = conv.UpConv(6, **types), nn.Conv(6, (3, 3), **types)
    params = whole.init(key(1), x)["params"]
    params = {k: v + 0.1 for k, v in params.items()}
    shapes = lambda tree: jax.tree.map(jnp.shape, tree)
    assert shapes(folded.init(key(2), x)["params"]) == shapes(params)

    def found(net, enlarge):
      loss = lambda p, x: (net.apply({"params": p}, enlarge(x)) ** 3).sum()
      return net.apply({"params": params}, enlarge(x)), jax.grad(loss, (0, 1))(params, x)

    got, want = found(folded, lambda x: x), found(whole, conv.enlarge)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), got, want)


@pytest.mark.parametrize("shape", [(3, 4, 6, 2), (2, 7, 5, 3)])
def test_max_pooling_is_flax_s_and_so_is_its_gradient(shape):
  x, weight = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)  # no ties
  weight = weight[:, : shape[1] // 2, : shape[2] // 2]
  for f in (lambda g: g(x), lambda g: jax.grad(lambda x: (weight * g(x)).sum())(x)):
    pool = lambda x: nn.max_pool(x, (2, 2), strides=(2, 2))
    got, want = (jax.jit(f, static_argnums=0)(g) for g in (max_pool, pool))
    assert np.abs(want).max() > 1
    np.testing.assert_array_equal(got, want)
  # Of equal pixels the gradient goes to one; a rounded recomputation cannot lose it.
  ones = jax.grad(lambda x: max_pool(x).sum())(jnp.ones(shape))
  assert ones.sum() == shape[0] * (shape[1] // 2) * (shape[2] // 2) * shape[3]
