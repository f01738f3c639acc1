"""Divergences against quadrature and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gen_jax.losses import kl

MEAN = jnp.array([[0.5, -1.0, 0.0], [2.0, 0.1, -0.3]])
LOG_VAR = jnp.array([[0.0, -2.0, 0.7], [-1.0, 0.2, -4.0]])


def by_quadrature(mean_q, var_q, mean_p=0.0, var_p=1.0):
  q, p = stats.norm(mean_q, var_q**0.5), stats.norm(mean_p, var_p**0.5)
  reach = (mean_q - 12 * var_q**0.5, mean_q + 12 * var_q**0.5)
  return integrate.quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *reach, epsabs=1e-10)[0]


@pytest.mark.parametrize("q,p", [((0.3, 0.5), (0.3, 0.5)), ((1.0, 0.2), (-0.5, 2.0))])
def test_gaussian_kl_by_quadrature(q, p):
  got = kl.gaussian_kl(*(jnp.asarray(v) for v in (*q, *p)))
  np.testing.assert_allclose(got, by_quadrature(*q, *p), atol=1e-6)


def test_standard_kl_sums_over_the_units_of_a_code():
  got = kl.standard_kl(MEAN, LOG_VAR)
  exact = [
    sum(by_quadrature(float(m), float(np.exp(v))) for m, v in zip(mean, log_var))
    for mean, log_var in zip(MEAN, LOG_VAR)
  ]
  np.testing.assert_allclose(got, exact, rtol=1e-5)


def test_monte_carlo_kl_is_unbiased():
  sigma = jnp.exp(0.5 * LOG_VAR)
  z = MEAN + sigma * jax.random.normal(jax.random.key(0), (40_000, 2, 3))
  draws = np.asarray(kl.monte_carlo_kl(z, MEAN, LOG_VAR), np.float64)
  assert draws.shape == (40_000, 2) and draws.min() < 0
  error = draws.std(axis=0) / 200
  assert (abs(draws.mean(axis=0) - kl.standard_kl(MEAN, LOG_VAR)) < 4 * error).all()


def test_a_vanishing_variance_is_no_nan():
  log_var = jnp.array([[-200.0]])
  cost = lambda log_var: kl.standard_kl(jnp.zeros((1, 1)), log_var).sum()
  value, gradient = jax.value_and_grad(cost)(log_var)
  np.testing.assert_allclose(value, 99.5)  # -1/2 (1 - 200)
  np.testing.assert_allclose(gradient, -0.5)
