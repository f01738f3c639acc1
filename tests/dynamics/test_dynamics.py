"""Integrators and divergences against linear fields, whose flow is a matrix exponential."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from gen_jax.core import fold_each
from gen_jax.dynamics import ode, trace

A = np.array([[0.3, -1.2, 0.1], [0.9, -0.4, 0.5], [-0.2, 0.7, 0.2]])
X = np.random.default_rng(0).normal(size=(5, 3))
linear = lambda t, x: x @ jnp.asarray(A, x.dtype).T


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


@pytest.mark.parametrize("method,order", [("euler", 1), ("heun", 2), ("midpoint", 2), ("rk4", 4)])
def test_the_error_falls_with_the_order(method, order):
  # x' = -2 t x^2 has the solution 1 / (1/x_0 + t^2): neither linear nor autonomous.
  x, errors = jnp.array([0.5, 1.0, 2.0]), []
  for steps in (40, 80, 160):
    grid = np.linspace(0, 1, steps + 1) ** 1.5
    end = ode.integrate(lambda t, x: -2 * t * x**2, x, grid, method=method)
    errors.append(float(jnp.abs(end - 1 / (1 / x + 1)).max()))
  slopes = np.log2(np.array(errors[:-1]) / errors[1:])
  np.testing.assert_allclose(slopes, order, atol=0.1)


def test_a_linear_field_is_a_matrix_exponential_with_its_trace():
  field, state = trace.with_divergence(linear), (jnp.asarray(X), jnp.zeros(5))
  path = ode.integrate(field, state, np.linspace(0, 1.5, 101), path=True)
  np.testing.assert_allclose(path[0][-1], X @ linalg.expm(1.5 * A).T, rtol=1e-7)
  np.testing.assert_allclose(path[1][-1], 1.5 * np.trace(A), rtol=1e-12)
  np.testing.assert_allclose(path[0][50], X @ linalg.expm(0.75 * A).T, rtol=1e-7)
  assert path[0].shape == (101, 5, 3) and path[1].shape == (101, 5)
  back = ode.integrate(field, (path[0][-1], path[1][-1]), np.linspace(1.5, 0, 101))
  np.testing.assert_allclose(back[0], X, atol=1e-7)
  np.testing.assert_allclose(back[1], 0, atol=1e-12)


def field(x):
  """A field [B, 3] that is not linear, each example's own."""
  return jnp.sin(x @ jnp.asarray(A)) * x[:, ::-1] + x[:, :1] ** 3


def test_the_divergence_is_the_trace_of_the_jacobian():
  jacobian = jax.vmap(jax.jacobian(lambda row: field(row[None])[0]))(jnp.asarray(X))
  y, exact = trace.divergence(field, jnp.asarray(X))
  np.testing.assert_allclose(exact, np.trace(jacobian, axis1=1, axis2=2), rtol=1e-12)
  np.testing.assert_array_equal(y, field(jnp.asarray(X)))
  # Over all sign vectors Hutchinson's estimate is the trace itself.
  signs = np.array(list(itertools.product([-1.0, 1.0], repeat=3)))
  probes = jnp.broadcast_to(signs[:, None], (8, 5, 3))
  np.testing.assert_allclose(trace.divergence(field, jnp.asarray(X), probes)[1], exact, rtol=1e-12)


def test_images_have_a_divergence_too():
  x = jax.random.normal(jax.random.key(0), (2, 2, 2, 1))
  _, got = trace.divergence(lambda x: x**3 + x.sum((1, 2, 3), keepdims=True), x)
  np.testing.assert_allclose(got, (3 * x**2 + 1).sum((1, 2, 3)), rtol=1e-12)


def test_signs_are_an_example_s_own():
  keys = lambda index: fold_each(jax.random.key(0), index)
  v = np.asarray(trace.rademacher(keys(jnp.arange(400)), (2, 2), 6))
  assert v.shape == (6, 400, 2, 2) and set(np.unique(v)) == {-1.0, 1.0}
  flat = v.reshape(-1, 4)
  assert np.abs(flat.T @ flat / len(flat) - np.eye(4)).max() < 5 / len(flat) ** 0.5
  np.testing.assert_array_equal(trace.rademacher(keys(jnp.array([3, 4])), (2, 2), 6), v[:, 3:5])


@pytest.mark.parametrize("remat", [False, True])
def test_gradients_go_through_the_steps(remat):
  grid = np.linspace(0, 1.5, 41)
  scale = lambda t, x, s: s * (x @ jnp.asarray(A).T)
  end = lambda s: ode.integrate(lambda t, x: scale(t, x, s), jnp.asarray(X), grid, remat=remat)
  # d/ds expm(s A T) = T A expm(s A T).
  exact = X @ (1.5 * A @ linalg.expm(1.5 * A)).T
  np.testing.assert_allclose(jax.jacobian(end)(1.0), exact, rtol=1e-5)
