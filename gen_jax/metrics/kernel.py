"""Kernel distance between two sets of features.

Binkowski et al. 2018, "Demystifying MMD GANs" (arXiv:1801.01401), section 4. It is called KID only
where the features are InceptionV3's.
"""

from __future__ import annotations

import chex
import numpy as np

from gen_jax import core
from gen_jax.metrics.finite import finite

ROWS = 512  # of a kernel matrix at once


def kernel_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
  """Squared maximum mean discrepancy under the kernel k(a, b) = (a . b / F + 1)^3, in float64.

  The estimate is unbiased, and so below 0 half of the time for sets of one distribution.

  Args:
    features_a: [n, F].
    features_b: [m, F].

  Returns:
    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{i, j} k(a_i, b_j).

  Raises:
    core.UserError: where a set has fewer than two rows, or a feature is not finite.
  """
  chex.assert_rank([features_a, features_b], 2)
  chex.assert_equal_shape_suffix([features_a, features_b], 1)
  for features in (features_a, features_b):
    if len(features) < 2:
      raise core.UserError(f"a kernel distance needs two examples or more, not {len(features)}")
  a, b = (finite(features, "the features") for features in (features_a, features_b))

  def total(x, y):
    """sum_{i, j} k(x_i, y_j), of as many rows at once as memory is for."""
    return sum(kernel(x[i : i + ROWS], y).sum() for i in range(0, len(x), ROWS))

  def within(x):
    itself = (np.einsum("if,if->i", x, x) / x.shape[1] + 1) ** 3
    return (total(x, x) - itself.sum()) / (len(x) * (len(x) - 1))

  return float(within(a) + within(b) - 2 * total(a, b) / (len(a) * len(b)))


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
  """k [n, m] of x [n, F] and y [m, F]."""
  k = x @ y.T / x.shape[1] + 1
  return k * k * k
