"""Terms of the bound against SciPy, quadrature and normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gen_jax.losses import diffusion


def test_prior_kl_sums_over_an_example():
  x0 = jnp.array([[[0.5, -1.0]], [[0.0, 0.2]]])
  each = [
    [integrate_kl(0.1 * float(v), 0.99) for v in example.reshape(-1)] for example in np.asarray(x0)
  ]
  got = diffusion.prior_kl(x0, jnp.float32(0.1), jnp.float32(0.99**0.5))
  np.testing.assert_allclose(got, np.sum(each, axis=1), rtol=1e-4, atol=1e-7)


def integrate_kl(mean, var):
  q = stats.norm(mean, var**0.5)
  f = lambda x: q.pdf(x) * (q.logpdf(x) - stats.norm.logpdf(x))
  return integrate.quad(f, -12, 12, epsabs=1e-12)[0]


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("mean,std", [(0.0, 0.3), (0.97, 0.01), (-1.4, 0.1), (0.1, 3.0)])
def test_discretised_gaussian_sums_to_one(levels, mean, std):
  k = jnp.arange(levels)[:, None]
  nll = diffusion.discretized_gaussian_nll(k, jnp.full((levels, 1), mean), jnp.float32(std), levels)
  assert (nll >= 0).all()
  np.testing.assert_allclose(np.exp(-np.asarray(nll, np.float64)).sum(), 1, atol=2e-4)


@pytest.mark.parametrize("levels,std", [(17, 0.05), (256, 0.02)])
def test_discretised_gaussian_against_scipy(levels, std):
  mean = 0.2
  centre, half = np.linspace(-1, 1, levels), 1 / (levels - 1)
  upper = np.where(np.arange(levels) == levels - 1, np.inf, centre + half)
  lower = np.where(np.arange(levels) == 0, -np.inf, centre - half)
  q = stats.norm(mean, std)
  right = lower > mean
  p = np.where(right, q.sf(lower) - q.sf(upper), q.cdf(upper) - q.cdf(lower))
  seen = p > 1e-30
  k = jnp.arange(levels)[:, None]
  nll = diffusion.discretized_gaussian_nll(k, jnp.full((levels, 1), mean), jnp.float32(std), levels)
  np.testing.assert_allclose(np.asarray(nll)[seen], -np.log(p[seen]), rtol=2e-3, atol=1e-5)


def test_discretised_gaussian_is_finite_and_has_gradients_in_the_far_tails():
  k, mean = jnp.array([[0], [3], [16], [16]]), jnp.array([[9.0], [-9.0], [-9.0], [9.0]])
  loss = lambda m: diffusion.discretized_gaussian_nll(k, m, jnp.float32(0.01), 17)
  assert jnp.isfinite(loss(mean)).all()
  assert jnp.isfinite(jax.grad(lambda m: loss(m).sum())(mean)).all()


def test_squared_error_averages_over_the_example_only():
  x, y = jnp.zeros((3, 2, 2, 1)), jnp.arange(3.0)[:, None, None, None] * jnp.ones((3, 2, 2, 1))
  np.testing.assert_allclose(diffusion.squared_error(x, y), [0, 1, 4])


def test_stratified_is_exact_with_all_strata_and_unbiased_with_few():
  np.testing.assert_array_equal(diffusion.stratified(jax.random.key(0), 37, 37), np.arange(37))
  f = np.random.default_rng(0).normal(size=37)
  keys = jax.random.split(jax.random.key(1), 4000)
  t = np.asarray(jax.vmap(lambda k: diffusion.stratified(k, 5, 37))(keys))
  assert t.min() == 0 and t.max() == 36
  estimates = f[t].mean(axis=1)
  assert abs(estimates.mean() - f.mean()) < 5 * estimates.std() / 4000**0.5
  edges = np.arange(5) * 37 / 5
  assert (t >= np.floor(edges)).all() and (t <= np.ceil(edges + 37 / 5)).all()


def test_the_strata_are_those_of_the_examples_that_are_not_padding():
  mask = jnp.array([True, True, False, True, False, True, True, False])
  t = np.asarray(diffusion.stratified(jax.random.key(0), 8, 1000, mask))
  assert ((t >= 0) & (t < 1000)).all()
  np.testing.assert_array_equal(t[np.asarray(mask)] // 200, np.arange(5))

  # The mean over the examples is unbiased: over the whole of f, not over its first half.
  f = np.linspace(-1, 1, 37) ** 3 + np.linspace(0, 1, 37)
  half = jnp.arange(10) < 5
  keys = jax.random.split(jax.random.key(1), 4000)
  t = np.asarray(jax.vmap(lambda k: diffusion.stratified(k, 10, 37, half))(keys))[:, :5]
  estimates = f[t].mean(axis=1)
  assert abs(estimates.mean() - f.mean()) < 5 * estimates.std() / 4000**0.5

  whole = diffusion.stratified(jax.random.key(2), 8, 50, jnp.ones(8, bool))
  np.testing.assert_array_equal(whole, diffusion.stratified(jax.random.key(2), 8, 50))
  assert (diffusion.stratified(jax.random.key(2), 8, 50, jnp.zeros(8, bool)) < 50).all()
