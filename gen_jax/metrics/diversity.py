"""How different samples of one class are from each other."""

from __future__ import annotations

import math

import chex
import numpy as np

from gen_jax.metrics.finite import finite

ROWS = 512  # of a matrix of distances at once


def mean_pairwise_distance(x: np.ndarray) -> float:
  """Mean Euclidean distance of two different rows of x [n, D], n > 1."""
  square, total = (x**2).sum(axis=1), 0.0
  for start in range(0, len(x), ROWS):
    rows = np.arange(start, min(start + ROWS, len(x)))
    squares = np.maximum(square[rows, None] + square - 2 * x[rows] @ x.T, 0)
    squares[np.arange(len(rows)), rows] = 0  # of an example to itself
    total += np.sqrt(squares).sum()
  return float(total / (len(x) * (len(x) - 1)))


def diversity_within_classes(
  samples: np.ndarray, labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray
) -> float:
  """Mean distance of two samples of a class over that of two real examples, averaged over classes.

  1 where samples differ as real examples do, 0 for one picture a class. A class with fewer than two
  samples counts as 0; classes without two different real examples are left out.

  Args:
    samples: [n, ...].
    labels: [n] classes that a classifier reads in them.
    real: [m, ...].
    real_labels: [m].

  Raises:
    core.UserError: where a value is not finite.
  """
  chex.assert_equal_shape_suffix([samples, real], samples.ndim - 1)
  samples, real = finite(samples, "the samples"), finite(real, "the data")
  flat = lambda x: x.reshape(len(x), math.prod(x.shape[1:]))
  ratios = []
  for c in np.unique(real_labels):
    own, theirs = flat(samples[labels == c]), flat(real[real_labels == c])
    if len(theirs) > 1 and (reach := mean_pairwise_distance(theirs)) > 0:
      ratios.append(mean_pairwise_distance(own) / reach if len(own) > 1 else 0.0)
  return float(np.mean(ratios)) if ratios else 0.0
