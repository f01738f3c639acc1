"""How well images are parted into regions, by pairs of pixels and by information.

The measures of the ISBI 2012 challenge (Arganda-Carreras et al. 2015, section 2.3). With p_ij the
share of pixels that are in region i of the prediction and in region j of the truth, and s_i, t_j
the shares of both,

  Rand score         sum p_ij^2 / (1/2 sum s_i^2 + 1/2 sum t_j^2)
  information score  I(S; T) / (1/2 H(S) + 1/2 H(T))

over the pixels that are in a region of the truth: its borders are left out. Borders of the
prediction there are regions of one pixel each. Nothing is thinned first.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np
from scipy import ndimage
from scipy.special import entr


class Scores(NamedTuple):
  """rand, information: in 0..1, 1 where the regions are the same; NaN where the truth has none."""

  rand: float
  information: float


def regions_of(inside: np.ndarray) -> np.ndarray:
  """Numbers from 1 of the 4-connected regions of inside [H, W], 0 outside."""
  chex.assert_rank(inside, 2)
  return ndimage.label(inside)[0]


def region_scores(truth: np.ndarray, predicted: np.ndarray) -> Scores:
  """Of two images of the same pixels.

  Args:
    truth: bool [H, W], False at borders.
    predicted: bool [H, W], the same.
  """
  chex.assert_equal_shape([truth, predicted])
  t, s = regions_of(truth), regions_of(predicted)
  counted = t > 0
  t, s = t[counted], s[counted]
  if not len(t):
    return Scores(float("nan"), float("nan"))
  alone = s == 0
  s[alone] = s.max() + 1 + np.arange(alone.sum())
  _, t = np.unique(t, return_inverse=True)
  _, s = np.unique(s, return_inverse=True)
  _, both = np.unique(s * (t.max() + 1) + t, return_counts=True)
  joint, of_s, of_t = (n / len(t) for n in (both, np.bincount(s), np.bincount(t)))
  square = lambda p: float((p**2).sum())
  entropy = lambda p: float(entr(p).sum())
  mean = (entropy(of_s) + entropy(of_t)) / 2
  information = entropy(of_s) + entropy(of_t) - entropy(joint)
  return Scores(
    2 * square(joint) / (square(of_s) + square(of_t)), information / mean if mean else 1.0
  )
