"""The AUROC against counted pairs, and what noise keeps of the examples."""

import numpy as np
import pytest

from gen_jax import core, metrics


def test_auroc_is_the_share_of_pairs_in_order(rng):
  known, foreign = rng.integers(0, 9, 40).astype(float), rng.integers(0, 6, 30).astype(float)
  pairs = known[:, None] - foreign[None]
  expected = (pairs > 0).mean() + 0.5 * (pairs == 0).mean()
  np.testing.assert_allclose(metrics.auroc(known, foreign), expected)
  np.testing.assert_allclose(metrics.auroc(foreign, known), 1 - expected)
  assert metrics.auroc(known + 100, foreign) == 1


def test_noise_has_the_shape_and_the_marginals(rng):
  x = rng.integers(0, 17, (500, 4, 4, 1)).astype(np.uint8)
  x[:, 0] = 3
  noise = metrics.noise_like(x, 17, rng)
  for name, value in noise.items():
    assert value.shape == x.shape and value.dtype == x.dtype, name
  uniform, mixed = noise["uniform_noise"], noise["mixed_examples"]
  assert set(np.unique(uniform)) == set(range(17))
  np.testing.assert_array_equal(np.sort(mixed, axis=0), np.sort(x, axis=0))
  assert (mixed != x).mean() > 0.5
  points = rng.normal(size=(2000, 2)).astype(np.float32) * [1, 5]
  points[:, 1] += points[:, 0] * 20
  noise = metrics.noise_like(points.astype(np.float32), None, rng)
  assert (noise["uniform_noise"] >= points.min(0)).all()
  assert (noise["uniform_noise"] <= points.max(0)).all()
  assert abs(np.corrcoef(noise["mixed_examples"].T)[0, 1]) < 0.1 < np.corrcoef(points.T)[0, 1]


def test_refusals():
  with pytest.raises(core.UserError, match="scores of both sets"):
    metrics.auroc(np.zeros(3), np.zeros(0))
  with pytest.raises(ValueError):
    metrics.auroc(np.array([np.nan]), np.zeros(2))


def test_a_score_of_minus_infinity_is_the_lowest():
  assert metrics.auroc(np.array([0.0, 1.0]), np.array([-np.inf, -5.0])) == 1
  assert metrics.auroc(np.array([-np.inf, 1.0]), np.array([-np.inf, 0.0])) == 0.625
  with pytest.raises(core.UserError, match="1 of 3 scores are NaN"):
    metrics.auroc(np.array([0.0, np.nan]), np.array([1.0]))
