"""Transformer that sees all positions of a sequence, some of them hidden."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.remat import rematted
from gen_jax.nets.transformer import Block


class MaskedTransformer(nn.Module):
  """Integers x [B, T] in 0..K, K where they are hidden, label [B] or None -> logits [B, T, K].

  The label's vector is added to all positions.

  levels: K.
  length: T.
  width, layers, heads: of the blocks.
  dropout: of the embeddings and of what blocks add.
  classes: of the label, whose value `classes` stands for none; 0 where there are no labels.
  dtype: of the computation; parameters and logits are float32 or wider.
  remat: forget what blocks compute and compute it again for the gradient: less memory, a third more
    time.
  """

  levels: int
  length: int
  width: int = 128
  layers: int = 4
  heads: int = 4
  dropout: float = 0.0
  classes: int = 0
  dtype: jnp.dtype = jnp.float32
  remat: bool = False

  @nn.compact
  def __call__(self, x: Array, label: Array | None = None, train: bool = False) -> Array:
    chex.assert_shape(x, (None, self.length))
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    small = nn.initializers.normal(0.02)
    embed = lambda n, name: nn.Embed(n, self.width, embedding_init=small, name=name, **kwargs)
    h = embed(self.levels + 1, "token")(x)
    h = h + self.param("position", small, (self.length, self.width), real).astype(self.dtype)
    if self.classes:
      h = h + embed(self.classes + 1, "label")(label)[:, None]
    h = nn.Dropout(self.dropout, deterministic=not train)(h)
    block = rematted(Block, static_argnums=(4,)) if self.remat else Block
    everywhere = jnp.ones((1, 1), bool)
    for i in range(self.layers):
      h, _ = block(self.heads, self.dropout, self.dtype, name=f"block_{i}")(
        h, None, 0, train, everywhere
      )
    # Zero logits at first: the uniform distribution.
    read = nn.Dense(self.levels, kernel_init=nn.initializers.zeros, name="logits", **kwargs)
    return read(nn.LayerNorm(name="norm", **kwargs)(h)).astype(real)
