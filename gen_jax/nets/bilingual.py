"""One transformer that reads a sentence of a language and writes one of another.

Words that are read see each other; one that is written sees all that is read and what is written
before it (a prefix language model: Raffel et al. 2020, arXiv:1910.10683, section 3.2.1). All
weights but the embeddings of words serve both languages, of which each place is told its own.
"""

from __future__ import annotations

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.transformer import Block

PAD = 0


class Bilingual(nn.Module):
  """read [B, T] and written [B, S] tokens of the joint vocabulary, their languages 0 or 1 -> logits
  [B, S, words] of the word after each that is written.

  words: of the joint vocabulary.
  length: of the longest sentence.
  width, layers, heads: of the blocks.
  dtype: of the computation; parameters and logits are float32 or wider.
  """

  words: int
  length: int
  width: int = 64
  layers: int = 2
  heads: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, read: Array, written: Array, source: int, target: int, pads: tuple[int, int]
  ) -> Array:
    """pads: the token of each language that stands for nothing."""
    chex.assert_rank([read, written], 2)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    small = nn.initializers.normal(0.02)
    word = nn.Embed(self.words, self.width, embedding_init=small, **kwargs)
    # Of a place that is read and one that is written, in either language.
    place = self.param("place", small, (2, self.length, self.width), real).astype(self.dtype)
    language = self.param("language", small, (2, 2, self.width), real).astype(self.dtype)
    t, s = read.shape[1], written.shape[1]
    parts = [
      word(read) + place[0, :t] + language[0, source],
      word(written) + place[1, :s] + language[1, target],
    ]
    h = jnp.concatenate(parts, axis=1)
    # The first word is seen even of an empty sentence: a row that pads a batch must be finite.
    there = jnp.asarray(read != pads[source]).at[:, 0].set(True)
    sees_read = jnp.broadcast_to(there[:, None], (len(read), t + s, t))
    behind = jnp.arange(t + s)[:, None] - t >= jnp.arange(s)
    sees_written = jnp.broadcast_to(behind, (len(read), t + s, s))
    sees = jnp.concatenate([sees_read, sees_written], axis=2)[:, None]
    for _ in range(self.layers):
      h, _ = Block(self.heads, 0.0, self.dtype)(h, sees=sees)
    h = nn.LayerNorm(**kwargs)(h[:, t:])
    # Zero logits at first: every word is as likely.
    out = nn.Dense(self.words, kernel_init=nn.initializers.zeros, **kwargs)
    return out(h).astype(real)
