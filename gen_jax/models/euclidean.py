"""Examples as points of R^D: what models of plain vectors share.

  y = (x + u) / levels,  u ~ U[0, 1)^D              grey levels x, dequantised
  log P(x) >= E_u log p(y) - D log levels           (Theis, van den Oord & Bethge 2016, section 3.1)

A point without noise is the middle of its cell, u = 1/2. Real values are points as they are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array, Spec, count_dims
from gen_jax.flows.dequantize import integers
from gen_jax.models.common import bits_per_dim


class Space(NamedTuple):
  """The points of data with `spec`, as arrays of type `dtype`."""

  spec: Spec
  dtype: jnp.dtype

  @property
  def dims(self) -> int:
    """D."""
    return count_dims(self.spec)

  @property
  def noise(self) -> float:
    """Variance of u / levels, 0 for real values."""
    return 0.0 if self.spec.levels is None else 1 / (12 * self.spec.levels**2)

  def points(self, x: Array, keys: Array | None = None) -> Array:
    """x [B, ...] in the data's own units -> y [B, D].

    keys: of the noise u, one for each example [B] or one for all; None for u = 1/2.
    """
    chex.assert_shape(x, (None, *self.spec.shape))
    x = x.reshape(len(x), -1).astype(self.dtype)
    if self.spec.levels is None:
      return x
    if keys is None:
      u = 0.5
    elif keys.ndim:
      u = jax.vmap(lambda k: jax.random.uniform(k, x.shape[1:], self.dtype))(keys)
    else:
      u = jax.random.uniform(keys, x.shape, self.dtype)
    return (x + u) / self.spec.levels

  def examples(self, y: Array) -> Array:
    """y [n, D] -> x [n, ...] in the data's own units, not rounded: the inverse of `points`."""
    x = y if self.spec.levels is None else y * self.spec.levels - 0.5
    return x.reshape(-1, *self.spec.shape)

  def draws(self, y: Array) -> Array:
    """y [n, D] -> x [n, ...] as the data are: the cell that y lies in, or the nearest."""
    levels = self.spec.levels
    if levels is None:
      return self.examples(y)
    return integers(y * levels, levels).reshape(-1, *self.spec.shape)

  def squared_distance(self, difference: Array) -> Array:
    """|difference [B, D] of two points|^2 [B], with grey levels scaled to [0, 1]."""
    levels = self.spec.levels
    return (difference**2).sum(-1) * (1 if levels is None else (levels / (levels - 1)) ** 2)

  def log_prob(self, log_density: Array) -> Array:
    """log p(x) in nats from the log-density of its point; for grey levels a bound, see above."""
    return log_density - self.dims * math.log(self.spec.levels or 1)

  def likelihood(self, log_prob: Array) -> dict[str, Array]:
    """nll in nats, and for grey levels bits_per_dim, of log_prob [B]."""
    terms = {"nll": -log_prob}
    if self.spec.levels is not None:
      terms["bits_per_dim"] = bits_per_dim(-log_prob, self.spec)
    return terms


def space(spec: Spec, dtype: str) -> Space:
  """The space of data with `spec`."""
  return Space(spec, jnp.dtype(dtype))
