"""Which word stands for which in pairs of sentences (IBM Model 1: Brown et al. 1993, CL 19(2),
section 4.1).

  p(f | e)   = prod_j 1/(l + 1) sum_{i=0..l} t(f_j | e_i)       of words f_1..f_m and e_1..e_l, with
               e_0 the word that stands for none
  E-step     c(f | e) = sum over pairs and j, i of t(f_j | e_i) / sum_i' t(f_j | e_i')
  M-step     t(f | e) ~ c(f | e)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gen_jax.core import Array


def step(t: Array, e: Array, f: Array, weight: Array, first: int) -> tuple[Array, Array]:
  """(t after a step of EM, log p(f | e) [N] without the lengths' share, under t).

  Args:
    t: [V, V'], rows sum to 1; row 0 is of e_0.
    e, f: tokens [N, S], [N, T]; those below `first` stand for no word.
    weight: [N], how much each pair counts.
    first: see there.
  """
  e = jnp.where(e >= first, e, -1)
  e = jnp.concatenate([jnp.zeros_like(e[:, :1]), e], axis=1)
  there = (e >= 0)[:, :, None] & (f >= first)[:, None]
  e = jnp.maximum(e, 0)
  p = jnp.where(there, t[e[:, :, None], f[:, None]], 0)
  total = p.sum(1)
  known = total > 0
  posterior = p / jnp.where(known, total, 1)[:, None] * weight[:, None, None]
  counts = jnp.zeros_like(t).at[e[:, :, None], f[:, None]].add(posterior)
  size = counts.sum(1, keepdims=True)
  log_p = jnp.where(known, jnp.log(jnp.where(known, total, 1)), 0).sum(1)
  return jnp.where(size > 0, counts / jnp.where(size > 0, size, 1), t), log_p


def fit(e: Array, f: Array, weight: Array, words: tuple[int, int], first: int, steps: int) -> Array:
  """t [V, V'] after so many steps from the uniform distribution; arguments as in `step`."""
  t = jnp.full(words, 1 / words[1], weight.dtype)
  return jax.lax.fori_loop(0, steps, lambda i, t: step(t, e, f, weight, first)[0], t)
