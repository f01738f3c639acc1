"""A contrastive loss of pairs (van den Oord et al. 2018; symmetric as in Radford et al. 2021).

l_ij = s <u_i, v_j>
loss_i = 1/2 (-log e^{l_ii} / sum_j e^{l_ij}  -  log e^{l_ii} / sum_j e^{l_ji}),   j over i and all
         that are no right answer for i
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array


def info_nce(u: Array, v: Array, scale: Array, same: Array, mask: Array | None = None) -> Array:
  """The loss [B] in nats of pairs u, v [B, E], each against the others of the batch.

  Args:
    u, v: unit vectors.
    scale: s, the inverse of the temperature.
    same: [B, B] bool, symmetric: which pairs are right answers for each other, as two pictures
      with one caption are; these are no negatives.
    mask: [B] bool, False on padding, which is no negative either.
  """
  chex.assert_equal_shape([u, v])
  chex.assert_shape(same, (len(u), len(u)))
  own = jnp.eye(len(u), dtype=bool)
  negative = ~same if mask is None else ~same & mask
  logits = scale * u @ v.T

  def against_others(logits):
    total = jax.nn.logsumexp(jnp.where(own | negative, logits, -jnp.inf), axis=1)
    return total - jnp.diagonal(logits)

  return (against_others(logits) + against_others(logits.T)) / 2


def same_rows(x: Array) -> Array:
  """Which rows of x [B, T] are equal: [B, B] bool."""
  return (x[:, None] == x[None]).all(-1)
