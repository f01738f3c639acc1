"""Whether samples are copies of training examples, by distances to the nearest one.

Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models", compares
the same two sets of distances.
"""

from __future__ import annotations

import chex
import numpy as np

from gen_jax import core


def nearest_distance(query: np.ndarray, reference: np.ndarray) -> np.ndarray:
  """Euclidean distance of each query to the nearest row of reference, a few rows at a time.

  Exact in float64: 0 for a copy.

  Args:
    query: [n, D], of any numeric type.
    reference: [m, D].

  Returns:
    [n] float64, in the units of D.

  Raises:
    ValueError: where a value is not finite, or a set is empty.
  """
  from sklearn.metrics import pairwise_distances_argmin

  chex.assert_rank([query, reference], 2)
  chex.assert_equal_shape_suffix([query, reference], 1)
  query, reference = np.asarray(query, np.float64), np.asarray(reference, np.float64)
  if not len(query) or not len(reference):
    raise ValueError("no nearest distance from or to an empty set")
  centre = reference.mean(axis=0)  # an offset would cost digits where neighbours are compared
  index = pairwise_distances_argmin(query - centre, reference - centre)
  # From the differences themselves: the search expands the square, which leaves a residue.
  return np.sqrt([np.sum((q - reference[i]) ** 2) for q, i in zip(query, index, strict=True)])


def nearest_indices(query: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
  """Rows of reference [m, D] nearest to each query [n, D], the nearest first: [n, k] int64."""
  from sklearn.neighbors import NearestNeighbors

  chex.assert_rank([query, reference], 2)
  search = NearestNeighbors(n_neighbors=min(k, len(reference)), algorithm="brute")
  return search.fit(reference).kneighbors(query, return_distance=False)


def nearest_train_ratio(samples: np.ndarray, held_out: np.ndarray, train: np.ndarray) -> float:
  """How near samples lie to the training set, against how near unseen data lie to it.

  Args:
    samples: [n, D].
    held_out: [h, D], real examples that are not in train.
    train: [m, D].

  Returns:
    Median distance of samples to their nearest in train, over that of held_out: about 1 for new
    samples as near to the data as data are, 0 for copies.

  Raises:
    core.UserError: where the median of held_out is 0, so that there is nothing to compare with.
    ValueError: where a value is not finite, or a set is empty.
  """
  unseen = np.median(nearest_distance(held_out, train))
  if unseen == 0:
    raise core.UserError("at least half of the held-out examples are in the training set too")
  return float(np.median(nearest_distance(samples, train)) / unseen)
