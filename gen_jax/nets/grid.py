"""Vectors and logits of the points of a grid, which share what their coordinates have in common.

  vector of point p    its own + sum_i that of coordinate p_i on axis i
  logit of point p     the same of weights

The codes of finite scalar quantisation are such points (Mentzer et al. 2023, arXiv:2309.15505):
neighbours stand for nearly the same, which a table of its own for each would have to find out.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.dense import Dense, product


def coordinates(grid: tuple[int, ...]) -> np.ndarray:
  """Which coordinates each point has, [K, L_1 + ... + L_D] of zeros and ones; the points of the
  last axis stand side by side."""
  points = np.stack(np.unravel_index(np.arange(np.prod(grid)), grid), -1)
  return np.concatenate([np.eye(n)[points[:, i]] for i, n in enumerate(grid)], 1)


class Embed(nn.Embed):
  """Integers -> [..., features]: vectors of the grid's points, and of `num_embeddings` in all.

  grid: L_1, ..., L_D, whose K points come first; () for none, and a table as flax's.
  """

  grid: tuple[int, ...] = ()

  def setup(self):
    super().setup()
    if self.grid:
      shape = (sum(self.grid), self.features)
      self.shared = self.param("shared", self.embedding_init, shape, self.param_dtype)

  def __call__(self, x: Array) -> Array:
    if not self.grid:
      return super().__call__(x)
    hot = jnp.asarray(coordinates(self.grid), self.shared.dtype)
    more = jnp.pad(hot @ self.shared, ((0, self.num_embeddings - len(hot)), (0, 0)))
    return (self.embedding + more).astype(self.dtype or self.param_dtype)[x]


class Logits(Dense):
  """x [..., width] -> [..., features], all of them points of the grid, or of none for ()."""

  grid: tuple[int, ...] = ()

  @nn.compact
  def __call__(self, x: Array) -> Array:
    logits = super().__call__(x)
    if not self.grid:
      return logits
    hot = coordinates(self.grid)
    shape = (x.shape[-1], hot.shape[1])
    shared = self.param("shared", self.kernel_init, shape, self.param_dtype)
    return logits + product(x, (shared @ jnp.asarray(hot.T, shared.dtype)).astype(x.dtype))
