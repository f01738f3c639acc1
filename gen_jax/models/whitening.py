"""Vectors whose directions all vary alike, by averages that training keeps.

  mean, second   averages of v and v v^T over the batches of about the last hundred updates
  C = second - mean mean^T = A diag(s) A^T
  white(v) = (v - mean) A diag(s + floor)^(-1/2) A^T                   (ZCA: Bell & Sejnowski 1997)

The floor, a hundredth of the mean of s, keeps still what hardly varies.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.learn import ema
from gen_jax.losses.normal import einsum

FLOOR = 0.01


def no_moments(size: int, dtype) -> dict[str, Array]:
  """Those of nothing: mean [E], second [E, E]."""
  return {"mean": jnp.zeros(size, dtype), "second": jnp.zeros((size, size), dtype)}


def followed(
  moments: dict[str, Array], v: Array, mask: Array | None, count: Array
) -> dict[str, Array]:
  """The moments after a batch v [B, E] more; mask [B]: what is no padding; count: of the batches
  before."""
  v = jax.lax.stop_gradient(v if mask is None else jnp.where(mask[:, None], v, 0))
  n = len(v) if mask is None else jnp.maximum(mask.sum(), 1)
  new = {"mean": v.sum(0) / n, "second": einsum("bi,bj->ij", v, v) / n}
  return ema.update(moments, new, ema.STATISTICS, count)


def no_whitening(size: int, dtype) -> dict[str, Array]:
  """What leaves vectors as they are: mean [E], matrix [E, E]."""
  return {"mean": jnp.zeros(size, dtype), "matrix": jnp.eye(size, dtype=dtype)}


def zca(moments: dict[str, Array]) -> dict[str, Array]:
  """What makes vectors of these moments white: mean [E], matrix [E, E]."""
  mean, second = moments["mean"], moments["second"]
  variance, axes = jnp.linalg.eigh(second - jnp.outer(mean, mean))
  scale = 1 / jnp.sqrt(jnp.maximum(variance, 0) + FLOOR * variance.mean())
  return {"mean": mean, "matrix": einsum("ij,kj->ik", axes * scale, axes)}


def white(v: Array, by: dict[str, Array]) -> Array:
  """v [B, E] -> [B, E]."""
  return einsum("bi,ij->bj", v - by["mean"], by["matrix"])
