"""MADE: a dense net whose outputs for entry i see the entries before i only (Germain, Gregor,
Murray & Larochelle 2015, arXiv:1502.03509, section 3).
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax.core import Array


class Masked(nn.Module):
  """A dense layer [B, D] -> [B, features], features = mask.shape[1], along the True of mask only.

  zero: whether it begins at 0.
  """

  mask: np.ndarray
  zero: bool = False
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    # Of those that are connected, as many feed each unit as its column has.
    fan_in = np.maximum(self.mask.sum(axis=0), 1)
    start = nn.initializers.zeros if self.zero else nn.initializers.normal(1.0)
    w = self.param("kernel", start, self.mask.shape, real) * self.mask / np.sqrt(fan_in)
    b = self.param("bias", nn.initializers.zeros, self.mask.shape[1:], real)
    return x.astype(self.dtype) @ w.astype(self.dtype) + b.astype(self.dtype)


class MADE(nn.Module):
  """x [B, D], cond [B, K] or None -> [B, out D]: out numbers for each entry, the first of all
  entries first. Those of entry i are a function of x[:, :i] and cond; 0 until something is learnt.

  width, layers: of the hidden layers.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  out: int
  width: int
  layers: int = 2
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, cond: Array | None = None) -> Array:
    chex.assert_rank(x, 2)
    size = x.shape[1]
    # Unit k of a hidden layer sees the first hidden[k] entries. Those that see none carry the
    # condition to entry 0, and are idle without one.
    fewest = 0 if cond is not None else min(1, size - 1)
    hidden = fewest + np.arange(self.width) % (size - fewest)
    entry = np.arange(size)
    h, seen = x, entry[:, None] < hidden
    if cond is not None:
      h = jnp.concatenate([x, cond.astype(x.dtype)], axis=1)
      seen = np.concatenate([seen, np.ones((cond.shape[1], self.width), bool)])
    for _ in range(self.layers):
      h = self.activation(Masked(seen, dtype=self.dtype)(h))
      seen = hidden[:, None] <= hidden
    seen = np.tile(hidden[:, None] <= entry, (1, self.out))
    real = jnp.promote_types(self.dtype, jnp.float32)
    return Masked(seen, zero=True, dtype=self.dtype)(h).astype(real)
