"""Sentences of two languages that say about the same, found by a dictionary.

  q_i = sum over words w of sentence i of idf-weighted translations, P[w] * idf
  s_ij = cos(q_i, b_j),   b_j = sum over words w of sentence j of idf(w) e_w

Of each sentence i the most similar j is kept; first come pairs that choose each other.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.learn.alignment import settled

AT_ONCE = 128  # sentences that are compared with all others together
TRANSLATIONS = 3  # of each word
SHARPNESS = 10.0  # of a word's translations: their weights are softmax(SHARPNESS score)


class Mined(NamedTuple):
  """Pairs of sentences (first[p], second[p]) and how similar they are [P]; mutual [P]."""

  first: Array
  second: Array
  similarity: Array
  mutual: Array


def idf(tokens: Array, words: int, first: int, dtype) -> Array:
  """log(N / sentences with the word) [V] of tokens [N, T]; 0 where there is none or no word."""
  ordered = jnp.sort(tokens, 1)
  new = jnp.concatenate([ordered[:, :1] >= 0, ordered[:, 1:] != ordered[:, :-1]], 1)
  count = jnp.zeros(words, dtype).at[ordered].add(new.astype(dtype))
  known = (count > 0) & (jnp.arange(words) >= first)
  return jnp.where(known, jnp.log(len(tokens) / jnp.maximum(count, 1)), 0)


def mine(x: Array, y: Array, score: Array, first: int, most: int) -> Mined:
  """`most` pairs of sentences, or as many as there are sentences of x.

  Args:
    x, y: tokens [N, T], [N', T]; those below `first` stand for no word.
    score: [V, V'], of words for each other.
    first: see there.
    most: how many pairs.
  """
  dtype, words = score.dtype, score.shape
  weight = idf(y, words[1], first, dtype)
  best, place = jax.lax.top_k(settled(score.at[:, :first].set(-1e9)), min(TRANSLATIONS, words[1]))
  share = jax.nn.softmax(SHARPNESS * best) * weight[place]
  share = jnp.where(jnp.arange(words[0])[:, None] >= first, share, 0)
  times = (y[:, :, None] == y[:, None]).sum(2)  # how often each word stands in its sentence
  norm = jnp.sqrt(jnp.maximum((times * weight[y] ** 2).sum(1), 1e-12))

  def compare(rows):
    """(similarity [R, N'] of sentences `rows` [R, T] with all others)."""
    r = jnp.arange(len(rows))[:, None, None]
    q = jnp.zeros((len(rows), words[1]), dtype).at[r, place[rows]].add(share[rows])
    q = q * weight / jnp.maximum(jnp.linalg.norm(q, axis=1, keepdims=True), 1e-6)
    q = q.T
    total = jnp.zeros((len(y), len(rows)), dtype)
    total = jax.lax.fori_loop(0, y.shape[1], lambda t, total: total + q[y[:, t]], total)
    return (total / norm[:, None]).T

  def chunk(carry, rows):
    top, who, start = carry
    s = settled(compare(rows))
    here, row = s.max(0), s.argmax(0).astype(jnp.int32)
    better = here > top
    carry = jnp.where(better, here, top), jnp.where(better, row + start, who), start + len(rows)
    return carry, (s.argmax(1), s.max(1))

  count = -(-len(x) // AT_ONCE) * AT_ONCE
  rows = jnp.pad(x, ((0, count - len(x)), (0, 0))).reshape(-1, AT_ONCE, x.shape[1])
  begin = jnp.full(len(y), -1.0, dtype), jnp.zeros(len(y), jnp.int32), jnp.int32(0)
  (_, who, _), (second, similarity) = jax.lax.scan(chunk, begin, rows)
  second, similarity = second.reshape(-1)[: len(x)], similarity.reshape(-1)[: len(x)]
  agree = who[second] == jnp.arange(len(x))
  _, kept = jax.lax.top_k(similarity + 2 * agree, min(most, len(x)))
  return Mined(kept, second[kept], similarity[kept], agree[kept])
