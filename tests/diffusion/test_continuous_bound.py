"""The bound in continuous time, where the best network is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate
from scipy.special import logsumexp

from gen_jax.core import centre
from gen_jax.diffusion import continuous_bound as bounds
from gen_jax.diffusion.algebra import corrupt
from gen_jax.diffusion.path import of_log_snr

FIRST, LAST = 7.0, -6.0


@pytest.fixture(autouse=True)
def double():
  with jax.enable_x64(True):
    yield


def straight():
  return of_log_snr(
    lambda t: FIRST + (LAST - FIRST) * t, lambda t: LAST - FIRST + 0 * t,
    lambda l: (l - FIRST) / (LAST - FIRST), lambda l: l,
  )  # fmt: skip


def bent():
  """The same ends, another gamma between them."""
  return of_log_snr(
    lambda t: FIRST + (LAST - FIRST) * t**2, lambda t: 2 * t * (LAST - FIRST),
    lambda l: l, lambda l: l,
  )  # fmt: skip


def bound(path, x, k, predict, levels, seed=0):
  """Of each example x [n, D], one of as many strata of the times for each."""
  n = len(x)
  t = (jnp.arange(n) + 0.5) / n
  t = t[jax.random.permutation(jax.random.key(seed + 1), n)]
  eps, other = jax.random.normal(jax.random.key(seed), (2, *x.shape))
  level = path.level(t)
  middle = bounds.diffusion_loss(
    eps, predict(corrupt(x, eps, level.alpha, level.sigma), level), level
  )
  first, last = (path.level(jnp.asarray(t)) for t in (0.0, 1.0))
  kl, decoder = bounds.ends(x, k, other, first, last, levels)
  return np.asarray(kl + middle + decoder)


def test_slopes_are_derivatives_of_gamma():
  p, t, h = bent(), jnp.linspace(0.1, 0.9, 5), 1e-5
  numeric = -(p.level(t + h).log_snr - p.level(t - h).log_snr) / (2 * h)
  np.testing.assert_allclose(bounds.slope_of_gamma(p.level(t)), numeric, rtol=1e-8)


@pytest.mark.parametrize("path", [straight, bent])
def test_the_bound_of_gaussian_data_in_closed_form(path):
  # x ~ N(0, s^2): the squared error of the best eps^ is alpha^2 s^2 / V, with V the variance of z.
  s, n = 0.6, 200_000
  x = s * jax.random.normal(jax.random.key(9), (n, 1))

  def predict(z, level):
    variance = (level.alpha * s) ** 2 + level.sigma**2
    return (level.sigma / variance)[:, None] * z

  value = bound(path(), x, None, predict, None)
  share = lambda g: s**2 / (s**2 + np.exp(g))
  middle = integrate.quad(share, -FIRST, -LAST)[0] / 2
  a, b = 1 / (1 + np.exp(-LAST)), 1 / (1 + np.exp(LAST))
  kl = (a * s**2 + b - 1 - np.log(b)) / 2
  exact = kl + middle + (1 + np.log(2 * np.pi) - FIRST) / 2
  assert abs(value.mean() - exact) < 5 * value.std() / n**0.5
  # It is above the entropy, and by little: z_1 is noise, and z_0 is x.
  assert 0 < exact - (1 + np.log(2 * np.pi * s**2)) / 2 < 0.01


@pytest.mark.parametrize("path", [straight, bent])
def test_the_bound_of_grey_levels_is_nearly_their_entropy(path):
  p, levels, n = np.array([0.4, 0.1, 0.05, 0.25, 0.2]), 5, 100_000
  k = jax.random.choice(jax.random.key(3), levels, (n, 1), p=jnp.asarray(p))
  grid = centre(jnp.arange(levels), levels, jnp.float64)

  def predict(z, level):
    a, s = level.alpha[:, None, None], level.sigma[:, None, None]
    weight = jax.nn.softmax(jnp.log(p) - (z[..., None] - a * grid) ** 2 / (2 * s**2), -1)
    x0 = (weight * grid).sum(-1)
    return (z - level.alpha[:, None] * x0) / level.sigma[:, None]

  value = bound(path(), centre(k, levels, jnp.float64), k, predict, levels)
  entropy = -(p * np.log(p)).sum()
  error = value.std() / n**0.5
  assert -4 * error < value.mean() - entropy < 0.01 + 4 * error


def test_the_decoder_is_a_distribution():
  level = straight().level(jnp.asarray(0.4))
  k = jnp.arange(9)[:, None]
  nll = bounds.softmax_decoder(k, jnp.full((9, 1), 0.33), level, 9)
  np.testing.assert_allclose(logsumexp(-np.asarray(nll)), 0, atol=1e-12)
