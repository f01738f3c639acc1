"""Mixtures in many dimensions against scipy's normal densities and their own draws."""

import numpy as np
import pytest
from scipy import stats

from gen_jax import data
from gen_jax.data import mixture


@pytest.mark.parametrize("dims", [8, 16, 64])
def test_the_density_is_that_of_its_components(dims):
  weight, mean, axes = mixture.mixture(dims)
  x = mixture.draw(dims, 40, np.random.default_rng(0))["x"]
  covariance = axes @ axes.transpose(0, 2, 1)
  by_scipy = [
    w * stats.multivariate_normal.pdf(x, m, c)
    for w, m, c in zip(weight, mean, covariance, strict=True)
  ]
  np.testing.assert_allclose(mixture.log_density(dims, x), np.log(np.sum(by_scipy, 0)), rtol=1e-9)
  assert weight.sum() == pytest.approx(1) and weight.min() > 0.005
  deviation = np.sqrt(np.linalg.eigvalsh(covariance))
  assert deviation.min() > np.exp(-2) - 1e-9 and deviation.max() < 1 + 1e-9


def test_draws_follow_it():
  weight, mean, axes = mixture.mixture(8)
  drawn = mixture.draw(8, 200_000, np.random.default_rng(1))
  x, label = drawn["x"], drawn["label"]
  np.testing.assert_allclose(np.bincount(label) / len(label), weight, atol=4e-3)
  for k in (0, 7):
    mine = x[label == k]
    np.testing.assert_allclose(mine.mean(0), mean[k], atol=0.05)
    np.testing.assert_allclose(np.cov(mine.T), axes[k] @ axes[k].T, atol=0.06)


def test_splits_are_drawn_apart():
  one, other = (data.load("mixture:8", split_seed=seed) for seed in (0, 1))
  assert one.spec.shape == (8,) and one.spec.classes == 20 and one.spec.levels is None
  assert {name: len(split) for name, split in one.splits.items()} == mixture.SIZES
  x = {name: split.take(np.arange(50))["x"] for name, split in one.splits.items()}
  assert all((x["train"] != x[name]).all() for name in ("validation", "test"))
  log_p = one.notes["log_density"](x["test"])
  np.testing.assert_array_equal(log_p, mixture.log_density(8, x["test"]))
  assert (other.splits["train"].take(np.arange(50))["x"] != x["train"]).all()
