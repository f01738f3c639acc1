"""Continuous flows against linear fields, whose way is known, and their own Jacobian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from flax import linen as nn

from gen_jax.flows.continuous import continuous
from gen_jax.nets.field import VectorField

A = np.array([[0.3, -1.1, 0.0], [0.9, -0.2, 0.4], [0.1, 0.5, -0.6]])


class Linear(nn.Module):
  """v(x, t) = A x."""

  @nn.compact
  def __call__(self, x, t, cond=None):
    return x @ jnp.asarray(A).T


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def test_a_linear_field_moves_by_its_exponential():
  x = jax.random.normal(jax.random.key(0), (4, 3), jnp.float64)
  bijection, transport = continuous(Linear(), steps=40)
  way = transport({"net": {}}, x)
  np.testing.assert_allclose(way.y, x @ scipy.linalg.expm(A).T, atol=1e-7)
  np.testing.assert_allclose(way.log_det, np.trace(A), rtol=1e-9)
  # int_0^1 |A e^(At) x|^2 dt = x^T (P - e^(A^T) P e^A) x, with A^T P + P A = -A^T A.
  p = scipy.linalg.solve_continuous_lyapunov(A.T, -A.T @ A)
  e = scipy.linalg.expm(A)
  energy = np.einsum("bi,ij,bj->b", x, p - e.T @ p @ e, x)
  np.testing.assert_allclose(way.energy, energy, rtol=1e-7)
  back, log_det = bijection.inverse({"net": {}}, way.y)
  np.testing.assert_allclose(back, x, atol=1e-7)
  np.testing.assert_allclose(log_det, -np.trace(A), rtol=1e-9)


def test_a_net_s_log_determinant_is_that_of_the_jacobian_on_a_fine_grid():
  net = VectorField(width=5, layers=1, dtype=jnp.float64)
  x, cond = jax.random.normal(jax.random.key(0), (2, 3)), jnp.eye(2)
  params, y = continuous(net, 2)[0].init(jax.random.key(1), x, None, cond)
  np.testing.assert_array_equal(y, x)  # it begins as the identity
  keys = iter(jax.random.split(jax.random.key(2), 20))
  params = jax.tree.map(lambda a: a + jax.random.normal(next(keys), a.shape), params)
  errors = []
  for steps in (2, 32):
    bijection, _ = continuous(net, steps)

    @jax.jit
    def run(x, cond, forward=bijection.forward):
      jacobian = jax.jacfwd(lambda x, c: forward(params, x[None], c[None])[0][0])
      return *forward(params, x, cond), jnp.linalg.slogdet(jax.vmap(jacobian)(x, cond))[1]

    y, log_det, want = run(x, cond)
    errors.append(float(jnp.abs(log_det - want).max()))
  assert errors[1] < 1e-5 < errors[0] and jnp.abs(want).min() > 0.1
  assert jnp.abs(run(x, cond[::-1])[0] - y).min() > 1e-3
