"""A causal transformer of captions and of codes of pictures, in one sequence."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.dense import Dense
from gen_jax.nets.text import PAD
from gen_jax.nets.transformer import Memory, Transformer


class TextTransformer(Transformer):
  """Codes x [B, T] in 0..levels-1 and captions [B, P] -> (logits [B, P - 1, words] of every token
  but the first given those before it, logits [B, T, levels] of each code given the caption and the
  codes before it).

  The caption stands where `Transformer` has its label, with which it is that one for P = 1. Each
  position has logits of its own kind of token only: a softmax over both, of which the other kind is
  masked. Padding is never predicted.

  words: tokens of the vocabulary; `words`, beyond it, in every place stands for "no caption".
  prefix: P.
  """

  words: int = 1
  prefix: int = 1

  def setup(self):
    assert self.classes == self.words + 1, "the caption's table is that of the label"
    super().setup()
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    if self.lead:
      small = nn.initializers.normal(0.02)
      self.place = self.param("place", small, (self.lead, self.width), real)
      self.word = Dense(self.words, kernel_init=nn.initializers.zeros, **kwargs)

  @property
  def lead(self) -> int:
    return self.prefix - 1

  def __call__(self, x: Array, caption: Array, train: bool = False) -> tuple[Array, Array]:
    chex.assert_shape([x, caption], [(None, self.length), (None, self.prefix)])
    places = self.position.astype(self.dtype)
    h = self.embed(x, caption[:, -1]) + places
    if self.lead:
      h = jnp.concatenate([self.before(caption), h], axis=1)
    h = self.drop(h, deterministic=not train)
    for block in self.blocks:
      h, _ = block(h, None, 0, train)
    return self.read_words(h[:, : self.lead]), self.read(h[:, self.lead :])

  def begin(self, caption: Array) -> list[Memory]:
    """The memory of all of the captions [n, P] but their last tokens."""
    if not self.lead:
      return self.start(caption.shape[0])
    h, memories = self.before(caption), []
    for block in self.blocks:
      h, memory = block(h)
      memories.append(memory)
    return memories

  def embed_one(self, i: Array, before: Array, caption: Array) -> Array:
    return super().embed_one(i, before, caption[:, -1])

  def before(self, caption: Array) -> Array:
    """What stands before the last token of captions [B, P], [B, P - 1, width]."""
    return self.first(caption[:, :-1]) + self.place.astype(self.dtype)

  def read_words(self, h: Array) -> Array:
    """Logits of the next words."""
    real = jnp.promote_types(self.dtype, jnp.float32)
    if not self.lead:
      return jnp.zeros((h.shape[0], 0, self.words), real)
    return self.word(self.norm(h)).astype(real).at[..., PAD].set(-jnp.inf)
