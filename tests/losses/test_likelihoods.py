"""Likelihoods against SciPy, normalisation and enumeration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.losses import likelihoods

LOGITS = jnp.array([[-2.0, 0.3, 1.0], [4.0, 0.0, -0.5]])
BINARY = jnp.array(list(itertools.product([0.0, 1.0], repeat=3)))


def test_sum_dims_keeps_what_it_is_told_to():
  x = jnp.arange(24.0).reshape(2, 3, 4)
  np.testing.assert_array_equal(likelihoods.sum_dims(x), [66, 210])
  np.testing.assert_array_equal(likelihoods.sum_dims(x, 1)[1], [54, 70, 86])
  np.testing.assert_array_equal(likelihoods.sum_dims(x, 0), x)


def test_bernoulli_is_a_distribution_and_scipy_s():
  log_p = likelihoods.bernoulli(BINARY, LOGITS[:, None])  # [2, 8]: two decoders, all pictures
  assert log_p.shape == (2, 8)
  np.testing.assert_allclose(jnp.exp(log_p).sum(axis=1), 1, rtol=1e-5)
  p = 1 / (1 + np.exp(-np.asarray(LOGITS, np.float64)))
  exact = stats.bernoulli.logpmf(np.asarray(BINARY)[None], p[:, None]).sum(-1)
  np.testing.assert_allclose(log_p, exact, rtol=1e-5)


def test_bernoulli_of_intensities_is_the_mean_over_their_binarisations():
  grey = np.array([0.2, 0.9, 0.5])
  chance = np.prod(np.where(np.asarray(BINARY) > 0, grey, 1 - grey), axis=1)
  log_p = likelihoods.bernoulli(BINARY, LOGITS[:, None])
  got = likelihoods.bernoulli(jnp.asarray(grey[None], jnp.float32), LOGITS[:, None])
  np.testing.assert_allclose(got[:, 0], np.asarray(log_p) @ chance, rtol=1e-5)


def test_gaussian_is_scipy_s():
  x, mean = np.random.default_rng(0).normal(size=(2, 4, 3, 2)).astype(np.float32)
  several = jnp.stack([mean, mean + 1])  # [L, B, ...]
  got = likelihoods.gaussian(jnp.asarray(x), several, jnp.float32(0.7))
  assert got.shape == (2, 4)
  for code, centre in zip(got, (mean, mean + 1)):
    exact = [
      stats.multivariate_normal(c.reshape(-1), 0.49 * np.eye(6)).logpdf(v.reshape(-1))
      for v, c in zip(x, centre)
    ]
    np.testing.assert_allclose(code, exact, rtol=1e-5)


@pytest.mark.parametrize("levels", [2, 17, 256])
@pytest.mark.parametrize("mean,scale", [(0.5, 0.15), (0.99, 0.004), (-0.3, 0.05), (0.4, 2.0)])
def test_discretised_logistic_is_a_distribution_and_scipy_s(levels, mean, scale):
  grid = np.arange(levels) / (levels - 1)
  got = likelihoods.discretized_logistic(
    jnp.asarray(grid, jnp.float32)[:, None], jnp.full((levels, 1), mean), jnp.float32(scale), levels
  )
  got = np.asarray(got, np.float64)
  np.testing.assert_allclose(np.exp(got).sum(), 1, atol=2e-4)
  edges = (np.arange(levels - 1) + 0.5) / (levels - 1)
  q = stats.logistic(mean, scale)
  p = np.where(
    grid > mean,
    -np.diff(q.sf([-np.inf, *edges, np.inf])),
    np.diff(q.cdf([-np.inf, *edges, np.inf])),
  )
  seen = p > 1e-30
  np.testing.assert_allclose(got[seen], np.log(p[seen]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
  "log_prob",
  [
    likelihoods.bernoulli,
    lambda x, o: likelihoods.gaussian(x, o, 0.01),
    lambda x, o: likelihoods.discretized_logistic(x, o, 0.001, 17),
  ],
)
def test_values_and_gradients_are_finite_far_out(log_prob):
  x, output = jnp.array([[0.0], [1.0], [0.25], [1.0]]), jnp.array([[90.0], [-90.0], [40.0], [9.0]])
  assert jnp.isfinite(log_prob(x, output)).all()
  gradient = jax.grad(lambda o: log_prob(x, o).sum())(output)
  assert jnp.isfinite(gradient).all()
  assert (jnp.sign(gradient[:2, 0]) == jnp.array([-1, 1])).all()
