"""What a critic is told of a group, against loops over pairs and groups known on paper."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.nets.gan import Critic, gate
from gen_jax.nets.minibatch import MinibatchDiscrimination, similarities

rng = np.random.default_rng(0)


def test_equal_examples_are_alike_and_distant_ones_are_not():
  m = jnp.broadcast_to(jnp.asarray(rng.normal(size=(1, 3, 2)), jnp.float32), (8, 3, 2))
  np.testing.assert_array_equal(similarities(m, 4), 3)  # the others of its group
  np.testing.assert_array_equal(similarities(m, 1), 0)
  mask = jnp.arange(8) != 2  # of the group 0, 2, 4, 6
  np.testing.assert_array_equal(
    similarities(m, 4, mask)[::2], np.full((4, 3), 2) + np.eye(4)[1][:, None]
  )
  far = m + 1e3 * jnp.arange(8)[:, None, None]
  np.testing.assert_array_equal(similarities(far, 4), 0)


def test_similarities_by_a_loop_over_pairs():
  m = rng.normal(size=(6, 2, 3))
  expected = np.zeros((6, 2))
  for i in range(6):
    for j in range(6):
      if i != j and i % 2 == j % 2:  # groups i, i + 2, i + 4
        expected[i] += np.exp(-np.abs(m[i] - m[j]).sum(axis=-1))
  m = jnp.asarray(m, jnp.float32)
  np.testing.assert_allclose(similarities(m, 3), expected, rtol=1e-5)
  order = np.array([4, 3, 0, 1, 2, 5])  # within the groups
  np.testing.assert_allclose(similarities(m[order], 3), expected[order], rtol=1e-5)


def test_weights_of_a_kernel_have_the_length_that_is_learnt():
  """With one feature a kernel's weights are +-exp(s): |M_i - M_j| = dims exp(s) |f_i - f_j|."""
  net, f = MinibatchDiscrimination(2, 3), jnp.array([[0.3], [1.0]])
  params = net.init(jax.random.key(0), f)["params"]
  params["log_scale"] = jnp.log(jnp.array([[0.5] * 3, [2.0] * 3]))
  found = net.apply({"params": params}, f, 2)
  near = np.exp(-3 * np.array([0.5, 2.0]) * 0.7) - 1  # the bias is -1
  np.testing.assert_allclose(found, np.column_stack([f, [near, near]]), rtol=1e-5)


def test_a_gate_is_of_pairs_of_channels():
  h = rng.normal(size=(2, 6))
  expected = np.tanh(h[:, 1::2]) / (1 + np.exp(-h[:, ::2]))
  np.testing.assert_allclose(gate(jnp.asarray(h, jnp.float32)), expected, rtol=1e-5)


def test_a_logit_depends_on_its_group_and_alone_on_itself():
  x = jnp.asarray(rng.normal(size=(4, 2)), jnp.float32)
  for statistic in ("deviation", "discrimination"):
    net = Critic(hidden=(5,), statistic=statistic, kernels=3, dims=2)
    variables = jax.jit(net.init)(jax.random.key(0), x)
    for group in (1, 2):
      of = lambda x: net.apply(variables, x, group=group)  # noqa: B023
      seen = np.abs(jax.jit(jax.jacobian(of))(x)).sum(axis=-1) > 0
      pairs = np.equal.outer(np.arange(4) % 2, np.arange(4) % 2)
      np.testing.assert_array_equal(seen, np.eye(4, dtype=bool) if group == 1 else pairs)
