"""Vectors whose directions all vary alike, by averages that training keeps.

  mean, second   averages of v and v v^T over the batches of about the last hundred updates
  C = second - mean mean^T = A diag(s) A^T
  white(v) = (v - mean) A diag(s + floor)^(-1/2) A^T       (ZCA: Bell & Sejnowski 1997, eq. 9-10)

The floor, a hundredth of the mean of s, keeps still what hardly varies.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gen_jax.core import Array

MEMORY, FLOOR = 0.99, 0.01


def no_moments(size: int, dtype) -> dict[str, Array]:
  """Those of nothing: weight [], mean [E], second [E, E]."""
  zeros = lambda *shape: jnp.zeros(shape, dtype)
  return {"weight": zeros(), "mean": zeros(size), "second": zeros(size, size)}


def followed(moments: dict[str, Array], v: Array, mask: Array | None = None) -> dict[str, Array]:
  """The moments after a batch v [B, E] more; mask [B]: what is no padding."""
  v = jax.lax.stop_gradient(v if mask is None else jnp.where(mask[:, None], v, 0))
  counted = jnp.ones(len(v), v.dtype) if mask is None else mask.astype(v.dtype)
  share = counted / jnp.maximum(counted.sum(), 1)
  new = {"weight": jnp.ones((), v.dtype), "mean": share @ v, "second": (share[:, None] * v).T @ v}
  return jax.tree.map(lambda old, now: MEMORY * old + (1 - MEMORY) * now, moments, new)


def no_whitening(size: int, dtype) -> dict[str, Array]:
  """What leaves vectors as they are: mean [E], matrix [E, E]."""
  return {"mean": jnp.zeros(size, dtype), "matrix": jnp.eye(size, dtype=dtype)}


def whitening(moments: dict[str, Array]) -> dict[str, Array]:
  """What makes vectors of these moments white: mean [E], matrix [E, E]."""
  mean, second = (moments[name] / moments["weight"] for name in ("mean", "second"))
  variance, axes = jnp.linalg.eigh(second - jnp.outer(mean, mean))
  scale = 1 / jnp.sqrt(jnp.maximum(variance, 0) + FLOOR * variance.mean())
  return {"mean": mean, "matrix": (axes * scale) @ axes.T}


def white(v: Array, by: dict[str, Array]) -> Array:
  """v [B, E] -> [B, E]."""
  return (v - by["mean"]) @ by["matrix"]
