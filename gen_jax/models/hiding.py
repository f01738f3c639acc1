"""What `observe` hides of an example for `transform` to fill in, and how a picture says so.

Images [H, W, C] get one channel more, alpha: the highest level where a pixel is known, 0 where it
is hidden as the others are. Other data have K, one above the highest level, where they are hidden.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import chex
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array, Spec, UserError, fold_all
from gen_jax.diffusion.masked import hide
from gen_jax.schema import Share


@dataclasses.dataclass(frozen=True)
class Hiding:
  """What is hidden.

  hide: lower, the last rows (of a sequence its end), or random, pixels anywhere.
  share: of the rows, or pixels, that are hidden.
  """

  hide: Literal["lower", "random"] = "lower"
  share: Share = 0.5


def hole_of(spec: Spec, hiding: Hiding, keys: Array) -> Array:
  """bool [B, *places]: where examples are hidden; places are the pixels [H, W] of images, or all
  entries."""
  places = spec.shape[:2] if len(spec.shape) == 3 else spec.shape
  if hiding.hide == "lower":
    lower = jnp.arange(places[0]) >= places[0] - round(hiding.share * places[0])
    return jnp.broadcast_to(lower.reshape(-1, *[1] * (len(places) - 1)), (len(keys), *places))
  size = math.prod(places)
  n = jnp.full(len(keys), round(hiding.share * size))
  return hide(fold_all(keys, 0), n, size).reshape(-1, *places)


def mark(spec: Spec, x: Array, hidden: Array) -> Array:
  """x [B, *spec.shape] with what is hidden, see `hole_of`: images with an alpha, others with K."""
  if len(spec.shape) == 3:
    known = jnp.full_like(x[..., :1], spec.levels - 1)
    return jnp.where(hidden[..., None], 0, jnp.concatenate([x, known], -1)).astype(x.dtype)
  wide = jnp.promote_types(x.dtype, np.min_scalar_type(spec.levels))
  return jnp.where(hidden, spec.levels, x.astype(wide))


def read(spec: Spec, x: Array) -> tuple[Array, Array]:
  """(x [B, *spec.shape], bool of that shape, where it is hidden) of what `mark` gives.

  Raises:
    UserError: if images lack the alpha.
  """
  if len(spec.shape) != 3:
    chex.assert_shape(x, (None, *spec.shape))
    hidden = x >= spec.levels
    return jnp.where(hidden, 0, x).astype(spec.x.dtype), hidden
  channels, top = spec.shape[-1], spec.levels - 1
  if x.shape[1:] != (*spec.shape[:2], channels + 1):
    raise UserError(
      f"completion is given images of {spec.shape[0]}x{spec.shape[1]} with {channels + 1} channels,"
      f" of which the last is below {top} where they are hidden and {top} elsewhere, not of shape"
      f" {x.shape[1:]}"
    )
  known, hidden = x[..., :channels], x[..., channels:] < top
  return known, jnp.broadcast_to(hidden, known.shape)
