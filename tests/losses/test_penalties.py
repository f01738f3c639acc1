"""Penalties against critics whose gradient norm is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.losses import penalties
from gen_jax.losses.penalties import PENALTIES

SHAPE = (5, 3, 2, 2)
rng = np.random.default_rng(0)
REAL, FAKE = (jnp.asarray(rng.normal(size=SHAPE), jnp.float32) for _ in range(2))
W = rng.normal(size=SHAPE[1:])
KEY = lambda: jax.random.key(0)


def linear(w):
  """A critic whose gradient is w everywhere."""
  return lambda x: jnp.sum(x * w, axis=(1, 2, 3))


def half_square(x):
  """A critic whose gradient at x is x."""
  return 0.5 * jnp.sum(x**2, axis=(1, 2, 3))


@pytest.mark.parametrize("name", ["wgan_gp", "dragan"])
def test_a_linear_critic_has_one_norm_over_the_whole_example(name):
  norm = np.linalg.norm(W)
  found = PENALTIES[name](linear(jnp.asarray(W)), KEY(), REAL, FAKE)
  np.testing.assert_allclose(found, np.full(5, (norm - 1) ** 2), rtol=1e-5)
  steep = PENALTIES[name](linear(jnp.asarray(W / norm)), KEY(), REAL, FAKE)
  np.testing.assert_allclose(steep, np.zeros(5), atol=1e-10)


def test_r1_of_a_linear_critic():
  found = PENALTIES["r1"](linear(jnp.asarray(W)), KEY(), REAL, FAKE)
  np.testing.assert_allclose(found, np.full(5, np.sum(W**2) / 2), rtol=1e-5)


def test_each_example_has_the_penalty_of_its_own_point():
  norms = np.linalg.norm(np.asarray(REAL).reshape(5, -1), axis=1)
  same = PENALTIES["wgan_gp"](half_square, KEY(), REAL, REAL)  # the line is a point
  np.testing.assert_allclose(same, (norms - 1) ** 2, rtol=1e-4)
  r1 = PENALTIES["r1"](half_square, KEY(), REAL, FAKE)
  np.testing.assert_allclose(r1, norms**2 / 2, rtol=1e-5)
  constant = jnp.ones(SHAPE)  # no spread: DRAGAN's neighbourhood is a point as well
  found = PENALTIES["dragan"](half_square, KEY(), constant, FAKE)
  np.testing.assert_allclose(found, np.full(5, (12**0.5 - 1) ** 2), rtol=1e-5)


@pytest.mark.parametrize("name", ["wgan_gp", "dragan", "r1"])
def test_the_penalty_s_gradient_reaches_the_critic_s_parameters(name):
  penalty = lambda w: PENALTIES[name](linear(w), KEY(), REAL, FAKE).mean()
  norm = np.linalg.norm(W)
  exact = W if name == "r1" else 2 * (norm - 1) * W / norm
  np.testing.assert_allclose(jax.grad(penalty)(jnp.asarray(W)), exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_flat_critic_has_finite_gradients(name):
  penalty = lambda w: PENALTIES[name](linear(w), KEY(), REAL, FAKE).mean()
  value, gradient = jax.value_and_grad(penalty)(jnp.zeros(SHAPE[1:]))
  np.testing.assert_allclose(value, 0 if name == "r1" else 1)
  np.testing.assert_array_equal(gradient, np.zeros(SHAPE[1:]))


def test_interpolation_draws_one_uniform_share_for_each_example():
  n = 2000
  a = penalties.interpolate(KEY(), jnp.ones((n, 2, 2, 3)), jnp.zeros((n, 2, 2, 3)))
  a = np.asarray(a).reshape(n, -1)
  np.testing.assert_array_equal(a, np.repeat(a[:, :1], a.shape[1], axis=1))
  assert stats.kstest(a[:, 0], "uniform").pvalue > 1e-3
  x = penalties.interpolate(KEY(), REAL, FAKE)
  between = np.asarray((x - FAKE) / (REAL - FAKE)).reshape(5, -1)
  np.testing.assert_allclose(between, np.repeat(between[:, :1], 12, axis=1), atol=1e-3)


def test_perturbation_is_uniform_times_uniform_of_half_a_deviation():
  n = 3000
  real = jnp.asarray(np.where(np.arange(n) % 2, 3.0, -3.0), jnp.float32)[:, None]
  u = np.asarray((penalties.perturb(KEY(), real) - real) / (0.5 * 3))[:, 0]
  # The product of two uniforms has the distribution function t - t log t.
  assert stats.kstest(u, lambda t: t - t * np.log(np.maximum(t, 1e-12))).pvalue > 1e-3


def test_the_perturbation_does_not_see_padding():
  mask = jnp.array([True, True, True, False, False])
  other = REAL.at[3:].set(1e3)
  a, b = (penalties.perturb(KEY(), x, mask) for x in (REAL, other))
  np.testing.assert_array_equal(a[:3], b[:3])
  assert not np.allclose(penalties.perturb(KEY(), other)[:3], b[:3])


def test_a_critic_that_does_not_give_one_logit_per_example_is_refused():
  with pytest.raises(AssertionError):
    penalties.gradient_norm(lambda x: x.sum(axis=(1, 2)), REAL)
