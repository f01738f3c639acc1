"""Splines against quadrature, differentiation and their own knots."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.flows.spline import LEAST, rational_quadratic

BINS, BOUND = 5, 3.0
SPLINE = rational_quadratic(BINS, BOUND)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def theta_of(n, scale=1.0):
  """One spline, of n entries."""
  theta = scale * jax.random.normal(jax.random.key(3), (SPLINE.size, 1))
  return list(jnp.broadcast_to(theta, (SPLINE.size, n)))


def knots_of(theta):
  """x, y and slopes at the knots, by numpy."""
  raw = np.asarray(theta)[:, 0]
  e = np.exp([raw[:BINS], raw[BINS : 2 * BINS]])
  share = LEAST + (1 - BINS * LEAST) * e / e.sum(1, keepdims=True)
  x, y = (np.concatenate([[-BOUND], -BOUND + 2 * BOUND * np.cumsum(s)]) for s in share)
  inner = LEAST + np.log1p(np.exp(raw[2 * BINS :] + np.log(np.expm1(1 - LEAST))))
  return x, y, np.concatenate([[1], inner, [1]])


def test_the_slope_is_the_derivative_and_its_integral_the_map():
  x = jnp.linspace(-BOUND, BOUND, 20_001)
  theta = theta_of(len(x))
  y, log_slope = SPLINE.forward({}, x, theta)
  gradient = jax.grad(lambda x: SPLINE.forward({}, x, theta)[0].sum())(x)
  np.testing.assert_allclose(jnp.exp(log_slope)[1:-1], gradient[1:-1], rtol=1e-9)
  slope = np.exp(log_slope)
  area = np.concatenate([[0], np.cumsum((slope[1:] + slope[:-1]) / 2)]) * (x[1] - x[0])
  np.testing.assert_allclose(y, -BOUND + area, atol=1e-5)
  assert (np.diff(y) > 0).all() and slope.max() / slope.min() > 5


def test_it_goes_through_its_knots_with_their_slopes():
  x, y, d = knots_of(theta_of(1))
  x, y, d = x[1:-1], y[1:-1], d[1:-1]
  theta = theta_of(len(x))
  np.testing.assert_allclose(SPLINE.forward({}, jnp.asarray(x), theta)[0], y, rtol=1e-9)
  np.testing.assert_allclose(SPLINE.inverse({}, jnp.asarray(y), theta)[0], x, rtol=1e-9)
  for side in (-1e-6, 1e-6):
    step = SPLINE.forward({}, jnp.asarray(x + side), theta)[0]
    np.testing.assert_allclose((step - y) / side, d, rtol=1e-4)


def test_the_inverse_undoes_it_at_knots_ends_and_outside():
  x = np.concatenate([np.linspace(-9, 9, 501), knots_of(theta_of(1))[0], [-BOUND, BOUND]])
  theta = theta_of(len(x), scale=3.0)
  y, log_slope = SPLINE.forward({}, jnp.asarray(x), theta)
  back, inverse_slope = SPLINE.inverse({}, y, theta)
  np.testing.assert_allclose(back, x, atol=1e-9)
  np.testing.assert_allclose(inverse_slope, -log_slope, atol=1e-8)
  outside = np.abs(x) >= BOUND
  np.testing.assert_array_equal(y[outside], x[outside])
  assert (log_slope[outside] == 0).all() and (y[~outside] != x[~outside]).any()


def test_it_begins_as_the_identity():
  x = jnp.linspace(-5, 5, 101)
  y, log_slope = SPLINE.forward({}, x, [jnp.zeros(101)] * SPLINE.size)
  np.testing.assert_allclose(y, x, atol=1e-12)
  np.testing.assert_allclose(log_slope, 0, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_gradients_are_finite_wherever_a_point_lies(direction, dtype):
  x = np.concatenate([BOUND * np.array([-1e6, -10, -1, 0, 1, 10, 1e6]), knots_of(theta_of(1))[0]])
  x = jnp.asarray(x, dtype)
  run = getattr(SPLINE, direction)
  grad = jax.jit(jax.grad(lambda x, theta: sum(v.sum() for v in run({}, x, theta)), (0, 1)))
  for scale in (0.0, 1.0, 30.0):
    theta = [t.astype(dtype) for t in theta_of(len(x), scale)]
    gradients = grad(x, theta)
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients)), scale
    assert all(v.dtype == dtype for v in run({}, x, theta))


def test_refusals():
  for bins in (0, 1000):
    with pytest.raises(ValueError, match="1 to 999 bins"):
      rational_quadratic(bins, 1.0)
