"""Captions as sequences of word tokens."""

from __future__ import annotations

import collections
import functools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

PAD, BOS, EOS, UNK = range(4)
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def split_words(text: str) -> list[str]:
  """Lower-cased words and punctuation marks of a text, in Unicode's form NFC."""
  return re.findall(r"\w+|[^\w\s]", unicodedata.normalize("NFC", text).lower())


class Vocabulary(NamedTuple):
  """Words in the order of their tokens; the first four are SPECIAL."""

  words: tuple[str, ...]

  def __len__(self) -> int:
    return len(self.words)

  def encode(self, text: str, length: int) -> np.ndarray:
    """Tokens int32 [length]: <bos> words <eos> <pad>...; what does not fit is cut off."""
    return self.encode_words(split_words(text), length)

  def encode_words(self, words: Sequence[str], length: int) -> np.ndarray:
    """As `encode`, of a text that is cut into words."""
    known = _tokens(self.words)
    words = words[: length - 2]
    tokens = [BOS, *(known.get(word, UNK) for word in words), EOS]
    return np.array(tokens + [PAD] * (length - len(tokens)), np.int32)

  def decode(self, tokens: Sequence[int]) -> str:
    """The words of tokens [T] up to the first <eos>, joined by spaces."""
    words = []
    for token in np.asarray(tokens).tolist():
      if token == EOS:
        break
      if token not in (PAD, BOS):
        words.append(self.words[token])
    return " ".join(words)


@functools.lru_cache(maxsize=8)
def _tokens(words: tuple[str, ...]) -> dict[str, int]:
  return {word: token for token, word in enumerate(words)}


def build(texts: Iterable[str]) -> Vocabulary:
  """The vocabulary of some texts: the most frequent word first, equals in alphabetical order."""
  return build_words(map(split_words, texts))


def build_words(texts: Iterable[Sequence[str]], minimum: int = 1) -> Vocabulary:
  """As `build`, of texts cut into words; words seen fewer than `minimum` times are <unk>."""
  counts = collections.Counter(word for words in texts for word in words)
  frequent = [word for word in counts if counts[word] >= minimum and word not in SPECIAL]
  return Vocabulary(SPECIAL + tuple(sorted(frequent, key=lambda word: (-counts[word], word))))
