"""Precision, recall, density and coverage of samples in a feature space.

Precision and recall: Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing
Generative Models", section 2. Density and coverage: Naeem et al. 2020, "Reliable Fidelity and
Diversity Metrics for Generative Models", section 3.
"""

from __future__ import annotations

import chex
import numpy as np

from gen_jax import core
from gen_jax.metrics.finite import finite

CHUNK_MIB = 64


def precision_recall_density_coverage(
  real: np.ndarray, fake: np.ndarray, k: int = 5
) -> dict[str, float]:
  """Fidelity and diversity of fake against real, by balls that reach the k-th nearest neighbour.

  Euclidean distances in float64, a few rows of the distance matrix at a time.

  Args:
    real: [n, F] features of data, n > k.
    fake: [m, F] features of samples, m > k.
    k: which neighbour within its own set (itself not counted) gives an example's radius.

  Returns:
    precision: fraction of fake within the ball of any real, in [0, 1].
    recall: fraction of real within the ball of any fake, in [0, 1].
    density: mean over fake of the number of real balls that hold it, over k; may exceed 1.
    coverage: fraction of real whose ball holds a fake, in [0, 1].

  Raises:
    core.UserError: where a set has not more than k examples, k < 1, or a feature is not finite.
  """
  from sklearn.metrics import pairwise_distances_chunked

  chex.assert_rank([real, fake], 2)
  chex.assert_equal_shape_suffix([real, fake], 1)
  if not 1 <= k < min(len(real), len(fake)):
    raise core.UserError(f"k={k} must be at least 1 and below both {len(real)=} and {len(fake)=}")
  real, fake = finite(real, "the features"), finite(fake, "the features")
  centre = np.mean(real, axis=0, dtype=np.float64)  # an offset would cost digits of the distances
  real, fake = real - centre, fake - centre
  radius_real, radius_fake = _radius(real, k), _radius(fake, k)

  held, recalled, covered = np.zeros(len(fake), int), [], []
  start = 0
  for distance in pairwise_distances_chunked(real, fake, working_memory=CHUNK_MIB):
    inside = distance < radius_real[start : start + len(distance), None]
    held += inside.sum(axis=0)
    covered.append(inside.any(axis=1))
    recalled.append((distance < radius_fake).any(axis=1))
    start += len(distance)
  return {
    "precision": float((held > 0).mean()),
    "recall": float(np.concatenate(recalled).mean()),
    "density": float(held.mean() / k),
    "coverage": float(np.concatenate(covered).mean()),
  }


def _radius(points: np.ndarray, k: int) -> np.ndarray:
  """Distance of each of points [n, F] to its k-th nearest neighbour, itself not counted: [n]."""
  from sklearn.neighbors import NearestNeighbors

  distance, _ = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(points).kneighbors()
  # A hair less, so that rounding does not let an equal distance pass for a smaller one.
  return distance[:, -1] * (1 - 1e-9)
