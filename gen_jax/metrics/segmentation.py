"""How well label images agree: ratios of counts over a whole set, not means over images.

H[t, p] counts the pixels of true class t that are given class p (Long et al. 2015, section 5).
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np


def confusion_matrix(
  truth: np.ndarray, predicted: np.ndarray, classes: int, ignore: int = -1
) -> np.ndarray:
  """H [K, K] of label images of one shape [...]; pixels whose true label is `ignore` or outside
  0..K-1 are not counted.

  Raises:
    ValueError: if a counted pixel is given a class outside 0..K-1.
  """
  chex.assert_equal_shape([truth, predicted])
  truth, predicted = (np.asarray(a).astype(np.int64).ravel() for a in (truth, predicted))
  counts = (truth >= 0) & (truth < classes) & (truth != ignore)
  truth, predicted = truth[counts], predicted[counts]
  if ((predicted < 0) | (predicted >= classes)).any():
    raise ValueError(f"predicted classes must be in 0..{classes - 1}")
  flat = np.bincount(classes * truth + predicted, minlength=classes**2)
  return flat.reshape(classes, classes)


def class_accuracy(confusion: np.ndarray) -> float:
  """The mean of H_cc / H_c. over the classes that occur in truth; NaN where none does."""
  h = np.asarray(confusion, np.float64)
  occurs = h.sum(1) > 0
  return float((np.diag(h)[occurs] / h.sum(1)[occurs]).mean()) if occurs.any() else float("nan")


class Agreement(NamedTuple):
  """iou: H_cc / (H_c. + H_.c - H_cc) of each class [K]; NaN for one that is neither.
  mean_iou, dice: means over the classes that are not NaN, of IoU and of 2 IoU / (1 + IoU).
  pixel_accuracy: tr H / sum H. foreground_iou: of all classes but 0 taken as one."""

  iou: np.ndarray
  mean_iou: float
  dice: float
  pixel_accuracy: float
  foreground_iou: float


def agreement(confusion: np.ndarray) -> Agreement:
  """What a confusion matrix H [K, K], rows truth, says; NaN where nothing was counted."""
  h = np.asarray(confusion, np.float64)
  chex.assert_rank(h, 2)
  correct = np.diag(h)
  with np.errstate(invalid="ignore"):
    iou = correct / (h.sum(1) + h.sum(0) - correct)
    accuracy = correct.sum() / h.sum()
    foreground = h[1:, 1:].sum() / (h.sum() - h[0, 0])
  occurs = ~np.isnan(iou)
  dice = 2 * iou / (1 + iou)
  mean = lambda v: float(v[occurs].mean()) if occurs.any() else float("nan")
  return Agreement(iou, mean(iou), mean(dice), float(accuracy), float(foreground))
