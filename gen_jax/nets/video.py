"""A causal transformer of the codes of frames, each told of the action that led to its frame."""

from __future__ import annotations

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.transformer import Transformer


class FrameTransformer(Transformer):
  """Codes x [B, T m] of T frames and actions [B, T - 1] -> logits [B, T m, levels] of each given
  the codes before it and the actions up to the one that led to its frame.

  Actions are inputs only: no position predicts one.

  actions: how many there are.
  codes: m, of one frame.
  """

  actions: int = 1
  codes: int = 1

  def setup(self):
    super().setup()
    real = jnp.promote_types(self.dtype, jnp.float32)
    small = nn.initializers.normal(0.02)
    # The last entry is of the first frame, to which no action leads.
    self.action = nn.Embed(
      self.actions + 1, self.width, embedding_init=small, dtype=self.dtype, param_dtype=real
    )

  def embed(self, x: Array, action: Array | None) -> Array:
    chex.assert_shape(action, (len(x), self.length // self.codes - 1))
    told = jnp.repeat(self.action(self.led(action)), self.codes, axis=1)
    return super().embed(x, None) + told

  def embed_one(self, i: Array, before: Array, action: Array | None) -> Array:
    return super().embed_one(i, before, None) + self.action(self.led(action)[:, i // self.codes])

  def led(self, action: Array) -> Array:
    """The action that led to each frame [B, T]."""
    return jnp.pad(action, ((0, 0), (1, 0)), constant_values=self.actions)
