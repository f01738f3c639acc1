"""Rates by group of a table that is written out."""

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.metrics import gaps, rates

# Group 0: two of label 1, of which one is found; three of label 0, of which one is taken for it.
LABEL = np.array([1, 1, 0, 0, 0, 1, 1, 1, 1, 0])
GUESS = np.array([1, 0, 1, 0, 0, 1, 1, 1, 0, 0])
GROUP = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])


def test_rates_and_gaps():
  found = rates(LABEL, GUESS, GROUP)
  assert found[0] == {
    "positive": 2 / 5, "false_positive": 1 / 3, "false_negative": 1 / 2, "examples": 5,
  }  # fmt: skip
  assert found[1] == {
    "positive": 3 / 5, "false_positive": 0.0, "false_negative": 1 / 4, "examples": 5,
  }  # fmt: skip
  assert gaps(found) == pytest.approx(
    {"positive": 1 / 5, "false_positive": 1 / 3, "false_negative": 1 / 4}
  )
  swapped = rates(LABEL, GUESS, 1 - GROUP)
  assert swapped[0] == found[1] and gaps(swapped) == gaps(found)


def test_a_rate_of_nothing_is_refused():
  with pytest.raises(UserError, match="group 1 has no example of label 1"):
    rates(np.array([0, 1, 0]), np.array([0, 1, 0]), np.array([0, 0, 1]))
  with pytest.raises(UserError, match="group 1 has no example of label 0"):
    rates(np.array([0, 1, 1]), np.array([0, 1, 0]), np.array([0, 0, 1]))
