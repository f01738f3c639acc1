"""Which noise belongs to which example of a batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array

ROUNDS, TEMPERATURE = 60, 0.02


def plan(cost: Array, present: Array) -> Array:
  """log of the entropic transport plan between rows and columns of cost [B, B].

  Both have the same weight wherever `present` [B], and none elsewhere. Sinkhorn's rounds, in logs;
  the entropy's weight is TEMPERATURE times the mean cost (Cuturi 2013, arXiv:1306.0895).
  """
  both = present[:, None] & present
  count = jnp.maximum(present.sum(), 1).astype(cost.dtype)
  mean = jnp.where(both, cost, 0).sum() / count**2
  kernel = jnp.where(both, -cost / (TEMPERATURE * mean), -jnp.inf)
  weight = jnp.where(present, -jnp.log(count), 0)

  def normalise(scale, axis):
    total = jax.nn.logsumexp(kernel + scale, axis=axis)
    return jnp.where(present, weight - total, 0)

  def sinkhorn(_, columns):
    rows = normalise(columns[None, :], 1)
    return normalise(rows[:, None], 0)

  columns = lax.fori_loop(0, ROUNDS, sinkhorn, jnp.zeros_like(weight))
  rows = normalise(columns[None, :], 1)
  return kernel + rows[:, None] + columns[None, :]


def paired(key: Array, x0: Array, eps: Array, mask: Array | None = None) -> Array:
  """eps [B, ...] in another order, row i drawn from the optimal transport's plan of x_0 [B, ...].

  Straighter paths need fewer steps (Tong et al. 2023, arXiv:2302.00482, section 3.2; Pooladian et
  al. 2023, arXiv:2304.14772). Rows are drawn with replacement: the noise as a whole changes a
  little, and with it what is sampled from it.
  """
  flat = lambda a: a.reshape(len(a), -1)
  difference = flat(x0)[:, None] - flat(eps)[None]
  present = jnp.ones(len(x0), bool) if mask is None else mask
  log_plan = plan((difference**2).sum(-1), present)
  # Padding is paired with itself, so that nothing is drawn from an empty row.
  log_plan = jnp.where(
    present[:, None], log_plan, jnp.where(jnp.eye(len(x0), dtype=bool), 0, -jnp.inf)
  )
  return eps[jax.random.categorical(key, log_plan, axis=-1)]
