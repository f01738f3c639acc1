"""Softmax attention (Vaswani et al. 2017, eq. 1), of U-Nets and transformers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array

CACHED = 2**23  # bytes of scores that a CPU works on without waiting for its memory


def attend(q: Array, k: Array, v: Array, sees: Array | None = None) -> Array:
  """softmax(q k^T / sqrt(d)) v of every head.

  On CPU, where the scores of all heads are many, one head follows the other, and the gradient
  computes them again: three times as fast as to write them to memory and read them back.

  Args:
    q: [B, S, N, d].
    k, v: [B, T, N, d].
    sees: [S, T] or [B, 1, S, T] bool (any of them 1), which positions a query sees; None for all.

  Returns:
    [B, S, N, d]. The softmax is of float32 or wider.
  """

  def at_once(q, k, v):
    real = jnp.promote_types(q.dtype, jnp.float32)
    score = jnp.einsum("bsnd,btnd->bnst", q, k).astype(real) / math.sqrt(q.shape[-1])
    score = score if sees is None else jnp.where(sees, score, -jnp.inf)
    return jnp.einsum("bnst,btnd->bsnd", jax.nn.softmax(score).astype(v.dtype), v)

  def in_turn(q, k, v):
    heads = tuple(jnp.moveaxis(x, 2, 0)[..., None, :] for x in (q, k, v))
    found = lax.map(lambda head: jax.checkpoint(at_once)(*head), heads)
    return jnp.moveaxis(found[..., 0, :], 0, 2)

  batch, size, heads, _ = q.shape
  exported = not isinstance(batch, int)  # for any number of examples
  if heads == 1 or exported or 4 * batch * heads * size * k.shape[1] <= CACHED:
    return at_once(q, k, v)
  return lax.platform_dependent(q, k, v, cpu=in_turn, default=at_once)
