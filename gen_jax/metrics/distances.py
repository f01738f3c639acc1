"""Distances between two sets of vectors that no network or kernel width comes into."""

from __future__ import annotations

import chex
import numpy as np

from gen_jax.metrics.finite import finite

DIRECTIONS = 128


def energy_distance(a: np.ndarray, b: np.ndarray) -> float:
  """2 E|x - y| - E|x - x'| - E|y - y'| of x, x' of a and y, y' of b, independent.

  0 for one distribution, positive for two (Szekely & Rizzo 2013, J. Stat. Plan. Inference 143). The
  estimate is unbiased, and so below 0 half of the time for sets of one distribution.

  Args:
    a, b: [n, D] and [m, D], two rows or more.
  """
  from scipy.spatial.distance import cdist

  a, b = (finite(x, "the points") for x in (a, b))
  chex.assert_equal_shape_suffix([a, b], 1)
  within = lambda x: cdist(x, x).sum() / (len(x) * (len(x) - 1))
  return float(2 * cdist(a, b).mean() - within(a) - within(b))


def sliced_wasserstein(a: np.ndarray, b: np.ndarray, seed: int = 0) -> float:
  """The root of the mean squared Wasserstein-2 distance of projections to random directions.

  Of each projection it is that between the quantile functions (Bonneel et al. 2015, J. Math.
  Imaging Vis. 51, definition 1). Of two sets of n examples of one distribution it is about
  n^(-1/2) times the deviation, not 0.

  Args:
    a, b: [n, D] each.
    seed: of the DIRECTIONS directions.
  """
  a, b = (finite(x, "the points") for x in (a, b))
  chex.assert_equal_shape([a, b])
  directions = np.random.default_rng(seed).standard_normal((a.shape[1], DIRECTIONS))
  directions /= np.linalg.norm(directions, axis=0)
  sorted_a, sorted_b = (np.sort(x @ directions, axis=0) for x in (a, b))
  return float(np.sqrt(((sorted_a - sorted_b) ** 2).mean()))
