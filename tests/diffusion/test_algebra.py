"""The algebra against conditioned joint Gaussians, automatic differentiation and round trips."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.diffusion import algebra, schedule

S = schedule.cosine(100)
KINDS = ("eps", "x0", "v", "score")


@pytest.mark.parametrize("t,s", [(1, 0), (2, 1), (50, 49), (50, 10), (99, 3)])
def test_posterior_is_the_conditional_of_the_joint_gaussian(t, s):
  # Given x_0, (x_s, x_t) is Gaussian with x_t = r x_s + noise; condition it by linear algebra.
  a_t, a_s, s_t, s_s = S.alpha[t], S.alpha[s], S.sigma[t], S.sigma[s]
  r = a_t / a_s
  covariance = np.array([[s_s**2, r * s_s**2], [r * s_s**2, s_t**2]])
  gain = covariance[0, 1] / covariance[1, 1]
  x0, x_t = 0.7, -0.4
  mean = a_s * x0 + gain * (x_t - a_t * x0)
  var = covariance[0, 0] - gain * covariance[1, 0]
  q = algebra.posterior(a_t, s_t, a_s, s_s)
  np.testing.assert_allclose(q.from_t * x_t + q.from_0 * x0, mean, atol=1e-12)
  np.testing.assert_allclose(q.var, var, atol=1e-12)
  np.testing.assert_allclose(q.forward_var, s_t**2 - r**2 * s_s**2, atol=1e-12)


@pytest.mark.parametrize(
  "alpha_t,sigma_t,alpha_s,sigma_s",
  [(1.0, 2.0, 1.0, 1.0), (1.0, 80.0, 1.0, 1e-3), (0.3, 0.7, 0.5, 0.5), (0.2, 0.3, 0.9, 0.0)],
)
def test_posterior_of_any_path(alpha_t, sigma_t, alpha_s, sigma_s):
  # By quadrature of q(x_t | x_s) q(x_s | x_0), x_t being alpha_t / alpha_s x_s and noise.
  x0, x_t, r = 0.7, 0.9, alpha_t / alpha_s
  forward = sigma_t**2 - r**2 * sigma_s**2
  q = algebra.posterior(alpha_t, sigma_t, alpha_s, sigma_s)
  np.testing.assert_allclose(q.forward_var, forward, rtol=1e-12)
  mean, var = q.from_t * x_t + q.from_0 * x0, 0.0
  if sigma_s:
    x = alpha_s * x0 + sigma_s * np.linspace(-12, 12, 200_001)
    log_p = -((x - alpha_s * x0) ** 2) / (2 * sigma_s**2) - (x_t - r * x) ** 2 / (2 * forward)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    var = p @ (x - p @ x) ** 2
    np.testing.assert_allclose(mean, p @ x, rtol=1e-7)
  else:
    np.testing.assert_allclose(mean, x0 * alpha_s, rtol=1e-12)
  np.testing.assert_allclose(q.var, var, rtol=1e-7)
  if (alpha_t, alpha_s, sigma_t, sigma_s) == (1, 1, 2, 1):
    assert q.var == 0.75


@pytest.mark.parametrize("steps", [20, 1000, 4000])
def test_the_variance_of_a_step_between_neighbours_is_its_beta(steps):
  beta = np.linspace(1e-4, 0.02, steps)
  s = schedule.from_betas(beta)
  q = algebra.posterior(s.alpha[1:], s.sigma[1:], s.alpha[:-1], s.sigma[:-1])
  np.testing.assert_allclose(q.forward_var, beta, rtol=1e-12)


def test_posterior_then_marginal_is_the_marginal():
  # Integrating q(x_s | x_t, x_0) over q(x_t | x_0) must give q(x_s | x_0), for every s < t.
  for t in range(1, 101):
    for s in range(0, t, 7):
      q = algebra.posterior(S.alpha[t], S.sigma[t], S.alpha[s], S.sigma[s])
      np.testing.assert_allclose(q.from_t * S.alpha[t] + q.from_0, S.alpha[s], atol=1e-12)
      np.testing.assert_allclose(q.from_t**2 * S.sigma[t] ** 2 + q.var, S.sigma[s] ** 2, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_every_form_gives_back_all_others(kind):
  key = jax.random.key(0)
  x0, eps = jax.random.normal(key, (2, 5, 4, 4, 3))
  t = jnp.array([1, 3, 40, 80, 97])
  alpha, sigma = (jnp.asarray(a, jnp.float32)[t] for a in (S.alpha, S.sigma))
  x_t = algebra.corrupt(x0, eps, alpha, sigma)
  truth = algebra.forms(x0, eps, alpha, sigma)
  got = algebra.convert(getattr(truth, kind), kind, x_t, alpha, sigma)
  # Where alpha or sigma is small, the form that divides by it carries rounding noise only.
  for form, weight in (("x0", alpha), ("eps", sigma), ("v", alpha * sigma), ("score", sigma**2)):
    w = algebra.expand(weight, x_t)
    np.testing.assert_allclose(w * getattr(got, form), w * getattr(truth, form), atol=2e-6)
  np.testing.assert_allclose(algebra.corrupt(got.x0, got.eps, alpha, sigma), x_t, atol=2e-6)


def test_score_is_the_gradient_of_the_log_density():
  x0, eps, alpha, sigma = 0.3, -1.2, 0.8, 0.6
  x_t = algebra.corrupt(jnp.array([x0]), jnp.array([eps]), alpha, sigma)
  log_q = lambda x: jax.scipy.stats.norm.logpdf(x, alpha * x0, sigma).sum()
  truth = algebra.forms(jnp.array([x0]), jnp.array([eps]), alpha, sigma)
  np.testing.assert_allclose(truth.score, jax.grad(log_q)(x_t), rtol=1e-6)


def test_v_is_the_velocity_along_the_angle():
  # With alpha = cos(phi) and sigma = sin(phi), v = d x_phi / d phi (Salimans & Ho 2022, app. D).
  x0, eps, phi = jnp.array([0.3, -0.9]), jnp.array([1.5, 0.2]), 0.7
  path = lambda phi: algebra.corrupt(x0, eps, jnp.cos(phi), jnp.sin(phi))
  _, velocity = jax.jvp(path, (phi,), (1.0,))
  v = algebra.forms(x0, eps, jnp.cos(phi), jnp.sin(phi)).v
  np.testing.assert_allclose(v, velocity, rtol=1e-6)


def test_an_unknown_kind_is_refused():
  with pytest.raises(ValueError, match="kind 'noise'"):
    algebra.convert(jnp.zeros(1), "noise", jnp.zeros(1), 0.5, 0.5)
