"""Learning from some classes only."""

import numpy as np
import pytest

from gen_jax import core, data


def test_test_split_keeps_all_and_nothing_else_changes():
  whole = data.load("digits")
  some = data.load("digits", only=(3, 5))
  for name in ("train", "validation"):
    a, b = whole.splits[name].arrays(), some.splits[name].arrays()
    kept = np.isin(a["label"], (3, 5))
    assert kept.any() and len(b["x"]) == kept.sum()
    np.testing.assert_array_equal(b["x"], a["x"][kept])
    assert set(b["label"]) == {3, 5}
  np.testing.assert_array_equal(
    some.splits["test"].arrays()["x"], whole.splits["test"].arrays()["x"]
  )
  assert some.spec == whole.spec


@pytest.mark.parametrize(
  "name,only", [("digits", (10,)), ("digits", (-1,)), ("toy2d:swissroll", (0,))]
)
def test_refusals(name, only):
  with pytest.raises(core.UserError, match="data.only"):
    data.load(name, only=only)
