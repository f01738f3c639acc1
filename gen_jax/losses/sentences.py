"""Noise on sentences, and the loss of their words (Lample et al. 2018, arXiv:1711.00043, sec. 2.3).

A sentence is tokens [T]: <bos>, words, <eos>, then <pad> to the end.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Array


def noisy(key: Array, tokens: Array, drop: float, shuffle: int, pad: int, eos: int) -> Array:
  """One sentence [T] without some of its words, and the others in about their order.

  Args:
    key: of the noise.
    tokens: [T].
    drop: chance of each word to be left out; one word at least stays.
    shuffle: k. Words are sorted by i + U[0, k + 1), so that none moves by more than k places.
    pad, eos: tokens of that meaning.

  Returns:
    [T]: <bos>, the words that are left, <eos>, padding.
  """
  drop_key, move_key, stay_key = jax.random.split(key, 3)
  place = jnp.arange(len(tokens))
  word = (place > 0) & (tokens != pad) & (tokens != eos)
  keep = word & (jax.random.uniform(drop_key, tokens.shape) >= drop)
  luck = jnp.where(word, jax.random.uniform(stay_key, tokens.shape), -1.0)
  keep = keep | (word & ~keep.any() & (place == luck.argmax()))
  moved = place + jax.random.uniform(move_key, tokens.shape, maxval=shuffle + 1.0)
  end = tokens == eos
  # First <bos>, then the words by where they have moved to, then <eos>, then what is left out.
  rank = jnp.where(keep, moved, jnp.where(end, 1e6, 2e6)).at[0].set(-1.0)
  order = jnp.argsort(rank)
  left = jnp.where(keep | end, tokens, pad).at[0].set(tokens[0])
  return left[order]


def word_nll(logits: Array, tokens: Array, pad: int) -> Array:
  """-log p of the words of sentences, a mean over each one's own words: [B] nats a word.

  Args:
    logits: [B, T - 1, K] of tokens 1..T-1.
    tokens: [B, T].
    pad: no target.
  """
  target = tokens[:, 1:]
  counts = (target != pad).astype(logits.dtype)
  nll = optax.softmax_cross_entropy_with_integer_labels(logits, target)
  return (counts * nll).sum(1) / jnp.maximum(counts.sum(1), 1)
