"""Times at which a sampler asks the network: float64 [steps + 1], from a path's noise down to 0.

  uniform   equal steps of t
  log_snr   equal steps of log_snr between two ends, then 0    (Lu et al. 2022, arXiv:2206.00927)
  rho       equal steps of (sigma / alpha)^(1/7) between them, then 0
                                                   (Karras et al. 2022, arXiv:2206.00364, eq. 5)

The ends are the path's own, but no more than 80 and no less than 0.002 in sigma / alpha.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gen_jax.core import UserError
from gen_jax.diffusion.path import Path, table

LARGEST, SMALLEST = 80.0, 0.002  # sigma / alpha


def ends(path: Path, largest: float = LARGEST, smallest: float = SMALLEST) -> tuple[float, float]:
  """(largest, smallest) sigma / alpha that is both on the path and between the two."""
  last, first = np.exp(-table(path, [path.last, path.first]).log_snr / 2)
  return float(min(last, largest)), float(max(first, smallest))


def uniform(path: Path, steps: int) -> np.ndarray:
  """Equal steps of t, from `last` to 0."""
  return np.linspace(path.last, 0.0, steps + 1)


def through(power: Callable, root: Callable) -> Callable[[Path, int], np.ndarray]:
  """Equal steps of root(sigma / alpha), whose inverse is `power`, and 0 behind them."""

  def grid(path, steps):
    high, low = ends(path)
    if steps < 2:
      raise UserError(f"this grid of times needs 2 steps or more, not {steps}: take uniform")
    ratio = power(np.linspace(root(high), root(low), steps))
    return np.append(path.time_of(-2 * np.log(ratio)), 0.0)

  return grid


log_snr = through(np.exp, np.log)
rho = through(lambda u: u**7, lambda ratio: ratio ** (1 / 7))

GRIDS: dict[str, Callable[[Path, int], np.ndarray]] = {
  "uniform": uniform, "log_snr": log_snr, "rho": rho,
}  # fmt: skip
