"""Refusal of numbers that no measure is defined for."""

from __future__ import annotations

import numpy as np

from gen_jax import core


def finite(x: np.ndarray, what: str) -> np.ndarray:
  """x, of any shape, as float64.

  Args:
    x: numbers.
    what: they are, in the plural, for the message.

  Raises:
    core.UserError: where one is NaN or infinite, as those of a model that diverged are.
  """
  x = np.asarray(x, np.float64)
  bad = x.size - int(np.isfinite(x).sum())
  if bad:
    raise core.UserError(f"{what} hold NaN or infinite values: {bad} of {x.size}")
  return x
