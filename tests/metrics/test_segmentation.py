"""Confusion of label images, beside scikit-learn, counts by hand and closed forms."""

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as reference
from sklearn.metrics import f1_score, jaccard_score

from gen_jax.metrics import agreement, confusion_matrix


def test_equal_to_scikit_learn(rng):
  truth, given = rng.integers(0, 5, (2, 7, 8, 9))
  counted = confusion_matrix(truth.astype(np.uint8), given, 5)
  np.testing.assert_array_equal(counted, reference(truth.ravel(), given.ravel()))
  found = agreement(counted)
  both = truth.ravel(), given.ravel()
  np.testing.assert_allclose(found.iou, jaccard_score(*both, average=None))
  np.testing.assert_allclose(found.dice, f1_score(*both, average="macro"))
  np.testing.assert_allclose(found.foreground_iou, jaccard_score(*(b > 0 for b in both)))


def test_counted_by_hand():
  """Truth 0 0 / 1 1, given 0 1 / 1 1: IoU 1/2 and 2/3; class 2 is nowhere and left out."""
  found = agreement(confusion_matrix(np.array([[0, 0], [1, 1]]), np.array([[0, 1], [1, 1]]), 3))
  np.testing.assert_allclose(found.iou, [1 / 2, 2 / 3, np.nan])
  np.testing.assert_allclose(found[1:], [7 / 12, (2 / 3 + 4 / 5) / 2, 3 / 4, 2 / 3])


def test_ignored_and_void_pixels_are_not_counted():
  truth, given = np.array([0, 1, 1, 255]), np.array([0, 0, 1, 1])
  np.testing.assert_array_equal(confusion_matrix(truth, given, 2), [[1, 0], [1, 1]])
  np.testing.assert_array_equal(confusion_matrix(truth, given, 2, ignore=0), [[0, 0], [1, 1]])
  with pytest.raises(ValueError, match="0..1"):
    confusion_matrix(truth, given + 1, 2)


def test_guessing_has_mean_iou_1_in_2k_minus_1(rng):
  truth, given = rng.integers(0, 4, (2, 400_000))
  assert agreement(confusion_matrix(truth, given, 4)).mean_iou == pytest.approx(1 / 7, abs=1e-3)
