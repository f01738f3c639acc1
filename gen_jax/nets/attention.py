"""Softmax attention (Vaswani et al. 2017, eq. 1), of U-Nets and transformers."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array

CACHED = 2**22  # bytes of scores that a CPU works on without waiting for its memory
PARTS = 4  # of the queries that see what lies behind: no part computes what lies ahead of it


def attend(
  q: Array, k: Array, v: Array, sees: Array | None = None, causal: bool = False
) -> Array:  # fmt: skip
  """softmax(q k^T / sqrt(d)) v of every head.

  On CPU, where the scores are many, a few examples follow the others, and the gradient computes
  their scores again: up to twice as fast as to write all to memory and read them back.

  Args:
    q: [B, S, N, d].
    k, v: [B, T, N, d].
    sees: [S, T] or [B, 1, S, T] bool (any of them 1), which positions a query sees; None for all.
    causal: whether query i sees keys 0..i, in place of `sees`; S is T.

  Returns:
    [B, S, N, d]. The softmax is of float32 or wider.
  """
  batch, size, heads, _ = q.shape
  if causal:
    sees = jnp.tril(jnp.ones((size, size), bool))
  shared = sees is None or sees.ndim == 2
  x = (q, k, v) if shared else (q, k, v, jnp.broadcast_to(sees, (batch, *sees.shape[1:])))

  def one(q, k, v, sees=sees):
    """That of one example: q [S, N, d]."""
    real = jnp.promote_types(q.dtype, jnp.float32)
    score = jnp.einsum("snd,tnd->nst", q, k).astype(real) / math.sqrt(q.shape[-1])
    score = score if sees is None else jnp.where(sees, score, -jnp.inf)
    return jnp.einsum("nst,tnd->snd", jax.nn.softmax(score).astype(v.dtype), v)

  def by_parts(q, k, v):
    step = math.ceil(size / PARTS)
    ends = [(a, min(a + step, size)) for a in range(0, size, step)]
    return jnp.concatenate([one(q[a:b], k[:b], v[:b], sees[a:b, :b]) for a, b in ends])

  def at_once(*x):
    return jax.vmap(one)(*x)

  def in_turn(*x):
    few = max(CACHED // (4 * heads * size * k.shape[1]), 1)
    each = jax.checkpoint(by_parts if causal else one)
    return lax.map(lambda x: each(*x), x, batch_size=min(few, batch))

  # Exported, for any number of examples; or shared out to devices, which would gather them again.
  whole = not isinstance(batch, int) or jax.device_count() > 1
  if whole or 4 * batch * heads * size * k.shape[1] <= CACHED:
    return at_once(*x)
  return lax.platform_dependent(*x, cpu=in_turn, default=at_once)
