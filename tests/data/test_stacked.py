"""Stacked digits: what stands in the channels, and that splits share nothing."""

import numpy as np

from gen_jax.data import digits, load


def test_channels_are_digits_of_the_split_and_the_label_is_theirs():
  source, single = load("stacked"), digits.load(validation=0.1, test=0.2, split_seed=0)
  assert source.spec.shape == (8, 8, 3) and source.spec.classes == 1000
  known = {}
  for name, split in single.splits.items():
    for x, label in zip(*(split.arrays()[k] for k in ("x", "label")), strict=True):
      known.setdefault(x.tobytes(), (name, label))
  for name, split in source.splits.items():
    arrays = split.arrays()
    assert arrays["x"].dtype == np.uint8 and len(arrays["x"]) >= 2000
    for x, label in zip(arrays["x"][:50], arrays["label"][:50], strict=True):
      read = [known[np.ascontiguousarray(x[..., c : c + 1]).tobytes()] for c in range(3)]
      assert {place for place, _ in read} == {name}
      assert label == int("".join(str(digit) for _, digit in read))
  assert len(np.unique(source.splits["train"].arrays()["label"])) == 1000
  again = load("stacked").splits["test"].arrays()["x"]
  np.testing.assert_array_equal(again, source.splits["test"].arrays()["x"])
