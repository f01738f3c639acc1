"""The order of examples as arithmetic: which one stands at a position, with no state or table.

A position counts examples from the start of a stage. Every epoch is another permutation, computed
for just the positions asked for by a Feistel network over the smallest power of two that holds the
data, walked until the value is a valid index (Black & Rogaway 2002, "Ciphers with arbitrary finite
domains"). The same code runs on NumPy arrays, for data that are streamed from the host, and inside
a compiled step, for data on the device: both see the same batches.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import lax

from gen_jax.core import Array

ROUNDS = 8


def mix(h):
  """A bijective hash of uint32 (the finaliser of MurmurHash3)."""
  h = (h ^ (h >> 16)) * np.uint32(0x85EBCA6B)
  h = (h ^ (h >> 13)) * np.uint32(0xC2B2AE35)
  return h ^ (h >> 16)


def feistel(x, seeds, epoch, bits: int):
  """A permutation of 0..2^bits-1 at x, one for each epoch. uint32 [n] -> uint32 [n]."""
  low, high = bits // 2, bits - bits // 2
  for seed in seeds:
    # Halves of `high` and `low` bits change places, and widths, at every round.
    left, right = x >> low, x & np.uint32((1 << low) - 1)
    f = mix(right ^ mix(seed + epoch * np.uint32(0x9E3779B9))) & np.uint32((1 << high) - 1)
    x, low, high = (right << high) | (left ^ f), high, low
  return x


def shuffled(position, n: int, seeds):
  """index [B] in 0..n-1 of the examples at position [B] (integers >= 0) of the shuffled epochs.

  Args:
    position: int array, NumPy or JAX; epoch position // n, place position % n.
    n: number of examples, below 2^31.
    seeds: uint32 [ROUNDS], the randomness.
  """
  on_device = isinstance(position, Array)
  xp = jnp if on_device else np
  epoch, x = (position // n).astype(xp.uint32), (position % n).astype(xp.uint32)
  bits = max((n - 1).bit_length(), 2)
  with np.errstate(over="ignore"):
    x = feistel(x, seeds, epoch, bits)
    outside = lambda x: (x >= n).any()
    walk = lambda x: xp.where(x >= n, feistel(x, seeds, epoch, bits), x)
    if on_device:
      x = lax.while_loop(outside, walk, x)
    else:
      while outside(x):
        x = walk(x)
  return x.astype(xp.int32)


def positions(
  step, microbatch: int, rows, *, microbatches: int, batch_size: int, n: int, pad: bool
):
  """position, mask and last [B] of the examples `rows` of one microbatch of a step.

  Without `pad`, epochs follow each other without a seam: a batch may end one epoch and begin the
  next, and mask is True. With it, every epoch ends in a batch of its own, whose rows beyond the
  data are False in mask (and repeat examples of the same epoch). last is True in every row of a
  batch that ends an epoch.
  """
  batch = step * microbatches + microbatch
  if not pad:
    position = batch * batch_size + rows
    ends = (batch + 1) * batch_size // n > batch * batch_size // n
    return position, position >= 0, ends | (rows < 0)
  batches = -(-n // batch_size)
  place = batch % batches * batch_size + rows
  ends = batch % batches == batches - 1
  return batch // batches * n + place % n, place < n, ends | (rows < 0)
