"""Bounds against a linear-Gaussian model, whose log p(x) is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.losses import elbo
from gen_jax.losses.kl import monte_carlo_kl, standard_kl
from gen_jax.losses.likelihoods import gaussian

# z ~ N(0, 1), x | z ~ N(2 z, 0.5^2): x ~ N(0, 4.25), and z | x ~ N(8 x / 17, 1 / 17).
X = jnp.array([[-1.0], [0.2], [3.0]])
LOG_P = stats.norm(0, 4.25**0.5).logpdf(np.asarray(X))[:, 0]
EXACT = (8 * X / 17, jnp.full_like(X, jnp.log(1 / 17)))
CRUDE = (0.4 * X + 0.1, jnp.full_like(X, jnp.log(0.2)))


def log_weights(q, count, seed=0):
  """log p(x, z) - log q(z | x) of draws z ~ q: [count, 3]."""
  mean, log_var = q
  z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(jax.random.key(seed), (count, *X.shape))
  return gaussian(X, 2 * z, 0.5) - monte_carlo_kl(z, mean, log_var)


def test_with_the_exact_posterior_every_bound_is_log_p():
  log_w = log_weights(EXACT, 6)
  np.testing.assert_allclose(log_w, np.broadcast_to(LOG_P, (6, 3)), rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(elbo.importance_weighted(log_w), LOG_P, rtol=1e-4, atol=1e-4)


def test_the_elbo_lies_below_by_the_divergence_of_the_posteriors():
  mean, log_var = CRUDE
  # E_q log N(x; 2 z, 1/4) in closed form, E_q (x - 2 z)^2 = (x - 2 mean)^2 + 4 var.
  square = (X - 2 * mean) ** 2 + 4 * jnp.exp(log_var)
  log_px = (-2 * square - jnp.log(0.5) - 0.5 * jnp.log(2 * jnp.pi))[:, 0]
  bound = elbo.elbo(log_px, standard_kl(mean, log_var))
  grid = np.linspace(-6, 6, 20_001)
  q = stats.norm(np.asarray(mean), np.exp(0.5 * np.asarray(log_var)))
  p = stats.norm(np.asarray(EXACT[0]), 17**-0.5)
  gap = np.trapezoid(q.pdf(grid) * (q.logpdf(grid) - p.logpdf(grid)), grid)
  np.testing.assert_allclose(LOG_P - bound, gap, rtol=1e-3)
  draws = np.asarray(log_weights(CRUDE, 40_000), np.float64)
  assert (abs(draws.mean(axis=0) - bound) < 4 * draws.std(axis=0) / 200).all()


def test_iwae_rises_with_k_to_log_p():
  log_w = log_weights(CRUDE, 60_000)
  bounds = [
    np.asarray(jax.vmap(elbo.importance_weighted)(log_w.reshape(-1, k, 3)), np.float64)
    for k in (1, 2, 5, 50, 1000)
  ]
  means = np.array([b.mean(axis=0) for b in bounds])
  assert (np.diff(means, axis=0) > 0).all()
  error = bounds[-1].std(axis=0) / len(bounds[-1]) ** 0.5
  assert (means[-1] < LOG_P + 4 * error).all()
  np.testing.assert_allclose(means[-1], LOG_P, atol=0.01)
  assert (LOG_P - means[0] > 0.1).all()


def test_the_gradient_of_iwae_weighs_by_the_normalised_weights():
  log_w = log_weights(CRUDE, 7)
  gradient = jax.grad(lambda w: elbo.importance_weighted(w).sum())(log_w)
  w = np.exp(np.asarray(log_w, np.float64))
  np.testing.assert_allclose(gradient, w / w.sum(axis=0), rtol=1e-4)


def test_iwae_of_weights_beyond_the_range_of_floats():
  np.testing.assert_allclose(
    elbo.importance_weighted(jnp.array([[-900.0, 500.0], [-900.0, -1e30]])),
    [-900, 500 - np.log(2)],
  )


@pytest.mark.parametrize("kl,better", [(3.0, 3.5), (8.0, 7.5)])
def test_the_capacity_draws_the_kl_to_itself_from_both_sides(kl, better):
  at = lambda kl: elbo.capacity_elbo(jnp.float32(-90), jnp.float32(kl), 10.0, 5.0)
  np.testing.assert_allclose(at(better) - at(kl), 10 * 0.5)
  assert at(5.0) == -90


def test_a_capacity_of_the_batch_leaves_each_example_its_own_kl():
  log_px, kl = jnp.full(4, -90.0), jnp.array([1.0, 9.0, 3.0, 1000.0])
  mask = jnp.array([True, True, True, False])
  # The mean is 13/3: 2/3 below the capacity, where each example is 4, 4 and 2 away.
  of_batch = elbo.batch_capacity_elbo(log_px, kl, 6.0, 5.0, mask)
  np.testing.assert_allclose(of_batch[:3].mean(), -90 - 6 * 2 / 3, rtol=1e-6)
  each = elbo.capacity_elbo(log_px, kl, 6.0, 5.0)
  np.testing.assert_allclose(each[:3].mean(), -90 - 6 * 10 / 3, rtol=1e-6)
  np.testing.assert_allclose(
    elbo.batch_capacity_elbo(log_px[:3], kl[:3], 6.0, 5.0), of_batch[:3], rtol=1e-6
  )
  # Every example's KL is drawn the same way, also that of the one above the capacity.
  slope = jax.grad(lambda kl: elbo.batch_capacity_elbo(log_px, kl, 6.0, 5.0, mask)[:3].mean())(kl)
  np.testing.assert_allclose(slope, [2, 2, 2, 0], rtol=1e-6)  # 6 / 3, and none for the padding


def test_the_capacity_is_annealed_from_nothing_and_stays():
  values = [elbo.annealed(step, 25.0, 100) for step in (0, 50, 100, 10_000)]
  np.testing.assert_allclose(values, [0, 12.5, 25, 25])
