"""Two languages made by rule, so that the right translation is known: one grammar, other words.

The sentences are captions of gen_jax.data.shapes; the second language writes every word backwards
with an o behind it (a substitution cipher). The values of a factor are not alike frequent, so that
no two words are used alike, and the dictionary can be found without any pair of sentences.
"""

from __future__ import annotations

import numpy as np

from gen_jax import core
from gen_jax.data import shapes, source, vocabulary

SIZES = {"train": 4000, "validation": 400, "test": 800}
# Value k of a factor is as frequent as (k + 1)^-power; the powers differ, so that words do.
_POWERS = {"shape": 1.0, "colour": 1.3, "scale": 0.7, "orientation": 0.0, "x": 0.5, "y": 1.2}

WORDS = tuple(sorted(set(shapes.VOCABULARY.words) - set(vocabulary.SPECIAL)))
DICTIONARY = {word: word[::-1] + "o" for word in WORDS}
FIRST = vocabulary.Vocabulary(vocabulary.SPECIAL + WORDS)
SECOND = vocabulary.Vocabulary(vocabulary.SPECIAL + tuple(sorted(DICTIONARY.values())))


def translate(sentence: str) -> str:
  """A sentence of the first language in the second."""
  return " ".join(DICTIONARY[word] for word in sentence.split())


def _sentences(rng: np.random.Generator, n: int) -> list[str]:
  factors = []
  for name, power in _POWERS.items():
    chances = np.arange(1.0, 1 + len(shapes.FACTORS[name])) ** -power
    factors.append(rng.choice(len(chances), size=n, p=chances / chances.sum()))
  return [shapes.caption_of(row) for row in np.stack(factors, 1)]


def load(*, validation: float, test: float, split_seed: int) -> source.Source:
  """x int32 [T] of the first language, y int32 [T] of the second.

  To train, 4000 sentences of each, drawn apart, each language in an order of its own; 400 and 800
  pairs to validate and test (left out where their fraction is 0). notes: `translate`, a sentence to
  its translation.
  """
  length = shapes.CAPTION_LENGTH
  first = lambda texts: np.stack([FIRST.encode(text, length) for text in texts])
  second = lambda texts: np.stack([SECOND.encode(translate(text), length) for text in texts])
  draw = lambda stream, n: _sentences(np.random.default_rng([split_seed, stream]), n)
  splits: dict[str, source.Split] = {
    "train": source.Unpaired(
      source.ArraySplit({"x": first(draw(0, SIZES["train"]))}),
      source.ArraySplit({"y": second(draw(1, SIZES["train"]))}),
    )
  }
  for stream, (name, share) in enumerate({"validation": validation, "test": test}.items(), 2):
    if share:
      texts = draw(stream, SIZES[name])
      splits[name] = source.ArraySplit({"x": first(texts), "y": second(texts)})
  fields = {"y": core.Field((length,), len(SECOND), SECOND.words)}
  spec = core.Spec(core.Field((length,), len(FIRST), FIRST.words), fields)
  return source.Source("text:cipher", spec, splits, {"translate": translate, "counterparts": True})
