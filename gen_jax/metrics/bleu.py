"""BLEU of a corpus (Papineni et al. 2002, sections 2.1 and 2.2), as sacrebleu computes it of text
that is tokenised already (Post 2018; `--tokenize none`, one reference, smoothing "exp").

  p_n    clipped matches of n-grams over n-grams of the translations, of the whole corpus; the k-th
         order without a match has 1 / 2^k of one
  BLEU   100 min(1, exp(1 - r / c)) exp(1/4 sum_n log p_n),  c and r words of translations and of
         references

A ratio of sums over the corpus, not a mean over sentences.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

ORDERS = range(1, 5)
Words = Sequence[str]


def ngrams(words: Words, n: int) -> Counter:
  """The n-grams of a sentence and how often they stand in it."""
  return Counter(zip(*(words[i:] for i in range(n)), strict=False))


def bleu(made: Sequence[Words], wanted: Sequence[Words]) -> float:
  """BLEU in 0..100 of sentences made, each beside the one that is wanted, both cut into words."""
  matches, counts = dict.fromkeys(ORDERS, 0), dict.fromkeys(ORDERS, 0)
  for ours, theirs in zip(made, wanted, strict=True):
    for n in ORDERS:
      found, known = ngrams(ours, n), ngrams(theirs, n)
      matches[n] += (found & known).total()
      counts[n] += found.total()
  if not any(matches.values()) or not all(counts.values()):
    return 0.0
  log_precision, missed = 0.0, 0
  for n in ORDERS:
    missed += not matches[n]
    log_precision += math.log((matches[n] or 0.5**missed) / counts[n])
  c, r = (sum(map(len, side)) for side in (made, wanted))
  return 100 * math.exp(min(0.0, 1 - r / c) + log_precision / len(ORDERS))
