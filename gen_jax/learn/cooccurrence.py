"""Vectors of words from the words around them, and other marks of how a language uses a word.

  counts     n(w, c) = sum over places of w and c at most `window` apart, of 1 / distance
  ppmi       max(0, log p(w, c) / (p(w) p_a(c))),  p_a(c) ~ n(c)^a
             (Levy, Goldberg & Dagan 2015, TACL 3, sections 2.1 and 3.2: a = 0.75)
  vectors    U S^{1/2} of its singular value decomposition                    (section 3.3)

Sentences are tokens [N, T], of which those below `first` stand for no word.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array

matmul = functools.partial(jnp.matmul, precision="highest")
EXACT = 400  # rows of a matrix of which all directions are found
MORE, ITERATIONS = 50, 4  # directions beyond those that are asked for, and steps
EMPTY = 1e-6  # of the largest eigenvalue: below it a direction is rounding noise


def cooccurrences(tokens: Array, words: int, window: int, first: int, dtype) -> Array:
  """n(w, c), symmetric [V, V], V = words."""
  counts, word = jnp.zeros((words, words), dtype), tokens >= first
  for distance in range(1, min(window, tokens.shape[1] - 1) + 1):
    left, right = tokens[:, :-distance], tokens[:, distance:]
    weight = (word[:, :-distance] & word[:, distance:]).astype(dtype) / distance
    counts = counts.at[left, right].add(weight)
  return counts + counts.T


def ppmi(counts: Array, smoothing: float = 0.75) -> Array:
  """Positive pointwise mutual information [V, V] in nats of counts [V, V]; 0 where there is none.

  smoothing: a, of the distribution of contexts.
  """
  of_word, of_context = counts.sum(1), counts.sum(0) ** smoothing
  chance = of_word[:, None] * (of_context / jnp.maximum(of_context.sum(), 1e-30))
  seen = counts > 0
  ratio = jnp.where(seen, counts, 1) / jnp.where(seen, chance, 1)
  return jnp.maximum(jnp.where(seen, jnp.log(ratio), 0), 0)


def vectors(matrix: Array, dim: int, key: Array) -> Array:
  """U S^{1/2} [V, dim] of a matrix [V, V]; zeros beyond its rank.

  Of a large one by subspace iteration (Halko, Martinsson & Tropp 2011, SIAM Review 53, algorithm
  4.4), which `key` starts.
  """
  size = dim + MORE
  if len(matrix) <= max(EXACT, size):
    value, vector = jnp.linalg.eigh(matmul(matrix, matrix.T))
    value, vector = value[::-1][:dim], vector[:, ::-1][:, :dim]
  else:
    orthogonal = lambda m: jnp.linalg.qr(m)[0]

    def again(i, q):
      return orthogonal(matmul(matrix, orthogonal(matmul(matrix.T, q))))

    q = orthogonal(matmul(matrix, jax.random.normal(key, (len(matrix), size), matrix.dtype)))
    q = jax.lax.fori_loop(0, ITERATIONS, again, q)
    u, s, _ = jnp.linalg.svd(matmul(q.T, matrix), full_matrices=False)
    value, vector = s[:dim] ** 2, matmul(q, u[:, :dim])
  value = jnp.where(value > EMPTY * value[0], value, 0)
  # Of either sign of a direction the one whose largest entry is positive.
  largest = jnp.take_along_axis(vector, jnp.abs(vector).argmax(0)[None], 0)
  found = vector * jnp.where(largest < 0, -1, 1) * value**0.25
  return jnp.pad(found, ((0, 0), (0, dim - found.shape[1])))


class Marks(NamedTuple):
  """Of each word [V]: its log frequency, and its places in sentences, [V, 4]: mean and standard
  deviation of where it stands between 0 and 1, log shares of first and of last words."""

  frequency: Array
  place: Array


def marks(tokens: Array, words: int, first: int, dtype) -> Marks:
  """The marks of words in sentences [N, T]; of a word that never occurs, those of one that occurs
  once in the middle."""
  word = tokens >= first
  # Words of a sentence are in a row, behind the token of the beginning.
  size = word.sum(1, keepdims=True)
  index = jnp.cumsum(word, 1) - 1
  share = index / jnp.maximum(size - 1, 1)

  def total(value):
    return jnp.zeros(words, dtype).at[tokens].add(jnp.where(word, value, 0).astype(dtype))

  count = total(jnp.ones_like(share))
  safe = jnp.maximum(count, 1)
  mean = jnp.where(count > 0, total(share) / safe, 0.5)
  spread = jnp.sqrt(total((share - mean[tokens]) ** 2) / safe)
  at_first, at_last = total(index == 0), total(index == size - 1)
  log_share = lambda n: jnp.log((n + 0.5) / (safe + 1))
  frequency = jnp.log(safe / jnp.maximum(count.sum(), 1))
  return Marks(frequency, jnp.stack([mean, spread, log_share(at_first), log_share(at_last)], 1))
