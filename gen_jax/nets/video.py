"""A causal transformer of the codes of frames, each told of the action that led to its frame."""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets import grid
from gen_jax.nets.transformer import Memory, Transformer

# The memory of the blocks, and the codes [n, T m] so far.
Cache = tuple[list[Memory], Array]


class FrameTransformer(Transformer):
  """Codes x [B, T m] of T frames and actions [B, T - 1] -> logits [B, T m, levels] of each given
  the codes before it and the actions up to the one that led to its frame.

  What stands before a code is the code before it, the one at its place in the frame before, and the
  action; actions are inputs only, and no position predicts one. Places are told by frame and by
  place in the frame, so that what is learnt of one place is known of it in every frame.

  actions: how many there are, 0 for a network that is told none.
  codes: m, of one frame.
  """

  actions: int = 0
  codes: int = 1

  def setup(self):
    super().setup()
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    small = nn.initializers.normal(0.02)
    # The last entries are of the first frame: none before it, and no action that leads to it.
    count = self.levels + 1
    self.above = grid.Embed(count, self.width, embedding_init=small, grid=self.grid, **kwargs)
    if self.actions:
      self.action = nn.Embed(self.actions + 1, self.width, embedding_init=small, **kwargs)

  def places(self, start: Callable, real: jnp.dtype) -> Array:
    frame = self.param("frame", start, (self.length // self.codes, 1, self.width), real)
    place = self.param("place", start, (1, self.codes, self.width), real)
    return (frame + place).reshape(self.length, self.width)

  def embed(self, x: Array, action: Array | None) -> Array:
    first = ((0, 0), (self.codes, 0))
    above = jnp.pad(x[:, : -self.codes], first, constant_values=self.levels)
    told = self.above(above)
    if self.actions:
      chex.assert_shape(action, (x.shape[0], self.length // self.codes - 1))
      told += jnp.repeat(self.action(self.led(action)), self.codes, axis=1)
    return super().embed(x, None) + told

  def start(self, n: int) -> Cache:
    return super().start(n), jnp.zeros((n, self.length), jnp.int32)

  def grow(self, cache: Cache, size: int) -> Cache:
    return super().grow(cache[0], size), cache[1]

  def step(
    self, cache: Cache, i: Array, before: Array, action: Array | None = None
  ) -> tuple[Array, Cache]:
    memories, x = cache
    x = x.at[:, jnp.maximum(i - 1, 0)].set(before)
    above = jnp.where(i < self.codes, self.levels, x[:, jnp.maximum(i - self.codes, 0)])
    logits, memories = super().step(memories, i, jnp.stack([before, above]), action)
    return logits, (memories, x)

  def embed_one(self, i: Array, before: Array, action: Array | None) -> Array:
    """before: the code before position i, and the one at its place in the frame before, [2, B]."""
    told = self.above(before[1])
    if self.actions:
      told += self.action(self.led(action)[:, i // self.codes])
    return super().embed_one(i, before[0], None) + told

  def led(self, action: Array) -> Array:
    """The action that led to each frame [B, T]."""
    return jnp.pad(action, ((0, 0), (1, 0)), constant_values=self.actions)
