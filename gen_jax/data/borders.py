"""Weights of the pixels between neighbouring instances (Ronneberger et al. 2015, eq. 2)."""

from __future__ import annotations

import math

import chex
import numpy as np

FARTHEST = 6  # standard deviations, from where on the exponential is below 2e-8


def instances_of(labels: np.ndarray, classes: int) -> np.ndarray:
  """Numbers from 1 of the 4-connected regions of one class each but 0, of labels [H, W]: [H, W]."""
  from scipy import ndimage

  chex.assert_rank(labels, 2)
  out, count = np.zeros(labels.shape, np.int32), 0
  for label in range(1, classes):
    found, more = ndimage.label(labels == label)
    out[found > 0] = found[found > 0] + count
    count += more
  return out


def border_weights(instances: np.ndarray, w0: float, sigma: float) -> np.ndarray:
  """w0 exp(-(d1 + d2)^2 / (2 sigma^2)), d1 and d2 the distances of a pixel to the nearest instance
  and to the second nearest, in pixels between their centres; 0 with fewer than two instances.

  Args:
    instances: [H, W], numbers from 1; 0 is no instance.
    w0, sigma: the paper's are 10 and 5 pixels.

  Returns:
    float32 [H, W].
  """
  from scipy import ndimage

  chex.assert_rank(instances, 2)
  far = math.ceil(FARTHEST * sigma)
  first, second = (np.full(instances.shape, np.inf) for _ in range(2))
  for number, box in enumerate(ndimage.find_objects(instances), 1):
    if box is None:
      continue
    near = tuple(slice(max(s.start - far, 0), s.stop + far) for s in box)
    distance = ndimage.distance_transform_edt(instances[near] != number)
    second[near] = np.minimum(second[near], np.maximum(first[near], distance))
    first[near] = np.minimum(first[near], distance)
  return (w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))).astype(np.float32)
