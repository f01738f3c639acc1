"""Deep residual players made of bottleneck blocks (Gulrajani et al. 2017, figure 2, and its code).

  block     h -> shortcut(h) + 0.3 normalise(conv_1x1(a(conv_3x3(a(conv_1x1(a(h)))))))
  widths    C -> C / 2 -> C' / 2 -> C'; the shortcut is a 1x1 convolution where C or the resolution
            changes
  players   a dense layer or a 1x1 convolution, `depth` plain blocks at each resolution and one that
            changes it between two of them, and a 1x1 convolution or a dense layer at the end

With depths 6, 6, 6, 6, 5 these are 33 blocks and 101 layers. What comes out is divided by 5, before
the tanh and in the logit: without that and the 0.3, players of this depth diverge. Weights in
blocks are uniform with variance 4 / (inputs + outputs), others with half of that (Glorot's). Where
the source doubles and halves by transposed and strided 3x3 convolutions, these do by sub-pixel and
4x4 ones, as in `nets.gan`. Plain blocks of one resolution are a loop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets import mlp
from gen_jax.nets.conv import border, double, halve, pool, windows
from gen_jax.nets.dense import Dense
from gen_jax.nets.gan import Activation, Norm, activation_of, batch_norm, layer_norm

HE = nn.initializers.variance_scaling(2.0, "fan_avg", "uniform")
GLOROT = nn.initializers.glorot_uniform()


class Block(nn.Module):
  """h [B, H, W, C] -> [B, H', W', features], see above; H' is H, 2 H (up) or H / 2 (down)."""

  features: int
  norm: Norm
  activation: Activation
  resample: Literal["", "up", "down"] = ""
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, h: Array, mask: Array | None, train: bool) -> Array:
    types = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    activate, up, down = (
      activation_of(self.activation),
      self.resample == "up",
      self.resample == "down",
    )
    dense = lambda features, **more: Dense(features, kernel_init=HE, **types, **more)
    shown = double if up else lambda v: v
    times = 4 if up else 1
    shortcut = h
    if self.resample or h.shape[-1] != self.features:
      layer = Dense(times * self.features, kernel_init=GLOROT, **types)
      shortcut = shown(layer(pool(h) if down else h))
    r = activate(dense(h.shape[-1] // 2)(activate(h)))
    r = windows(halve(border(r)), 2) if down else windows(border(r), 3)
    r = activate(shown(dense(times * (self.features // 2))(r)))
    r = dense(self.features, use_bias=False)(r)
    if self.norm == "layer":
      r = layer_norm(r, **types)
    if self.norm == "batch":
      r = batch_norm(r, mask, train, self.dtype)
    return shortcut + 0.3 * r


def repeated(n: int, h: Array, mask: Array | None, train: bool, name: str, **block) -> Array:
  """h after n plain blocks, whose parameters are arrays [n, ...]."""
  each = nn.scan(
    lambda block, h, _: (block(h, mask, train), None),
    variable_axes={"params": 0, "batch_stats": 0}, split_rngs={"params": True}, length=n,
  )  # fmt: skip
  return each(Block(h.shape[-1], **block, name=name), h, None)[0]


class Generator(nn.Module):
  """z [B, Z], condition [B, K] or None -> [B, *shape].

  widths: channels of each resolution, from the lowest on.
  depth: plain blocks of each.
  norm, activation, bounded, dtype: as in `nets.gan.Generator`.
  """

  shape: Sequence[int]
  widths: Sequence[int]
  depth: Sequence[int]
  norm: Norm = "batch"
  activation: Activation = "relu"
  bounded: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, z: Array, condition: Array | None = None, mask: Array | None = None, train: bool = False
  ) -> Array:
    chex.assert_rank(z, 2)
    real = jnp.promote_types(self.dtype, jnp.float32)
    plain = {"kernel_init": GLOROT, "dtype": self.dtype, "param_dtype": real}
    block = {"norm": self.norm, "activation": self.activation, "dtype": self.dtype}
    height, width, channels = self.shape
    scale = 2 ** (len(self.widths) - 1)
    first = (height // scale, width // scale, self.widths[0])
    h = Dense(math.prod(first), name="first", **plain)(mlp.join(z, condition))
    h = h.reshape(-1, *first)
    for i, (features, n) in enumerate(zip(self.widths, self.depth, strict=True)):
      if i:
        h = Block(features, resample="up", name=f"up{i}", **block)(h, mask, train)
      h = repeated(n, h, mask, train, f"blocks{i}", **block)
    x = Dense(channels, name="last", **plain)(h).astype(real) / 5
    return jnp.tanh(x) if self.bounded else x


class Critic(nn.Module):
  """x [B, H, W, C], condition [B, K] or None -> logit [B], as `nets.gan.Critic` with these blocks.

  widths: channels of each resolution, from the highest on.
  depth: plain blocks of each.
  """

  widths: Sequence[int]
  depth: Sequence[int]
  norm: Norm = "none"
  activation: Activation = "relu"
  bias: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: Array, condition: Array | None = None, mask: Array | None = None,
    train: bool = False, group: int = 1,
  ) -> Array:  # fmt: skip
    chex.assert_rank(x, 4)
    del group
    real = jnp.promote_types(self.dtype, jnp.float32)
    plain = {"kernel_init": GLOROT, "dtype": self.dtype, "param_dtype": real}
    block = {"norm": self.norm, "activation": self.activation, "dtype": self.dtype}
    condition = None if condition is None else condition[:, None, None, :]
    h = Dense(self.widths[0], name="first", **plain)(mlp.join(x, condition))
    for i, (features, n) in enumerate(zip(self.widths, self.depth, strict=True)):
      if i:
        h = Block(features, resample="down", name=f"down{i}", **block)(h, mask, train)
      h = repeated(n, h, mask, train, f"blocks{i}", **block)
    h = h.reshape(len(h), -1)
    logit = Dense(1, use_bias=self.bias, name="last", **plain)(h)
    return logit[:, 0].astype(real) / 5
