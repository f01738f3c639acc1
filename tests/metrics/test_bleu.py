"""BLEU by hand."""

import math

import pytest

from gen_jax.metrics import bleu

CAT = ["the", "cat", "sits", "on", "the", "mat"]


def test_what_is_wanted_has_100_and_nothing_in_common_0():
  assert bleu([CAT], [CAT]) == pytest.approx(100)
  assert bleu([["a", "b", "c", "d", "e"]], [["f", "g", "h", "i", "j"]]) == 0
  assert bleu([[]], [CAT]) == 0


def test_one_wrong_word_by_hand():
  # the cat sat on the mat: 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, and of 3 fours none, which
  # counts as half a match.
  made = ["the", "cat", "sat", "on", "the", "mat"]
  by_hand = 100 * (5 / 6 * 3 / 5 * 1 / 4 * (0.5 / 3)) ** 0.25
  assert bleu([made], [CAT]) == pytest.approx(by_hand)


def test_matches_are_clipped_and_short_translations_pay():
  made, wanted = ["the"] * 7, ["the", "cat", "is", "on", "the", "mat"]
  # 2 of 7 words; then half, a quarter and an eighth of a match.
  by_hand = 100 * (2 / 7 * (1 / 2) / 6 * (1 / 4) / 5 * (1 / 8) / 4) ** 0.25
  assert bleu([made], [wanted]) == pytest.approx(by_hand)
  assert bleu([CAT[:5]], [CAT]) == pytest.approx(100 * math.exp(1 - 6 / 5))
  longer = [*CAT, "."]
  assert bleu([longer], [CAT]) == pytest.approx(100 * (6 / 7 * 5 / 6 * 4 / 5 * 3 / 4) ** 0.25)


def test_it_is_a_ratio_of_sums_whatever_the_order():
  other = ["a", "dog", "runs", "in", "the", "park", "today"]
  made = [CAT, other[:3] + ["on"] + other[4:]]
  # Words 12 of 13, pairs 5 + 4 of 11, triples 4 + 2 of 9, fours 3 of 7.
  by_hand = 100 * (12 / 13 * 9 / 11 * 6 / 9 * 3 / 7) ** 0.25
  assert bleu(made, [CAT, other]) == pytest.approx(by_hand)
  assert bleu(made[::-1], [other, CAT]) == pytest.approx(by_hand)
