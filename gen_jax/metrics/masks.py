"""How alike two sets of pictures of one thing are: where it is, how large, of which colour."""

from __future__ import annotations

from typing import NamedTuple

import chex
import numpy as np


class Likeness(NamedTuple):
  """iou: of the masks, the sum of intersections over the sum of unions, over all pictures.
  shift: mean distance of the masks' centroids, in pixels. area_ratio: of the sums of areas.
  colour_difference: mean absolute difference of the mean colours inside the masks, in the units of
  the pictures. missing: share of the pictures whose mask is empty where the other's is not; they
  count in `iou` and `area_ratio` only."""

  iou: float
  shift: float
  area_ratio: float
  colour_difference: float
  missing: float


def likeness(x: np.ndarray, y: np.ndarray, mask_x: np.ndarray, mask_y: np.ndarray) -> Likeness:
  """Of pictures x to pictures y; NaN where nothing is there to be compared.

  Args:
    x, y: [n, H, W, C].
    mask_x, mask_y: bool [n, H, W], the pixels of the thing.
  """
  chex.assert_equal_shape([x, y])
  chex.assert_shape([mask_x, mask_y], x.shape[:3])
  intersection, union = (f(mask_x, mask_y).sum() for f in (np.logical_and, np.logical_or))
  areas = mask_x.sum((1, 2)), mask_y.sum((1, 2))
  both = (areas[0] > 0) & (areas[1] > 0)
  seen = (areas[1] > 0).sum()

  def mean_in(mask, value):
    """Means [n', ...] of value [n, H, W, ...] over the pixels of each mask."""
    m = mask[both].reshape(*mask[both].shape, *(1,) * (value.ndim - 3)).astype(np.float64)
    return (m * value[both]).sum((1, 2)) / m.sum((1, 2))

  place = np.broadcast_to(np.moveaxis(np.indices(x.shape[1:3]), 0, -1), (*x.shape[:3], 2))
  apart = np.linalg.norm(mean_in(mask_x, place) - mean_in(mask_y, place), axis=-1)
  colours = np.abs(mean_in(mask_x, x) - mean_in(mask_y, y)).mean(-1)
  mean = lambda v: float(v.mean()) if len(v) else float("nan")
  ratio = lambda a, b: float(a / b) if b else float("nan")
  return Likeness(
    ratio(intersection, union),
    mean(apart),
    ratio(areas[0].sum(), areas[1].sum()),
    mean(colours),
    ratio(((areas[1] > 0) & ~both).sum(), seen),
  )
