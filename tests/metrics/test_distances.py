"""Distances of sets against closed forms of Gaussians."""

import numpy as np
import pytest
from scipy import stats

from gen_jax import metrics


def test_energy_distance_in_one_dimension_is_scipy_s():
  a, b = np.random.default_rng(0).normal(size=(2, 300, 1))
  # SciPy's is the root, of the estimate that counts an example as its own neighbour.
  scipy = stats.energy_distance(a[:, 0], b[:, 0]) ** 2
  itself = sum(np.abs(x - x.T).sum() / 300**2 / 299 for x in (a, b))
  assert metrics.energy_distance(a, b) == pytest.approx(scipy - itself, rel=1e-9)


def test_energy_distance_is_unbiased():
  rng = np.random.default_rng(1)
  values = [metrics.energy_distance(*rng.normal(size=(2, 40, 2))) for _ in range(300)]
  assert abs(np.mean(values)) < 4 * np.std(values) / 300**0.5
  assert min(values) < 0


def test_sliced_wasserstein_of_a_shift_and_of_a_scale():
  x = np.random.default_rng(2).normal(size=(5000, 2))
  # A shift d moves every projection by d . u, of mean square |d|^2 / 2 in the plane; a scale c of
  # a standard normal moves its quantiles by (c - 1) times themselves.
  shifted = metrics.sliced_wasserstein(x, x + [3.0, 4.0])
  assert shifted == pytest.approx(5 / 2**0.5, rel=0.1)
  assert metrics.sliced_wasserstein(x, 1.5 * x) == pytest.approx(0.5, rel=0.05)
  assert metrics.sliced_wasserstein(x, x[::-1]) == pytest.approx(0, abs=1e-12)
  assert metrics.sliced_wasserstein(x[:4000], x[1000:]) < 0.05
