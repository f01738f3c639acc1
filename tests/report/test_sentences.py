"""Measures of translations between languages, by models whose translations are known."""

import numpy as np
import pytest

from gen_jax.core import Field, Model, Spec
from gen_jax.data import SPECIAL, ArraySplit, Source
from gen_jax.report import measures
from tests.report import made

FIELD = Field((8,), 10, (*SPECIAL, *"abcdef"))
SPEC = Spec(FIELD, {"y": FIELD})
SAME = Model(
  init=None, update=None, evaluate=None, transform=lambda states, x, keys, cond: x
)  # fmt: skip


def sentences(n, seed):
  rng = np.random.default_rng(seed)
  words = rng.integers(4, 10, size=(n, 5))
  return np.pad(np.c_[np.full(n, 1), words, np.full(n, 2)], ((0, 0), (0, 1))).astype(np.int32)


def taken(name, model, test, mesh, **notes):
  train = {"x": sentences(50, 0), "y": sentences(50, 1)}
  known = sentences(60, 2)
  splits = {"train": train, "validation": {"x": known, "y": known}, "test": test}
  source = Source(
    "made", SPEC, {name: ArraySplit(split) for name, split in splits.items()},
    {"counterparts": True, **notes},
  )  # fmt: skip
  return measures.take((name,), made.scene(model, source, mesh=mesh))


def test_bleu_of_what_is_right_and_of_a_word_that_no_vocabulary_holds(mesh):
  x = sentences(6, 3)
  assert taken("bleu", SAME, {"x": x, "y": x}, mesh)["bleu"]["value"] == pytest.approx(100)
  # a b c d <unk> for a b c d z: what is unknown is never right, whether or not texts are kept.
  one = np.array([[1, 4, 5, 6, 7, 3, 2, 0]], np.int32)
  by_hand = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
  for notes in ({}, {"texts": {"test": {"x": ("a b c d y",), "y": ("a b c d z",)}}}):
    found = taken("bleu", SAME, {"x": one, "y": one}, mesh, **notes)["bleu"]
    assert found["value"] == pytest.approx(by_hand)
    assert found["words"] == found["words_wanted"] == 5
  # Of texts that are longer than sentences of tokens are.
  texts = {"test": {"x": ("a",), "y": ("a b c d e f a b c d",)}}
  cut = np.array([[1, 4, 5, 6, 7, 8, 2, 0]], np.int32)
  found = taken("bleu", SAME, {"x": cut, "y": cut}, mesh, texts=texts)["bleu"]
  assert found["value"] == pytest.approx(100 * np.exp(1 - 10 / 5))


def test_a_dictionary_is_judged_by_the_source_or_by_pairs_of_validation(mesh):
  x = sentences(6, 3)
  wrong = SAME._replace(transform=lambda states, x, keys, cond: x + (x == 4))
  name, test = "dictionary", {"x": x, "y": x}
  for model, share in ((SAME, 1), (wrong, 5 / 6)):
    found = taken(name, model, test, mesh)["dictionary_precision"]
    assert found["value"] == found["of_200"] == pytest.approx(share) and found["examples"] == 6
    assert found["known"] == "IBM Model 1 of 60 pairs of validation"
    told = taken(name, model, test, mesh, translate=lambda text: text)["dictionary_precision"]
    assert told["value"] == pytest.approx(share) and told["known"] == "the source's own"
