"""Reading pictures back by the nearest of all that a rule can draw."""

from __future__ import annotations

from collections.abc import Callable

import chex
import numpy as np

from gen_jax.metrics.finite import finite


def nearest_drawn(
  x: np.ndarray, draw: Callable[[np.ndarray], np.ndarray], size: int, chunk: int = 2048
) -> tuple[np.ndarray, np.ndarray]:
  """Which of the pictures that a rule draws is nearest to each of x, and at what squared distance.

  Args:
    x: [n, D].
    draw: positions [m] -> pictures [m, D].
    size: how many pictures there are.
    chunk: how many are drawn at once.

  Returns:
    Positions int64 [n], and squared distances float64 [n], exact: 0 for a copy.

  Raises:
    core.UserError: where a value is not finite.
  """
  chex.assert_rank(x, 2)
  x = finite(x, "the samples or examples")
  narrow = x.astype(np.float32)
  best, index = np.full(len(x), np.inf), np.zeros(len(x), np.int64)
  for start in range(0, size, chunk):
    pictures = draw(np.arange(start, min(start + chunk, size))).astype(np.float32)
    # |x - s|^2 less |x|^2, which is the same for every s.
    apart = np.einsum("sd,sd->s", pictures, pictures) - 2 * narrow @ pictures.T
    nearest = apart.argmin(axis=1)
    value = apart[np.arange(len(x)), nearest]
    nearer = value < best
    best, index = np.where(nearer, value, best), np.where(nearer, start + nearest, index)
  exact = [((row - draw(index[[i]])[0].astype(np.float64)) ** 2).sum() for i, row in enumerate(x)]
  return index, np.array(exact)
