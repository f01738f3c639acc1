"""Scores of regions against counts over all pairs of pixels."""

import itertools

import numpy as np
import pytest

from gen_jax import metrics
from gen_jax.metrics import regions

RNG = np.random.default_rng(0)


def by_pairs(truth, predicted):
  """The Rand score as shares of ordered pairs of pixels, a pixel with itself among them."""
  t, s = regions.regions_of(truth), regions.regions_of(predicted)
  places = np.argwhere(t > 0)
  same = {"both": 0, "truth": 0, "predicted": 0}
  for p, q in itertools.product(map(tuple, places), repeat=2):
    in_t = t[p] == t[q]
    in_s = p == q or (s[p] == s[q] and s[p] > 0)
    same["both"] += in_t and in_s
    same["truth"] += in_t
    same["predicted"] += in_s
  return 2 * same["both"] / (same["truth"] + same["predicted"])


@pytest.mark.parametrize("seed", range(4))
def test_the_rand_score_counts_pairs(seed):
  rng = np.random.default_rng(seed)
  truth, predicted = rng.random((2, 8, 8)) > 0.35
  assert metrics.region_scores(truth, predicted).rand == pytest.approx(by_pairs(truth, predicted))


def test_the_same_regions_score_one_whatever_their_numbers():
  truth = RNG.random((12, 12)) > 0.3
  assert metrics.region_scores(truth, truth) == pytest.approx((1, 1))
  turned = metrics.region_scores(truth[::-1, ::-1], truth[::-1, ::-1])
  assert turned == pytest.approx((1, 1))


def test_two_halves_that_are_merged():
  truth = np.ones((8, 9), bool)
  truth[:, 4] = False  # a border between two halves, which is not counted
  found = metrics.region_scores(truth, np.ones((8, 9), bool))
  assert found.rand == pytest.approx(2 / 3) and found.information == pytest.approx(0)
  split = metrics.region_scores(np.ones((8, 9), bool), truth)
  assert split.rand < 1 and split.information == 0  # one true region says nothing


def test_information_of_independent_parts_is_none():
  truth = np.ones((9, 9), bool)
  truth[:, 4] = False
  across = np.ones((9, 9), bool)
  across[4] = False
  found = metrics.region_scores(truth, across)
  s = np.array([32, 32] + [1] * 8) / 72  # halves of 4 rows, and 8 border pixels, each alone
  t = np.array([36, 36]) / 72
  joint = np.array([16] * 4 + [1] * 8) / 72
  h = lambda p: -(p * np.log(p)).sum()
  assert found.information == pytest.approx((h(s) + h(t) - h(joint)) / ((h(s) + h(t)) / 2))


def test_a_truth_without_regions_has_no_score():
  assert np.isnan(metrics.region_scores(np.zeros((3, 3), bool), np.ones((3, 3), bool))).all()


def test_mean_iou_of_guesses():
  """Of K balanced classes, guessed at random, it is 1 / (2 K - 1)."""
  k = 5
  truth, guess = RNG.integers(k, size=(2, 200_000))
  found = metrics.agreement(metrics.confusion_matrix(truth, guess, k))
  assert found.mean_iou == pytest.approx(1 / (2 * k - 1), abs=0.003)
