"""How well colours a, b are met, over the pixels of a set (Zhang et al. 2016, section 3.1)."""

from __future__ import annotations

import chex
import numpy as np

THRESHOLDS = 151  # 0, 1, ..., 150
CELL = 10


def accumulated(distance: np.ndarray, weight: np.ndarray | None = None) -> float:
  """The area under the share of pixels whose distance [n] is at most t, a mean over t = 0..150, in
  percent; weight [n]: of the pixels, 1 each where there are none."""
  chex.assert_rank(distance, 1)
  met = np.clip(THRESHOLDS - np.ceil(distance), 0, THRESHOLDS) / THRESHOLDS
  return float(100 * np.average(met, weights=weight))


def cell_weights(ab: np.ndarray) -> np.ndarray:
  """1 / the share of its cell of 10 x 10 [n] of each ab [n, 2], so that all cells that occur count
  alike."""
  cells = np.rint(np.asarray(ab) / CELL).astype(np.int64)
  _, which, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
  return len(cells) / count[which.reshape(-1)]


def cell_entropy(ab: np.ndarray) -> float:
  """Entropy in nats of the cell of 10 x 10 that a pixel of ab [n, 2] falls into."""
  cells = np.rint(np.asarray(ab) / CELL).astype(np.int64)
  share = np.unique(cells, axis=0, return_counts=True)[1] / len(cells)
  return float(-(share * np.log(share)).sum())


class Table:
  """Mean ab for each grey level 0..levels-1, filled by parts."""

  def __init__(self, levels: int):
    self.sums, self.counts = np.zeros((levels, 2)), np.zeros(levels)

  def add(self, level: np.ndarray, ab: np.ndarray) -> None:
    """Pixels of these levels [n] and colours [n, 2]."""
    chex.assert_shape(ab, (len(level), 2))
    size = len(self.counts)
    self.counts += np.bincount(level, minlength=size)
    for i in range(2):
      self.sums[:, i] += np.bincount(level, ab[:, i], minlength=size)

  def __call__(self, level: np.ndarray) -> np.ndarray:
    """ab [n, 2]; the mean of all pixels for a level that none had."""
    mean = self.sums.sum(0) / max(self.counts.sum(), 1)
    seen = self.counts[:, None] > 0
    return np.where(seen, self.sums / np.where(seen, self.counts[:, None], 1), mean)[level]
