"""Colours that go with classes in training alone, and few labels."""

import numpy as np
import pytest

from gen_jax import core, data
from gen_jax.data import shapes
from gen_jax.data.source import keep_labels


def test_hearts_are_warm_in_training_and_of_all_colours_in_the_test_split():
  source = data.load("shapes:hearts", resolution=8, tint=0.9)
  whole = data.load("shapes", resolution=8)
  for name, split in source.splits.items():
    a = split.arrays()
    heart, cool = a["label"] == 1, a["group"] == 1
    share = 0.5 if name == "test" else 0.1
    assert abs(cool[heart].mean() - share) < 0.02 and abs(cool[~heart].mean() - 0.5) < 0.02
    bright = a["x"].reshape(len(heart), -1, 3).max(1) >= 128
    seen = bright.any(1)  # the colour can be told
    colours = {shapes.COLOURS[c][k] for c in ("green", "blue", "cyan") for k in (0,)}
    assert colours == {0}
    np.testing.assert_array_equal(cool[seen], ~bright[seen, 0])
  test = whole.splits["test"].arrays()
  np.testing.assert_array_equal(source.splits["test"].arrays()["x"], test["x"])
  with pytest.raises(core.UserError, match="half of the hearts or more"):
    data.load("shapes:hearts", tint=0.4)


def test_digits_have_their_class_s_colour_in_training_alone():
  source, plain = data.load("digits:tinted"), data.load("digits")
  for name, split in source.splits.items():
    a, grey = split.arrays(), plain.splits[name].arrays()
    np.testing.assert_array_equal(a["x"].max(-1), np.rint(grey["x"][..., 0] * (255 / 16)))
    own = (a["group"] == a["label"]).mean()
    assert abs(own - (0.1 if name == "test" else 0.95)) < 0.05
    hue = a["x"][a["group"] == 0].reshape(-1, 3)
    assert (hue[:, 1:] == 0).all() and hue[:, 0].any()  # red


def test_labels_keep_as_many_of_each_class_and_the_same_among_more():
  few, more = (data.load("digits", labels=n).splits["train"].arrays() for n in (2, 5))
  np.testing.assert_array_equal(np.bincount(few["label"]), np.full(10, 2))
  rows = lambda a: {x.tobytes() for x in a["x"]}
  assert rows(few) < rows(more)
  other = data.load("digits", labels=2, labels_seed=1)
  assert rows(other.splits["train"].arrays()) != rows(few)
  np.testing.assert_array_equal(
    other.splits["test"].arrays()["x"], data.load("digits").splits["test"].arrays()["x"]
  )
  assert len(data.load("digits", labels=10_000).splits["train"]) == len(
    data.load("digits").splits["train"]
  )
  with pytest.raises(core.UserError, match="data.labels needs data with labels"):
    keep_labels(data.from_arrays({"x": np.zeros((20, 3), np.float32)}), 2, 0)
