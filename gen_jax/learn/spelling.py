"""How alike words of two languages are spelt: the cosine of their character n-grams, with a mark at
either end of a word. Computed on the host, from names; the few largest are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse

SIZES = (2, 3, 4)  # n


class Spelling(NamedTuple):
  """Pairs (rows[p], columns[p]) of words and how alike they are, `cosine` [P] in (0, 1]."""

  rows: np.ndarray
  columns: np.ndarray
  cosine: np.ndarray


def ngrams(word: str) -> Counter[str]:
  """The character n-grams of a word and how often they stand in it."""
  marked = f"^{word}$"
  return Counter(marked[i : i + n] for n in SIZES for i in range(len(marked) - n + 1))


def alike(first: Sequence[str], second: Sequence[str], most: int = 10) -> Spelling:
  """The pairs of words that are spelt most alike: for each word of either language, `most`."""
  index: dict[str, int] = {}

  def matrix(words):
    counts = [ngrams(word) for word in words]
    rows = np.repeat(np.arange(len(words)), [len(c) for c in counts])
    columns = [index.setdefault(gram, len(index)) for c in counts for gram in c]
    values = np.array([n for c in counts for n in c.values()], np.float64)
    return rows, np.array(columns, np.int64), values

  (r, c, v), (r2, c2, v2) = matrix(first), matrix(second)
  unit = lambda m: sparse.diags_array(1 / np.sqrt(m.multiply(m).sum(1))) @ m
  a = unit(sparse.csr_array((v, (r, c)), (len(first), len(index))))
  b = unit(sparse.csr_array((v2, (r2, c2)), (len(second), len(index))))
  cosine = (a @ b.T).toarray()
  kept = np.zeros(cosine.shape, bool)
  if cosine.size:
    for axis in (0, 1):
      nearest = np.argsort(-cosine, axis=axis, kind="stable").take(
        range(min(most, cosine.shape[axis])), axis
      )
      np.put_along_axis(kept, nearest, True, axis)
  rows, columns = np.nonzero(kept & (cosine > 0))
  return Spelling(rows, columns, np.minimum(cosine[rows, columns], 1).astype(np.float32))
