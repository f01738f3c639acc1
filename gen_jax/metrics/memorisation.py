"""Whether samples are copies of training examples, by distances to the nearest one.

Meehan et al. 2020, "A Non-Parametric Test to Detect Data-Copying in Generative Models", compares
the same two sets of distances.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np

from gen_jax.metrics.finite import finite

NEAR = 0.01  # quantile of held-out examples' distances: what few of them lie within


def nearest_distance(query: np.ndarray, reference: np.ndarray) -> np.ndarray:
  """Euclidean distance of each query to the nearest row of reference, a few rows at a time.

  Exact in float64: 0 for a copy.

  Args:
    query: [n, D], of any numeric type.
    reference: [m, D].

  Returns:
    [n] float64, in the units of D.

  Raises:
    core.UserError: where a value is not finite.
    ValueError: where a set is empty.
  """
  from sklearn.metrics import pairwise_distances_argmin

  chex.assert_rank([query, reference], 2)
  chex.assert_equal_shape_suffix([query, reference], 1)
  query = finite(query, "the samples or examples")
  reference = finite(reference, "the training examples")
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


class Copying(NamedTuple):
  """ratio: the median distance of samples to their nearest training example over that of held-out
  examples: about 1 for new samples as near to the data as data are, 0 where half are copies; None
  where the median of held-out examples is 0. nearer: the share of samples at most as far from a
  training example as `radius`, the NEAR quantile of those distances of held-out examples.
  held_out_nearer: the share of held-out examples that are; samples that are no copies have about
  the same.
  """

  ratio: float | None
  nearer: float
  held_out_nearer: float
  radius: float


def data_copying(samples: np.ndarray, held_out: np.ndarray, train: np.ndarray) -> Copying:
  """How near samples lie to the training set, against how near unseen data lie to it.

  A median sees copies only where they are half of the samples; the share of those that lie nearer
  than all but the nearest 1% of unseen data grows with each.

  Args:
    samples: [n, D].
    held_out: [h, D], real examples that are not in train.
    train: [m, D].

  Raises:
    core.UserError: where a value is not finite.
    ValueError: where a set is empty.
  """
  unseen, drawn = nearest_distance(held_out, train), nearest_distance(samples, train)
  radius = float(np.quantile(unseen, NEAR, method="lower"))  # a distance that occurs
  middle = float(np.median(unseen))
  ratio = float(np.median(drawn)) / middle if middle > 0 else None
  return Copying(ratio, float((drawn <= radius).mean()), float((unseen <= radius).mean()), radius)
