"""Generators and critics: sizes, statistics against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.conv import enlarge, pool
from gen_jax.nets.gan import Critic, Generator

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
  "size,widths", [(8, (4,)), (8, (4, 6)), (32, (4, 6, 8)), (64, (2, 4, 6, 8))]
)
def test_shapes_and_sizes(size, widths):
  z, c = jnp.zeros((2, 7)), jnp.zeros((2, 10))
  generator = Generator((size, size, 3), widths=widths[::-1])
  critic = Critic(widths, norm="layer")

  def both(key):
    x, made = generator.init_with_output(key, z, c)
    logit, judge = critic.init_with_output(key, x, c)
    return x, logit, made["params"], judge["params"]

  x, logit, made, judge = jax.eval_shape(both, jax.random.key(0))
  assert x.shape == (2, size, size, 3) and logit.shape == (2,)
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
  low, ups, scale = size >> len(widths), widths[::-1], 2
  first = low * low * ups[0]
  inner = sum(9 * a * 4 * b for a, b in zip(ups, ups[1:]))  # no biases
  assert count(made) == 17 * first + inner + 9 * ups[-1] * 12 + 12 + scale * sum(ups)
  kernels = [16 * a * b + b for a, b in zip((13, *widths), widths)]
  assert count(judge) == sum(kernels) + first + 1 + scale * sum(widths[1:])


def test_shapes_and_sizes_of_residual_players():
  """Gulrajani et al. 2017, tables of appendix C, with widths of our own."""
  z, low, a, b = jnp.zeros((2, 7)), 8, 4, 6
  generator, critic = Generator((32, 32, 3), (), (b, a), True), Critic((a, b), True, norm="layer")

  def both(key):
    x, made = generator.init_with_output(key, z)
    logit, judge = critic.init_with_output(key, x)
    return x, logit, made["params"], judge["params"]

  x, logit, made, judge = jax.eval_shape(both, jax.random.key(0))
  assert x.shape == (2, 32, 32, 3) and logit.shape == (2,)
  count = lambda tree: sum(leaf.size for leaf in jax.tree.leaves(tree))
  # Without a bias before batch normalisation, of which each has a scale and a bias.
  up = lambda m, n: 2 * m + 9 * m * n + 2 * n + 9 * n * n + n + m * n + n
  assert count(made) == 8 * low * low * b + up(b, a) + up(a, a) + 2 * a + 27 * a + 3
  down = lambda m, n, first: 9 * m * n + 9 * n * n + 2 * n + 2 * n + m * n + n + 2 * m * (not first)
  plain = 2 * (9 * b * b + b) + 4 * b
  assert count(judge) == down(3, a, True) + down(a, b, False) + 2 * plain + b + 1


def test_enlarging_and_pooling():
  x = jnp.asarray(rng.normal(size=(2, 3, 5, 4)), jnp.float32)
  np.testing.assert_array_equal(enlarge(x)[:, 1::2, ::2], x)
  np.testing.assert_allclose(pool(enlarge(x)), x, rtol=1e-6)
  y = np.asarray(rng.normal(size=(2, 4, 6, 3)), np.float32)
  np.testing.assert_allclose(pool(jnp.asarray(y))[1, 1, 2, 0], y[1, 2:4, 4:6, 0].mean(), rtol=1e-5)


@pytest.fixture(scope="module")
def dense():
  net = Generator((4,), hidden=(6,), bounded=False)
  z = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
  variables = jax.jit(net.init)(jax.random.key(0), z)
  apply = jax.jit(
    lambda v, z, mask: net.apply(v, z, None, mask, train=True, mutable=["batch_stats"])
  )
  return net, variables, apply, z


def test_batch_normalisation_leaves_padding_out(dense):
  net, variables, apply, z = dense
  mask = jnp.array([True, True, True, False, False])
  x, seen = apply(variables, z, mask)
  hidden = np.asarray(z)[:3] @ np.asarray(variables["params"]["Dense_0"]["kernel"])
  stats = seen["batch_stats"]["BatchNorm_0"]
  np.testing.assert_allclose(stats["mean"], hidden.mean(axis=0), atol=1e-6)
  np.testing.assert_allclose(stats["var"], hidden.var(axis=0), rtol=1e-4)
  other, again = apply(variables, z.at[3:].set(1e3), mask)
  np.testing.assert_array_equal(x[:3], other[:3])
  np.testing.assert_array_equal(stats["var"], again["batch_stats"]["BatchNorm_0"]["var"])


def test_with_stored_statistics_an_example_is_its_own(dense):
  net, variables, apply, z = dense
  mask = jnp.ones(5, bool)
  x, seen = apply(variables, z, mask)
  use = jax.jit(net.apply)
  stored = {"params": variables["params"], **seen}
  np.testing.assert_allclose(use(stored, z), x, atol=1e-5)  # the statistics are those of z
  np.testing.assert_allclose(use(stored, z[:2]), x[:2], atol=1e-5)


@pytest.mark.parametrize(
  "net",
  [
    Critic(hidden=(6, 5), norm="layer"),
    Critic((3, 4), norm="layer"),
    Critic((3,), residual=True, norm="layer"),
    Critic(hidden=(4,), maxout=3),
  ],
)
def test_a_logit_is_its_example_s_alone(net):
  x = jnp.asarray(rng.normal(size=(4, 4, 4, 1)), jnp.float32)
  variables = jax.jit(net.init)(jax.random.key(0), x)
  variables = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), variables)
  jacobian = jax.jit(jax.jacobian(lambda x: net.apply(variables, x)))(x)
  each = np.abs(jacobian).sum(axis=(2, 3, 4))
  np.testing.assert_array_equal(each > 0, np.eye(4, dtype=bool))


def test_maxout_takes_the_largest_piece_and_is_convex():
  net = Critic(hidden=(5,), maxout=3, bias=False)
  x = jnp.asarray(rng.normal(size=(8, 2)), jnp.float32)
  variables = jax.jit(net.init)(jax.random.key(1), x)["params"]
  variables["Dense_1"]["kernel"] = jnp.ones((5, 1))
  pieces = np.asarray(x @ variables["Dense_0"]["kernel"]).reshape(8, 5, 3)
  got = net.apply({"params": variables}, x)
  np.testing.assert_allclose(got, pieces.max(axis=-1).sum(axis=-1), atol=1e-5)


def test_bfloat16_computes_with_float32_parameters_and_results():
  dtype = jnp.bfloat16
  z, x = jnp.zeros((2, 3)), jnp.zeros((2, 8, 8, 1))
  for net, given in ((Generator((8, 8, 1), widths=(4,), dtype=dtype), z),
                     (Critic((4,), hidden=(5,), norm="layer", dtype=dtype), x)):  # fmt: skip
    out, variables = jax.eval_shape(lambda k: net.init_with_output(k, given), jax.random.key(0))  # noqa: B023
    assert out.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
