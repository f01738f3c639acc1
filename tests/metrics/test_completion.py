import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import metrics


def test_the_conditional_mean_is_that_of_the_gaussian_s_covariance():
  """By the formula of the whole covariance matrix, S_hk S_kk^-1 (x_k - m_k)."""
  rng = np.random.default_rng(0)
  mean, weights = rng.standard_normal(24), rng.standard_normal((24, 3))
  x = rng.standard_normal((5, 4, 3, 2))
  hole = rng.uniform(size=(5, 4, 3)) < 0.4
  with jax.enable_x64(True):
    found = metrics.conditional_mean(metrics.Gaussian(mean, weights, 0.3), jnp.asarray(x), hole)
  covariance = weights @ weights.T + 0.3 * np.eye(24)
  for i in range(5):
    hidden = np.repeat(hole[i].reshape(-1), 2)
    gain = covariance[np.ix_(hidden, ~hidden)] @ np.linalg.inv(covariance[np.ix_(~hidden, ~hidden)])
    wanted = mean[hidden] + gain @ (x[i].reshape(-1)[~hidden] - mean[~hidden])
    np.testing.assert_allclose(np.asarray(found[i]).reshape(-1)[hidden], wanted, rtol=1e-9)


def test_a_gaussian_is_found_again():
  rng = np.random.default_rng(1)
  directions = np.linalg.qr(rng.standard_normal((12, 2)))[0] * [3, 2]
  x = 5 + rng.standard_normal((20_000, 2)) @ directions.T + 0.5 * rng.standard_normal((20_000, 12))
  mean, weights, variance = metrics.fit_gaussian(x.reshape(-1, 2, 2, 3), 2)
  assert variance == pytest.approx(0.25, rel=0.03)
  np.testing.assert_allclose(weights @ weights.T, directions @ directions.T, atol=0.1)
  np.testing.assert_allclose(mean, 5, atol=0.1)
  assert metrics.fit_gaussian(x[:4].reshape(-1, 2, 2, 3)).weights.shape == (12, 3)


def test_the_gradient_of_a_ramp_is_its_slope():
  i, j = jnp.meshgrid(jnp.arange(5.0), jnp.arange(6.0), indexing="ij")
  found = metrics.gradient_magnitude((3 * i + 4 * j)[None, ..., None])[0, ..., 0]
  np.testing.assert_allclose(found[:-1, :-1], 5)
  np.testing.assert_allclose(found[-1, :-1], 4)
  np.testing.assert_allclose(found[:-1, -1], 3)
