import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.translation import (
  PatchCritic,
  SkipTranslator,
  Translator,
  instance_norm,
  smallest_map,
)


@pytest.mark.parametrize("count,size", [(1, 7), (2, 16), (3, 34)])
def test_a_logit_sees_a_patch_of_the_stated_size(count, size):
  """The support of its Jacobian."""
  critic, x = PatchCritic((2,) * count, norm="none"), jnp.ones((1, 64, 64, 1))
  params = jax.tree.map(jnp.ones_like, critic.init(jax.random.key(0), x))
  middle = lambda x: critic.apply(params, x)[
    0, *(n // 2 for n in critic.apply(params, x).shape[1:])
  ]
  seen = np.asarray(jax.grad(middle)(x))[0, ..., 0] != 0
  assert seen.any(0).sum() == seen.any(1).sum() == size
  assert critic.apply(params, x).shape[1] == smallest_map(64, count)


def test_instance_norm_removes_scale_and_shift_of_each_example_and_channel():
  x = jax.random.normal(jax.random.key(0), (3, 8, 8, 2))
  y = instance_norm(3 * x + jnp.arange(2.0))
  np.testing.assert_allclose(y, instance_norm(x), atol=1e-4)
  np.testing.assert_allclose(y.std(axis=(1, 2)), 1, atol=1e-4)


def test_a_translator_keeps_the_size_and_an_example_is_its_own():
  net, x = Translator(3, (4, 8), 1, 3), jax.random.normal(jax.random.key(0), (2, 8, 12, 3))
  params = net.init(jax.random.key(1), x)
  y = net.apply(params, x)
  assert y.shape == x.shape and float(jnp.abs(y).max()) <= 1
  np.testing.assert_allclose(net.apply(params, x.at[1].set(0))[0], y[0], atol=1e-6)


def test_a_bottleneck_of_one_position_still_carries_its_example():
  """Normalised, it would be 0 for every example, and gradients to it as well."""
  net = SkipTranslator(2, (4, 6, 8), "instance", 0.0, 0.5)
  x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
  params = net.init(jax.random.key(1), x)
  y = net.apply(params, x)
  assert y.shape == (2, 8, 8, 2) and float(jnp.abs(y).max()) <= 1
  gradient = jax.grad(lambda p: net.apply(p, x).sum())(params)["params"]
  assert float(jnp.abs(gradient["Dense_2"]["kernel"]).max()) > 1e-3
  np.testing.assert_allclose(net.apply(params, x.at[1].set(0))[0], y[0], atol=1e-6)


def test_skips_are_concatenated_at_equal_resolutions():
  """The layers on the way up have as many inputs as the textbook's."""
  net = SkipTranslator(2, (4, 6, 8), "none", 0.0)
  params = net.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))["params"]
  shapes = [params[f"Up_{i}"]["kernel"].shape for i in range(3)]
  assert shapes == [(4, 4, 8, 6), (4, 4, 12, 4), (4, 4, 8, 2)]
  assert [params[f"Dense_{i}"]["kernel"].shape for i in range(3)] == [(48, 4), (64, 6), (96, 8)]


def test_the_way_down_is_a_four_by_four_convolution_of_stride_two():
  net = SkipTranslator(1, (5,), "none", 0.0)
  x = jax.random.normal(jax.random.key(0), (2, 6, 8, 3))
  params = net.init(jax.random.key(1), x)["params"]
  flat = params["Dense_0"]["kernel"]  # [(window row, window column, pixel row, pixel column, C), F]
  kernel = flat.reshape(2, 2, 2, 2, 3, 5).transpose(0, 2, 1, 3, 4, 5).reshape(4, 4, 3, 5)
  names = ("NHWC", "HWIO", "NHWC")
  h = jax.lax.conv_general_dilated(x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=names)
  h = jax.nn.relu(h + params["Dense_0"]["bias"])
  up = params["Up_0"]["kernel"]
  up = jax.lax.conv_transpose(h, up[::-1, ::-1], (2, 2), "SAME", dimension_numbers=names)
  wanted = jnp.tanh(up + params["Up_0"]["bias"])
  np.testing.assert_allclose(net.apply({"params": params}, x), wanted, atol=1e-5)
