"""An encoder of captions: a transformer whose words see each other, padding aside."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.transformer import Block

PAD = 0  # the token that stands for nothing, as in captions of every source


class TextEncoder(nn.Module):
  """Tokens [B, T] in 0..words -> (mean of the features [B, width], features [B, T, width], which
  of them are of a word [B, T]).

  words: size of the vocabulary; token `words`, beyond it, in every place stands for "no caption".
  length: T.
  width, layers, heads: of the blocks (pre-LN, as in `nets.transformer`).
  dtype: of the computation; parameters are float32 or wider.
  """

  words: int
  length: int
  width: int = 64
  layers: int = 1
  heads: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, tokens: Array) -> tuple[Array, Array, Array]:
    chex.assert_shape(tokens, (None, self.length))
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    small = nn.initializers.normal(0.02)
    position = self.param("position", small, (self.length, self.width), real)
    word = nn.Embed(self.words + 1, self.width, embedding_init=small, **kwargs)(tokens)
    # The first position is seen even where all are padding: a row that pads a batch must be finite.
    seen = (jnp.asarray(tokens) != PAD).at[:, 0].set(True)
    h = word + position.astype(self.dtype)
    for _ in range(self.layers):
      h, _ = Block(self.heads, 0.0, self.dtype)(h, sees=seen[:, None, None, :])
    h = nn.LayerNorm(**kwargs)(h)
    share = seen / seen.sum(1, keepdims=True).astype(real)
    return (h * share[..., None].astype(self.dtype)).sum(1), h, seen

  def nothing(self, n: int) -> Array:
    """No caption, n times: tokens [n, T]."""
    return jnp.full((n, self.length), self.words)
