"""One transformer that reads a sentence of a language and writes one of another.

Words that are read see each other; one that is written sees all that is read and what is written
before it (a prefix language model: Raffel et al. 2020, arXiv:1910.10683, section 3.2.1). All
weights but the vectors of words serve both languages. A word has one vector, read or written (Press
& Wolf 2017, arXiv:1608.05859); what is written is told its language.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.dense import product
from gen_jax.nets.transformer import Block, Memory

PAD = 0


class Bilingual(nn.Module):
  """Sentences that are read, ((tokens [b, T], language), ...), B of them all, languages 0 or 1, and
  written [B, S] of language `target` -> logits [B, S, V] of the word after each that is written.
  Tokens are of their language's vocabulary.

  words: V of either language.
  length: of the longest sentence.
  width, layers, heads: of the blocks.
  dropout: of the vectors of words and of what blocks add.
  dtype: of the computation; parameters and logits are float32 or wider.
  """

  words: tuple[int, int]
  length: int
  width: int = 64
  layers: int = 2
  heads: int = 4
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32

  def setup(self):
    real = jnp.promote_types(self.dtype, jnp.float32)
    # Vectors of length 1: logits of a fresh network are about 1 apart.
    vectors, small = nn.initializers.normal(self.width**-0.5), nn.initializers.normal(0.1)
    self.tables = [
      self.param(f"words_{i}", vectors, (n, self.width), real) for i, n in enumerate(self.words)
    ]
    self.biases = [
      self.param(f"bias_{i}", nn.initializers.zeros, (n,), real) for i, n in enumerate(self.words)
    ]
    # Of a place that is read and one that is written, in either language.
    self.place = self.param("place", small, (2, self.length, self.width), real)
    self.language = self.param("language", small, (2, self.width), real)
    self.drop = nn.Dropout(self.dropout)
    self.blocks = [Block(self.heads, self.dropout, self.dtype) for _ in range(self.layers)]
    self.norm = nn.LayerNorm(dtype=self.dtype, param_dtype=real)

  def __call__(
    self, reads: Sequence[tuple[Array, int]], written: Array, target: int, train: bool = False
  ) -> Array:
    read = jnp.concatenate([tokens for tokens, _ in reads])
    chex.assert_rank([read, written], 2)
    chex.assert_equal(len(read), len(written))
    t, s = read.shape[1], written.shape[1]
    seen = jnp.concatenate([self.vectors(tokens, source, 0) for tokens, source in reads])
    h = jnp.concatenate([seen, self.vectors(written, target, 1) + self.mark(target)], axis=1)
    h = self.drop(h, deterministic=not train)
    sees_read = jnp.broadcast_to(there(read)[:, None], (len(read), t + s, t))
    behind = jnp.arange(t + s)[:, None] - t >= jnp.arange(s)
    sees_written = jnp.broadcast_to(behind, (len(read), t + s, s))
    sees = jnp.concatenate([sees_read, sees_written], axis=2)[:, None]
    for block in self.blocks:
      h, _ = block(h, None, 0, train, sees)
    return self.logits(h[:, t:], target)

  def begin(self, read: Array, source: int, room: int) -> list[Memory]:
    """The memory of sentences read [B, T], with room for so many words to be written."""
    h, memories = self.vectors(read, source, 0), []
    more = ((0, 0), (0, 0), (0, room), (0, 0))
    for block in self.blocks:
      h, memory = block(h, sees=there(read)[:, None, None])
      memories.append(jax.tree.map(lambda m: jnp.pad(m, more), memory))
    return memories

  def step(
    self, memories: list[Memory], read: Array, i: Array, before: Array, target: int
  ) -> tuple[Array, list[Memory]]:
    """(logits [B, V] of the word after `before` [B], which is written at place i; memories)."""
    h = self.tables[target][before] * math.sqrt(self.width) + self.place[1, i]
    h = h.astype(self.dtype)[:, None] + self.mark(target)
    room = memories[0][0].shape[2] - read.shape[1]
    behind = jnp.broadcast_to(jnp.arange(room) <= i, (len(read), room))
    sees, kept = jnp.concatenate([there(read), behind], axis=1)[:, None, None], []
    for block, memory in zip(self.blocks, memories, strict=True):
      h, memory = block(h, memory, read.shape[1] + i, False, sees)
      kept.append(memory)
    return self.logits(h, target)[:, 0], kept

  def vectors(self, tokens: Array, language: int, side: int) -> Array:
    """Of tokens [B, T] in their places, [B, T, width]."""
    h = self.tables[language][tokens] * math.sqrt(self.width)
    return (h + self.place[side, : tokens.shape[1]]).astype(self.dtype)

  def mark(self, language: int) -> Array:
    """What the words written in a language are told, [width]."""
    return self.language[language].astype(self.dtype)

  def logits(self, h: Array, language: int) -> Array:
    """Of the words of a language, from features [B, S, width]."""
    table, bias = self.tables[language], self.biases[language]
    return product(self.norm(h), table.T.astype(self.dtype)).astype(table.dtype) + bias


def there(read: Array) -> Array:
  """Which tokens [B, T] stand for something; the first even of an empty sentence: a row that pads a
  batch must be finite."""
  return jnp.asarray(read != PAD).at[:, 0].set(True)
