"""Likeness of pictures against squares whose places, sizes and colours are known."""

import numpy as np
import pytest

from gen_jax import metrics


def square(top, left, side, colour=1.0):
  x = np.zeros((1, 12, 12, 1))
  x[0, top : top + side, left : left + side] = colour
  return x


def likeness(x, y):
  return metrics.likeness(x, y, x[..., 0] > 0, y[..., 0] > 0)


def test_of_itself():
  found = likeness(square(2, 2, 4), square(2, 2, 4))
  assert found == (1, 0, 1, 0, 0)


def test_a_moved_square():
  found = likeness(square(2, 2, 4), square(5, 6, 4))
  assert found.shift == pytest.approx(5) and found.area_ratio == 1  # 3 down, 4 to the right
  assert found.iou == 0
  assert likeness(square(2, 2, 4), square(2, 4, 4)).iou == pytest.approx(8 / 24)


def test_size_and_colour():
  found = likeness(square(2, 2, 2, 0.25), square(1, 1, 4, 0.75))
  assert found.area_ratio == pytest.approx(1 / 4) and found.iou == pytest.approx(1 / 4)
  assert found.colour_difference == pytest.approx(0.5) and found.shift == 0


def test_the_iou_is_a_ratio_of_sums():
  x = np.concatenate([square(0, 0, 4), square(0, 0, 1)])
  y = np.concatenate([square(0, 0, 4), square(4, 4, 1)])
  assert likeness(x, y).iou == pytest.approx(16 / 18)  # a mean of ratios would be 1/2


def test_what_is_missing_is_said():
  found = likeness(square(0, 0, 0), square(0, 0, 4))
  assert found.missing == 1 and found.iou == 0 and np.isnan(found.shift)
