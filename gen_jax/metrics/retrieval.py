"""Finding the caption of a picture, or a person, among others."""

from __future__ import annotations

import chex
import numpy as np

from gen_jax.core import permutation
from gen_jax.metrics.finite import finite


def top_caption(
  u: np.ndarray, v: np.ndarray, captions: np.ndarray, candidates: int = 100
) -> tuple[np.ndarray, np.ndarray]:
  """Which pictures are most like a caption that is theirs, among `candidates` captions: their own
  and those of other pictures, of which equal ones are right too.

  R-precision with one right answer, as in Xu et al. (2018, section 4.1), whose 100 it takes.

  Args:
    u, v: vectors [n, E] of pictures and of their captions.
    captions: tokens [n, T].
    candidates: how many, all n if there are fewer.

  Returns:
    bool [n], where a tie is no answer; and what share [n] of each one's candidates is right.

  Raises:
    core.UserError: where a value is not finite.
  """
  chex.assert_equal_shape([u, v])
  u, v = (finite(x, "the vectors of pictures or captions") for x in (u, v))
  order = permutation(len(u))
  found, share = np.zeros(len(u), bool), np.zeros(len(u))
  for place, i in enumerate(order):
    among = order[(place + np.arange(min(candidates, len(u)))) % len(u)]
    right = (captions[among] == captions[i]).all(-1)
    likeness = v[among] @ u[i]
    others = likeness[~right]
    found[i] = others.size == 0 or likeness[right].max() > others.max()
    share[i] = right.mean()
  return found, share


def told_from_neighbours(
  u: np.ndarray, v: np.ndarray, captions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Which pictures are more like their caption than like any that differs from it in one token.

  Of captions drawn at random few differ in one word alone: encoders that do not see what it says
  find nearly all of them.

  Args:
    u, v: vectors [n, E] of pictures and of their captions.
    captions: tokens [n, T].

  Returns:
    bool [n], where a tie is no answer; and by chance [n], 1 where no caption is so near.

  Raises:
    core.UserError: where a value is not finite.
  """
  chex.assert_equal_shape([u, v])
  u, v = (finite(x, "the vectors of pictures or captions") for x in (u, v))
  kinds, first, own = np.unique(captions, axis=0, return_index=True, return_inverse=True)
  found, chance = np.ones(len(u), bool), np.ones(len(u))
  for k, kind in enumerate(kinds):
    near = first[(kinds != kind).sum(-1) == 1]
    pictures = np.flatnonzero(own.reshape(-1) == k)
    if near.size:
      found[pictures] = u[pictures] @ v[first[k]] > (u[pictures] @ v[near].T).max(-1)
      chance[pictures] = 1 / (1 + near.size)
  return found, chance


def rank_1(query: np.ndarray, persons: np.ndarray, gallery: np.ndarray, there: np.ndarray) -> float:
  """How often the vector of the gallery [m, E] nearest to a query [n, E], by cosine, is of the same
  person: of the queries' persons [n] and those of the gallery [m].

  Raises:
    core.UserError: where a value is not finite.
  """
  unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
  q, g = (unit(finite(v, "the codes of persons").astype(np.float64)) for v in (query, gallery))
  return float((there[(q @ g.T).argmax(-1)] == persons).mean())
