"""Conditions by name: labels, captions, sequences of actions; and as the data are."""

import unicodedata

import numpy as np
import pytest

from gen_jax.core import Field, Model, Spec, UserError, permutation
from gen_jax.data import SPECIAL, ArraySplit
from gen_jax.run.conditions import captions, conditions, parse_field, parse_given

WORDS = (*SPECIAL, "a", "red", "blue", "heart", "at", "the", "top")
CAPTION = Field((7,), len(WORDS), WORDS)
LABEL = Field((), 3, ("ape", "bee", "2"))
ACTION = Field((3,), 4, ("up", "down", "left", "right"))
SPEC = Spec(Field((4, 4, 1), 2), {"label": LABEL, "caption": CAPTION, "action": ACTION})


def model_of(*cond):
  return Model(None, None, None, cond=cond)


def test_text_becomes_a_value_of_the_field_s_shape():
  found = parse_given(
    model_of("label", "caption", "action"), SPEC,
    {"label": "bee", "caption": "a Red heart", "action": "right,right, up"},
  )  # fmt: skip
  assert found["label"] == 1 and found["label"].dtype == np.int32
  words = [WORDS[token] for token in found["caption"]]
  assert words == ["<bos>", "a", "red", "heart", "<eos>", "<pad>", "<pad>"]
  assert found["action"].tolist() == [3, 3, 0]
  # A name comes before a number: class "2" is the third one anyway, and 0 is the first.
  assert parse_field(LABEL, "2", "") == 2 and parse_field(LABEL, "0", "") == 0
  assert parse_field(Field((), 3, ("10", "11", "2")), "2", "") == 2
  assert parse_field(Field((2,)), "0.5,-1", "").tolist() == [0.5, -1.0]
  forms = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
  assert {int(parse_field(Field((), 2, ("a", a)), b, "")) for a in forms for b in forms} == {1}


def test_captions_are_told_a_line_each():
  texts = ("a red heart", "a heart at the top")
  rows = np.stack([parse_field(CAPTION, text, "") for text in texts])
  label = np.array([0, 1])
  assert captions(SPEC, {"label": label, "caption": rows}) == "a red heart\na heart at the top\n"
  assert captions(SPEC, {"label": label}) == captions(SPEC, {}) == ""


@pytest.mark.parametrize(
  ("field", "text", "message"),
  [
    (CAPTION, "a red whale", "no word 'whale' here"),
    (CAPTION, "a red haert", "no word 'haert' here; did you mean heart"),
    (CAPTION, "a red heart at the top", "has 6 words, and at most 5 are read"),
    (LABEL, "cat", "no 'cat' here; one of ape, bee, 2"),
    (LABEL, "3", r"must lie in 0..2, not 3"),
    (ACTION, "up,down", "takes 3 values with commas between them"),
    (ACTION, "up,down,sideways", "no 'sideways' here"),
    (Field((), None), "much", "takes a number, not 'much'"),
    (Field((2, 2), 2), "1", "no text: it is an image"),
  ],
)
def test_what_is_no_value_is_refused(field, text, message):
  with pytest.raises(UserError, match=f"--cond.f.*{message}"):
    parse_field(field, text, "--cond.f")


def test_a_field_that_the_model_does_not_take_is_refused():
  with pytest.raises(UserError, match="--cond.caption: this model takes label"):
    parse_given(model_of("label"), SPEC, {"caption": "a heart"})
  with pytest.raises(UserError, match="takes no condition"):
    parse_given(model_of(), SPEC, {"label": "ape"})


def test_given_fields_stand_everywhere_and_the_others_are_the_data_s():
  split = ArraySplit({
    "x": np.zeros((2, 4, 4, 1), np.uint8), "label": np.array([2, 1], np.int32),
    "caption": np.arange(14, dtype=np.int32).reshape(2, 7),
  })  # fmt: skip
  model = model_of("label", "caption")
  found = conditions(model, SPEC, 5, split=split, given={"label": np.int32(0)})
  assert found["label"].tolist() == [0] * 5
  first, second = permutation(2)
  np.testing.assert_array_equal(found["caption"][::2, 0], [7 * first] * 3)
  np.testing.assert_array_equal(found["caption"][1::2, 0], [7 * second] * 2)
  found = conditions(model, SPEC, 5, split=split, spread=True)
  assert found["label"].tolist() == [0, 1, 2, 0, 1]
  found = conditions(model, SPEC, 3, split=split)["label"].tolist()
  assert found == [[2, 1][first], [2, 1][second], [2, 1][first]]
  assert conditions(model_of(), SPEC, 3) == {}


def test_few_conditions_are_as_many_of_each_class_as_of_sorted_data():
  label = np.repeat(np.arange(10, dtype=np.int32), 130)
  split = ArraySplit({"x": np.zeros((1300, 1)), "label": label})
  spec = Spec.of((1,), classes=10)
  found = {
    n: conditions(model_of("label"), spec, n, split=split)["label"] for n in (100, 500, 1300, 1400)
  }
  for n, labels in found.items():
    np.testing.assert_array_equal(labels, found[1400][:n])  # sample i is its own
  # 500 of 1300 without replacement: hypergeometric, standard deviation 5.3.
  np.testing.assert_allclose(np.bincount(found[500], minlength=10), 50, atol=20)
  assert np.bincount(found[100], minlength=10).min() > 0
  np.testing.assert_array_equal(np.bincount(found[1300]), [130] * 10)  # each example once
  np.testing.assert_array_equal(found[1400][1300:], found[1400][:100])


def test_without_data_what_is_missing_is_asked_for():
  with pytest.raises(UserError, match="conditioned on caption: give --cond.caption=..."):
    conditions(model_of("label", "caption"), SPEC, 5)
