"""Penalties against critics whose gradient norm is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.losses import penalties
from gen_jax.losses.penalties import PENALTIES, Penalties

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


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_r1_and_r2_of_a_linear_critic(name):
  found = PENALTIES[name](linear(jnp.asarray(W)), KEY(), REAL, FAKE)
  np.testing.assert_allclose(found, np.full(5, np.sum(W**2) / 2), rtol=1e-5)


def test_drift_holds_the_logits_of_real_examples_at_zero():
  mean = lambda b: PENALTIES["drift"](lambda x: linear(W)(x) + b, KEY(), REAL, FAKE).mean()
  logits = np.asarray(REAL, np.float64).reshape(5, -1) @ W.reshape(-1)
  np.testing.assert_allclose(jax.grad(mean)(0.3), 2 * (logits + 0.3).mean(), rtol=1e-4)


def test_each_example_has_the_penalty_of_its_own_point():
  norms = np.linalg.norm(np.asarray(REAL).reshape(5, -1), axis=1)
  same = PENALTIES["wgan_gp"](half_square, KEY(), REAL, REAL)  # the line is a point
  np.testing.assert_allclose(same, (norms - 1) ** 2, rtol=1e-4)
  r1 = PENALTIES["r1"](half_square, KEY(), REAL, FAKE)
  np.testing.assert_allclose(r1, norms**2 / 2, rtol=1e-5)
  of_fakes = np.linalg.norm(np.asarray(FAKE).reshape(5, -1), axis=1)
  r2 = PENALTIES["r2"](half_square, KEY(), REAL, FAKE)
  np.testing.assert_allclose(r2, of_fakes**2 / 2, rtol=1e-5)
  constant = jnp.ones(SHAPE)  # no spread: DRAGAN's neighbourhood is a point as well
  found = PENALTIES["dragan"](half_square, KEY(), constant, FAKE)
  np.testing.assert_allclose(found, np.full(5, (12**0.5 - 1) ** 2), rtol=1e-5)


@pytest.mark.parametrize("name", ["wgan_gp", "dragan", "r1", "r2"])
def test_the_penalty_s_gradient_reaches_the_critic_s_parameters(name):
  penalty = lambda w: PENALTIES[name](linear(w), KEY(), REAL, FAKE).mean()
  norm = np.linalg.norm(W)
  exact = W if name in ("r1", "r2") else 2 * (norm - 1) * W / norm
  np.testing.assert_allclose(jax.grad(penalty)(jnp.asarray(W)), exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_flat_critic_has_finite_gradients(name):
  penalty = lambda w: PENALTIES[name](linear(w), KEY(), REAL, FAKE).mean()
  value, gradient = jax.value_and_grad(penalty)(jnp.zeros(SHAPE[1:]))
  np.testing.assert_allclose(value, 1 if name in ("wgan_gp", "dragan") else 0)
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


def test_a_weight_for_every_penalty_and_none_by_default():
  names = [field.name for field in dataclasses.fields(Penalties)]
  assert names == list(PENALTIES) and not Penalties().active()
  total, terms = penalties.penalise(Penalties(), linear(W), KEY(), REAL, FAKE)
  assert total == 0 and not terms


def test_penalties_are_summed_with_their_weights():
  critic, norm = linear(jnp.asarray(W)), np.linalg.norm(W)
  weights = Penalties(wgan_gp=10.0, dragan=3.0, r2=0.5)
  total, terms = penalties.penalise(weights, critic, KEY(), REAL, FAKE)
  assert set(terms) == {"penalty_wgan_gp", "penalty_dragan", "penalty_r2"}
  np.testing.assert_allclose(total, 13 * (norm - 1) ** 2 + norm**2 / 4, rtol=1e-4)
  # Each draws for itself: no two share their shares of the way.
  steep = lambda x: jnp.sum(x**3, axis=(1, 2, 3))
  both = penalties.penalise(Penalties(wgan_gp=1.0, dragan=1.0), steep, KEY(), REAL, FAKE)[1]
  alone = penalties.penalise(Penalties(dragan=1.0), steep, KEY(), REAL, FAKE)[1]
  assert not np.allclose(both["penalty_dragan"], alone["penalty_dragan"])


def test_of_a_critic_that_sees_a_group_the_gradient_is_that_of_the_sum():
  """Every logit of the batch has a part in it: sum_j D_j is the square of the sum of all values."""
  s = lambda x: jnp.sum(x, axis=(1, 2, 3))
  critic = lambda x: s(x) * s(x).sum()
  total = np.asarray(REAL, np.float64).sum()
  found = penalties.squared_norm(critic, REAL)
  np.testing.assert_allclose(found, np.full(5, 12 * (2 * total) ** 2), rtol=1e-4)
