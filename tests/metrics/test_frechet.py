"""Frechet distance against closed forms, scipy's matrix square root and a transport plan."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from gen_jax import core
from gen_jax.metrics import frechet


def covariance(rng, size, rank=None):
  root = rng.standard_normal((size, rank or size))
  return root @ root.T


def test_commuting_covariances(rng):
  basis = scipy.stats.ortho_group.rvs(6, random_state=0)
  a, b = rng.uniform(0, 3, (2, 6))
  mean = rng.standard_normal((2, 6))
  value = frechet.gaussian_frechet_distance(
    mean[0], basis * a @ basis.T, mean[1], basis * b @ basis.T
  )
  expected = np.sum((mean[0] - mean[1]) ** 2) + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
  np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_covariances_that_do_not_commute(rng):
  a, b = covariance(rng, 7), covariance(rng, 7)
  zero = np.zeros(7)
  value = frechet.gaussian_frechet_distance(zero, a, zero, b)
  expected = np.trace(a + b - 2 * scipy.linalg.sqrtm(a @ b)).real
  np.testing.assert_allclose(value, expected, rtol=1e-9)


def test_is_the_cost_of_the_optimal_linear_map(rng):
  # x -> L x carries N(0, A) to N(0, L A L); for symmetric positive L no plan is cheaper (Brenier).
  a, plan = covariance(rng, 5), covariance(rng, 5)
  zero = np.zeros(5)
  value = frechet.gaussian_frechet_distance(zero, a, zero, plan @ a @ plan)
  step = plan - np.eye(5)
  np.testing.assert_allclose(value, np.trace(step @ a @ step), rtol=1e-9)


def test_singular_covariances_of_disjoint_support():
  a, b = np.diag([4.0, 0, 0]), np.diag([0, 0, 9.0])
  zero = np.zeros(3)
  np.testing.assert_allclose(frechet.gaussian_frechet_distance(zero, a, zero, b), 13)


def test_features_of_known_moments(rng):
  # Whitened, so that the sample moments are exactly those of the closed form.
  noise = rng.standard_normal((50, 4))
  noise -= noise.mean(axis=0)
  noise = noise @ np.linalg.inv(np.linalg.cholesky(np.cov(noise.T))).T
  scale, shift = np.array([1.0, 2, 0.5, 0]), np.array([3.0, 0, -1, 0])
  value = frechet.frechet_distance(noise, noise * scale + shift)
  np.testing.assert_allclose(value, np.sum((scale - 1) ** 2) + np.sum(shift**2), rtol=1e-9)


def test_translation_rotation_scale_and_symmetry(rng):
  a, b = rng.standard_normal((40, 6)), rng.standard_normal((30, 6)) * 2 + 1
  value = frechet.frechet_distance(a, b)
  turn = scipy.stats.ortho_group.rvs(6, random_state=1)
  np.testing.assert_allclose(frechet.frechet_distance(b, a), value)
  np.testing.assert_allclose(frechet.frechet_distance(a + 100, b + 100), value)
  np.testing.assert_allclose(frechet.frechet_distance(a @ turn, b @ turn), value)
  np.testing.assert_allclose(frechet.frechet_distance(3 * a, 3 * b), 9 * value)
  np.testing.assert_allclose(frechet.frechet_distance(a, a + 2), 6 * 4)


def test_fewer_examples_than_features_and_one_feature(rng):
  a = rng.standard_normal((5, 64)).astype(np.float32)
  assert frechet.frechet_distance(a, a) < 1e-6
  one = np.array([[0.0], [2.0]])  # mean 1, variance 2
  np.testing.assert_allclose(
    frechet.frechet_distance(one, 3 * one), (3 - 1) ** 2 + 2 * (3 - 1) ** 2
  )


def test_refusals(rng):
  a = rng.standard_normal((5, 3))
  with pytest.raises(core.UserError, match="not 1"):
    frechet.frechet_distance(a[:1], a)
  with pytest.raises(core.UserError, match="NaN or infinite values: 15 of 15"):
    frechet.frechet_distance(np.full((5, 3), np.nan), a)
  with pytest.raises(AssertionError):
    frechet.frechet_distance(a, a[:, :2])
