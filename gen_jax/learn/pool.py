"""A pool of examples that a generator made earlier (Shrivastava et al. 2017, arXiv:1612.07828,
section 2.3), with the rule of Zhu et al. 2017's code (`ImagePool`), one example after the other:

  the pool is not full   the new example enters it, and is returned
  heads (1/2)            a random one of the pool is returned, and the new one takes its place
  tails                  the new one is returned, and does not enter

A critic that learns from what comes out sees an older generator's examples too.
"""

from __future__ import annotations

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array


class Pool(NamedTuple):
  """items: [N, ...]. count: how many of them are examples, the first ones; an int32 scalar."""

  items: Array
  count: Array


def empty(size: int, example: Array) -> Pool:
  """A pool of `size` examples like one [...]."""
  return Pool(jnp.zeros((size, *example.shape), example.dtype), jnp.int32(0))


def exchange(pool: Pool, new: Array, key: Array, mask: Array | None = None) -> tuple[Pool, Array]:
  """The pool after the new examples [B, ...], and what comes out for each of them [B, ...].

  Examples with mask [B] False are returned as they are and leave no trace.
  """
  chex.assert_equal_shape([pool.items[0], new[0]])
  size = len(pool.items)
  heads_key, slot_key = jax.random.split(key)
  heads = jax.random.bernoulli(heads_key, 0.5, (len(new),))
  slots = jax.random.randint(slot_key, (len(new),), 0, size)
  mask = jnp.ones(len(new), bool) if mask is None else mask

  def one(pool, at):
    x, heads, slot, use = at
    filling = pool.count < size
    slot = jnp.where(filling, pool.count, slot)
    old = pool.items[slot]
    enters = use & (filling | heads)
    items = pool.items.at[slot].set(jnp.where(enters, x, old))
    count = pool.count + (use & filling).astype(jnp.int32)
    return Pool(items, count), jnp.where(enters & ~filling, old, x)

  return jax.lax.scan(one, pool, (new, heads, slots, mask))
