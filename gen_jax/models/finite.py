"""Finite scalar quantisation (Mentzer et al. 2023, arXiv:2309.15505, section 3.1).

code      each of D numbers z_i, bounded by tanh, is rounded to one of L_i even steps in [-1, 1];
          the gradient passes as if it were not rounded
codes     K = L_1 ... L_D, the points of this grid; nothing of it is learnt, and none can die
"""

from __future__ import annotations

import math
from typing import Annotated, NamedTuple

import jax.numpy as jnp
import numpy as np
from annotated_types import Ge, MinLen

from gen_jax.core import Array
from gen_jax.losses import vq
from gen_jax.models.codebook import counted, use_of

Levels = Annotated[tuple[Annotated[int, Ge(2)], ...], MinLen(1)]

MARGIN = 1e-3  # by which the bound lies beyond the outermost steps, as in the source


class Finite(NamedTuple):
  """The points of a grid of `levels` steps, with the functions of a `Codebook`.

  `epoch` and `last_epoch` [K] are kept, as by that.
  """

  levels: tuple[int, ...]

  @property
  def size(self) -> int:
    return math.prod(self.levels)

  @property
  def dim(self) -> int:
    return len(self.levels)

  @property
  def channels(self) -> int:
    """Numbers that an encoder gives it at each position."""
    return self.dim

  def begin(self, key: Array, z: Array, use: Array) -> tuple[dict, dict]:
    """(own parameters, what is kept), whatever the vectors z [N, D] are."""
    del key, use
    zeros = jnp.zeros(self.size, z.dtype)
    return {}, {"epoch": zeros, "last_epoch": zeros}

  def table(self, params: dict, kept: dict) -> Array:
    """The points [K, D], those of the last number side by side."""
    del params
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in self.levels), indexing="ij")
    return jnp.asarray(np.stack(axes, -1).reshape(self.size, self.dim), kept["epoch"].dtype)

  def steps(self, z: Array) -> Array:
    """Vectors z [..., D] in units of steps, from 0 to L_i - 1, before they are rounded."""
    half = (np.array(self.levels) - 1) / 2
    return (half * (1 + MARGIN) * jnp.tanh(z) + half).astype(z.dtype)

  def code(self, z: Array, table: Array) -> Array:
    """Of vectors z [..., D], [...] int32."""
    del table
    most = np.array(self.levels) - 1
    step = jnp.clip(jnp.round(self.steps(z)), 0, most).astype(jnp.int32)
    place = np.cumprod((1, *self.levels[:0:-1]))[::-1].astype(np.int32)
    return (step * place).sum(-1).astype(jnp.int32)

  def learn(
    self, own: dict, kept: dict, z: Array, batch: dict, key: Array, step: Array
  ) -> tuple[Array, Array, dict, dict[str, Array]]:
    """(what the decoder is given, [B, ..., D], a loss [B] of 0 besides the error, what is kept
    after the batch, metrics), of vectors z [B, ..., D]."""
    del key, step
    table = self.table(own, kept)
    code = self.code(z, table)
    half = (np.array(self.levels) - 1) / 2
    bounded = (self.steps(z) / half - 1).astype(z.dtype)
    n, _ = vq.assigned(z[..., :1], code, self.size, batch.get("mask"))
    kept = {**kept, **counted(kept, n, batch)}
    price = jnp.zeros(len(z), z.dtype)
    return vq.straight_through(bounded, table[code]), price, kept, use_of(n, kept["last_epoch"])

  def evaluate(self, z: Array, e: Array) -> dict[str, Array]:
    """Nothing: no distance is part of the loss."""
    del z, e
    return {}
