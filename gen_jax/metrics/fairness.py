"""How a binary classifier treats groups (Hardt, Price & Srebro 2016, section 2).

demographic parity   P(yhat = 1 | group) is the same for every group
equality of odds     P(yhat = 1 | y, group) is, for both y; of opportunity, for y = 1
"""

from __future__ import annotations

import chex
import numpy as np

from gen_jax.core import UserError

Rates = dict[int, dict[str, float]]


def rates(label: np.ndarray, predicted: np.ndarray, group: np.ndarray) -> Rates:
  """Rates of each group over a whole split: ratios of counts.

  Args:
    label, predicted: [N], 0 or 1.
    group: [N] integers.

  Returns:
    group -> {"positive": share predicted 1, "false_positive": that of those of label 0,
    "false_negative": share predicted 0 of those of label 1, "examples": how many}.

  Raises:
    UserError: if a group has no example of a label.
  """
  chex.assert_rank([label, predicted, group], 1)
  out = {}
  for name in np.unique(group).tolist():
    y, guess = label[group == name], predicted[group == name]
    if not (y == 0).any() or not (y == 1).any():
      raise UserError(f"group {name} has no example of label {int((y == 0).any())}: no rate of it")
    out[name] = {
      "positive": float((guess == 1).mean()),
      "false_positive": float((guess[y == 0] == 1).mean()),
      "false_negative": float((guess[y == 1] == 0).mean()),
      "examples": int(len(y)),
    }
  return out


def gaps(of_groups: Rates) -> dict[str, float]:
  """The largest difference between two groups in each rate."""
  spread = lambda name: float(np.ptp([each[name] for each in of_groups.values()]))
  return {name: spread(name) for name in ("positive", "false_positive", "false_negative")}
