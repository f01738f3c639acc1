"""A contrastive loss of pairs (van den Oord et al. 2018; symmetric as in Radford et al. 2021).

l_ij = s <u_i, v_j>
loss_i = 1/2 (-log e^{l_ii} / sum_j e^{l_ij}  -  log e^{l_ii} / sum_j e^{l_ji}),   j over i and all
         that are no right answer for i; the first sum may have another term, e^{s <u_i, w_i>},
         w_i a wrong answer made for i (a hard negative, as in Yuksekgonul et al. 2023)
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array


def info_nce(
  u: Array,
  v: Array,
  scale: Array,
  same: Array,
  mask: Array | None = None,
  hard: tuple[Array, Array] | None = None,
) -> Array:
  """The loss [B] in nats of pairs u, v [B, E], each against the others of the batch.

  Args:
    u, v: unit vectors.
    scale: s, the inverse of the temperature.
    same: [B, B] bool, symmetric: which pairs are right answers for each other, as two pictures
      with one caption are; these are no negatives.
    mask: [B] bool, False on padding, which is no negative either.
    hard: unit vectors w [B, E], and which [B] are wrong answers; the others are none at all.
  """
  chex.assert_equal_shape([u, v])
  chex.assert_shape(same, (len(u), len(u)))
  own = jnp.eye(len(u), dtype=bool)
  negative = ~same if mask is None else ~same & mask
  logits = scale * u @ v.T

  def against_others(logits, *more):
    total = jax.nn.logsumexp(jnp.where(own | negative, logits, -jnp.inf), axis=1)
    for other in more:
      total = jnp.logaddexp(total, other)
    return total - jnp.diagonal(logits)

  made = () if hard is None else (jnp.where(hard[1], scale * (u * hard[0]).sum(-1), -jnp.inf),)
  return (against_others(logits, *made) + against_others(logits.T)) / 2


def same_rows(x: Array) -> Array:
  """Which rows of x [B, T] are equal: [B, B] bool."""
  return (x[:, None] == x[None]).all(-1)
