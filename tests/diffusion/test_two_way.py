"""The bound of two linear chains, whose paths have a known Gaussian law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.diffusion import two_way

TABLE = two_way.grid(4, 1.5, (0.7, 1.3))


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def drift(x, t):
  return (0.4 - t) * x + 0.3


def score(x, t):
  return -x / (0.5 + t) + 0.2 * t


def eps(n, d=1, seed=0):
  drawn = jax.random.normal(jax.random.key(seed), (4, n, d), jnp.float64)
  return lambda i: drawn[i]


def affine(field, t):
  """(slope, offset) of a field of one number."""
  offset = float(field(0.0, t))
  return float(field(1.0, t)) - offset, offset


def back_law():
  """Mean [5] and covariance [5, 5] of x_0..x_4 of the backward chain, from its linear steps."""
  t, g = TABLE
  mean, noise = np.zeros(5), np.zeros((5, 5))  # x = mean + noise @ standard normals
  noise[4, 4] = 1
  for i in reversed(range(4)):
    h = t[i + 1] - t[i]
    (a, b), (c, d) = affine(drift, t[i + 1]), affine(score, t[i + 1])
    slope, offset = a - g[i + 1] ** 2 * c, b - g[i + 1] ** 2 * d
    mean[i] = (1 - h * slope) * mean[i + 1] - h * offset
    noise[i] = (1 - h * slope) * noise[i + 1]
    noise[i, i] = g[i + 1] * np.sqrt(h)
  return mean, noise @ noise.T


def test_log_w_is_the_ratio_of_the_densities_of_the_path():
  x = jnp.linspace(-1, 1, 6)[:, None]
  path = np.asarray(two_way.forward(drift, x, eps(6), TABLE))[..., 0].T
  t, g = TABLE
  h = np.diff(t)
  there = path[:, :-1] + h * np.stack([drift(path[:, i], t[i]) for i in range(4)], 1)
  ahead = stats.norm.logpdf(path[:, 1:], there, g[:-1] * np.sqrt(h)).sum(1)
  ratio = stats.multivariate_normal(*back_law()).logpdf(path) - ahead
  log_w = two_way.log_weight(drift, score, x, eps(6), TABLE)
  np.testing.assert_allclose(log_w, ratio, rtol=1e-10)


def test_samples_have_the_law_of_the_chain():
  n = 20_000
  start = jax.random.normal(jax.random.key(5), (n, 1), jnp.float64)
  path = np.asarray(two_way.backward(drift, score, start, eps(n), TABLE))[::-1, :, 0]
  mean, covariance = back_law()
  np.testing.assert_allclose(path.mean(1), mean, atol=0.04)
  np.testing.assert_allclose(np.cov(path), covariance, atol=0.06)


def test_the_mean_weight_is_the_density_and_the_bound_lies_above():
  x = jnp.array([[0.3, -0.8]])
  noise = lambda i: jax.random.normal(jax.random.key(i), (4, 1, 2), jnp.float64)

  def log_w(i):
    drawn = noise(i)
    return two_way.log_weight(drift, score, x, lambda j: drawn[j], TABLE)

  mean, covariance = back_law()
  exact = stats.norm.logpdf(np.asarray(x[0]), mean[0], covariance[0, 0] ** 0.5).sum()
  both = jax.jit(two_way.bounds, static_argnums=(0, 1, 2, 3))
  bound, tighter = both(log_w, 20_000, 1, jnp.float64)
  assert -tighter[0] == pytest.approx(exact, abs=0.02)
  assert bound[0] > tighter[0] + 0.05
  one, same = both(log_w, 1, 1, jnp.float64)
  assert one[0] == same[0]


def test_steps_computed_again_have_the_same_gradient():
  x = jnp.linspace(-1, 1, 12).reshape(6, 2)

  def value(a, remat):
    field = lambda x, t: jnp.tanh(a * x) - t
    return two_way.log_weight(field, score, x, eps(6, 2), TABLE, remat).sum()

  plain, again = (jax.value_and_grad(value)(1.3, remat) for remat in (False, True))
  np.testing.assert_allclose(plain, again, rtol=1e-12)
  step = 1e-6
  central = (value(1.3 + step, False) - value(1.3 - step, False)) / (2 * step)
  assert float(plain[1]) == pytest.approx(float(central), rel=1e-6)
