"""Elastic deformation: a smooth random displacement of each image (Ronneberger et al. 2015, section
3.1), the same for all fields that are aligned."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from gen_jax.core import Array

POINTS = 3  # of the coarse grid, each way
SHARE = 10 / 512  # standard deviation: the paper's 10 pixels, of images of 512


def elastic(x: Array, key: Array) -> Array:
  """Displaces the pixels of each image by vectors drawn on a coarse grid, cubic between its points.

  Args:
    x: [B, H, W] label images, or [B, H, W, C] images.
    key: of the displacement, which depends on B, H and W besides.
  """
  size = jnp.asarray(x.shape[1:3])
  coarse = SHARE * size * jax.random.normal(key, (len(x), POINTS, POINTS, 2))
  return displace(x, jax.image.resize(coarse, (*x.shape[:3], 2), "cubic"))


def displace(x: Array, displacement: Array) -> Array:
  """x(p + u(p)) at every pixel p, the border repeated: of label images the nearest pixel, of images
  bilinear, rounded where they are integers.

  Args:
    x: [B, H, W] or [B, H, W, C].
    displacement: u [B, H, W, 2] in pixels, down and to the right.
  """
  chex.assert_shape(displacement, (*x.shape[:3], 2))
  rows, columns = jnp.meshgrid(*(jnp.arange(n) for n in x.shape[1:3]), indexing="ij")
  at = displacement + jnp.stack([rows, columns], -1)

  def sampled(image, where, order):
    return map_coordinates(image, [where[..., 0], where[..., 1]], order, mode="nearest")

  if x.ndim == 3:
    return jax.vmap(lambda image, where: sampled(image, where, 0))(x, at)
  channels = jax.vmap(lambda image, where: sampled(image, where, 1), (2, None), 2)
  return jax.vmap(channels)(x, at)
