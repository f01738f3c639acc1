"""The U-Net of denoising diffusion: Ho et al. 2020 (appendix B), after PixelCNN++ and Wide ResNet.

Residual blocks with group normalisation, the time embedding added inside each block, single-head
self-attention at the named resolutions, strided convolutions down, nearest-neighbour upsampling
followed by a convolution up, and skip connections from every block on the way down.
"""

from __future__ import annotations

from collections.abc import Sequence

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.attention import attend
from gen_jax.nets.conv import UpConv
from gen_jax.nets.dense import Dense
from gen_jax.nets.norm import GroupNorm
from gen_jax.nets.remat import rematted
from gen_jax.nets.text import TextEncoder


def sinusoidal(t: Array, features: int, max_period: float = 10_000.0) -> Array:
  """Sinusoidal embedding of t [B] -> [B, features] (Vaswani et al. 2017, section 3.5).

  Half sines, half cosines of geometrically spaced frequencies from 1 to 1/max_period, the spacing
  of Ho et al.'s code. features must be even.
  """
  half = features // 2
  frequency = jnp.exp(-jnp.log(max_period) * jnp.arange(half) / max(half - 1, 1))
  angle = t[:, None].astype(jnp.promote_types(t.dtype, jnp.float32)) * frequency
  return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


def positions(height: int, width: int, features: int) -> Array:
  """Fixed sines and cosines of row and column, half of the features each: [H W, features]."""
  row, column = jnp.divmod(jnp.arange(height * width), width)
  return jnp.concatenate([sinusoidal(at, features // 2) for at in (row, column)], -1)


def groups(channels: int) -> int:
  """Groups of four channels or more, at most 32: 32 groups at the paper's 128 channels."""
  return next(g for g in range(min(32, max(channels // 4, 1)), 0, -1) if channels % g == 0)


class ResidualBlock(nn.Module):
  """x [B, H, W, C], embedding [B, E] -> [B, H, W, features]."""

  features: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, embedding: Array, train: bool) -> Array:
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    h = nn.silu(GroupNorm(groups(x.shape[-1]), **kwargs)(x))
    h = nn.Conv(self.features, (3, 3), **kwargs)(h)
    h = h + Dense(self.features, **kwargs)(nn.silu(embedding))[:, None, None, :]
    h = nn.silu(GroupNorm(groups(self.features), **kwargs)(h))
    h = nn.Dropout(self.dropout, deterministic=not train)(h)
    # A block starts as the identity (or its projection): the last convolution is zero.
    h = nn.Conv(self.features, (3, 3), kernel_init=nn.initializers.zeros, **kwargs)(h)
    if x.shape[-1] != self.features:
      x = Dense(self.features, **kwargs)(x)
    return x + h


class Attention(nn.Module):
  """Self-attention over the H W positions of x [B, H, W, C], added to x."""

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    batch, height, width, channels = x.shape
    h = GroupNorm(groups(channels), **kwargs)(x).reshape(batch, height * width, channels)
    q, k, v = jnp.split(Dense(3 * channels, **kwargs)(h), 3, axis=-1)
    split = (batch, height * width, self.heads, channels // self.heads)
    h = attend(q.reshape(split), k.reshape(split), v.reshape(split))
    h = Dense(channels, kernel_init=nn.initializers.zeros, **kwargs)(h.reshape(x.shape))
    return x + h


class CrossAttention(nn.Module):
  """What positions of x [B, H, W, C] find in features [B, T, F] with `seen` [B, T], added to x
  (Rombach et al. 2022, arXiv:2112.10752, section 3.3). Unlike there, a position knows its row and
  column: convolutions see the border alone, and words such as "top" are of places."""

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, features: Array, seen: Array) -> Array:
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    batch, height, width, channels = x.shape
    split = (batch, -1, self.heads, channels // self.heads)
    q = Dense(channels, **kwargs)(GroupNorm(groups(channels), **kwargs)(x))
    where = positions(height, width, channels + -channels % 4).reshape(height, width, -1)
    q = q + Dense(channels, use_bias=False, **kwargs, name="where")(where)
    # Without biases: that of the keys would have no gradient but rounding noise.
    k, v = jnp.split(Dense(2 * channels, use_bias=False, **kwargs)(features), 2, axis=-1)
    h = attend(*(a.reshape(split) for a in (q, k, v)), seen[:, None, None, :])
    return x + Dense(channels, kernel_init=nn.initializers.zeros, **kwargs)(h.reshape(x.shape))


class UNet(nn.Module):
  """Noisy images and their times to a prediction of `channels` channels, zero at initialisation.

  width: channels of the highest resolution.
  multipliers: width of each resolution, as multiples; each one but the first halves H and W.
  blocks: residual blocks per resolution.
  attention: resolutions (values of H) that have self-attention.
  heads: of the attention.
  dropout: rate inside the residual blocks.
  classes: number of classes of the label embedding, which has one more entry (the last) for "no
    label"; 0 for no embedding.
  text: encoder of captions, which are the condition in place of labels: their mean is added to the
    embedding of time, and their words are looked at wherever there is self-attention.
  dtype: of the computation; parameters and normalisation statistics are float32 or wider.
  remat: forget what blocks compute and compute it again for the gradient: less memory, a third more
    time.
  """

  channels: int
  width: int = 128
  multipliers: Sequence[int] = (1, 2, 2, 2)
  blocks: int = 2
  attention: Sequence[int] = (16,)
  heads: int = 1
  dropout: float = 0.1
  classes: int = 0
  text: TextEncoder | None = None
  dtype: jnp.dtype = jnp.float32
  remat: bool = False

  @nn.compact
  def __call__(self, x: Array, t: Array, cond: Array | None = None, train: bool = False) -> Array:
    """x [B, H, W, C], t [B] in 0..T, cond (label [B] or caption [B, L]) -> [B, H, W, channels]."""
    chex.assert_rank([x, t], [4, 1])
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}

    residual, attention = ResidualBlock, Attention
    if self.remat:
      residual, attention = rematted(ResidualBlock, static_argnums=(3,)), rematted(Attention)

    def look(h):
      h = attention(self.heads, self.dtype)(h)
      return h if self.text is None else CrossAttention(self.heads, self.dtype)(h, words, seen)

    def block(h, features):
      h = residual(features, self.dropout, self.dtype)(h, embedding, train)
      return look(h) if h.shape[1] in self.attention else h

    embedding = Dense(4 * self.width, **kwargs)(sinusoidal(t, self.width))
    embedding = Dense(4 * self.width, **kwargs)(nn.silu(embedding))
    if self.classes:
      cond = jnp.full(t.shape, self.classes) if cond is None else cond
      embedding = embedding + nn.Embed(self.classes + 1, 4 * self.width, **kwargs)(cond)
    if self.text is not None:
      pooled, words, seen = self.text(self.text.nothing(len(x)) if cond is None else cond)
      embedding = embedding + Dense(4 * self.width, **kwargs)(pooled)

    h = nn.Conv(self.width, (3, 3), **kwargs)(x)
    skips = [h]
    for level, multiplier in enumerate(self.multipliers):
      if level > 0:
        h = nn.Conv(h.shape[-1], (3, 3), strides=2, **kwargs)(h)
        skips.append(h)
      for _ in range(self.blocks):
        h = block(h, multiplier * self.width)
        skips.append(h)

    h = residual(h.shape[-1], self.dropout, self.dtype)(h, embedding, train)
    h = look(h)
    h = residual(h.shape[-1], self.dropout, self.dtype)(h, embedding, train)

    for level, multiplier in reversed(list(enumerate(self.multipliers))):
      for _ in range(self.blocks + 1):
        h = block(jnp.concatenate([h, skips.pop()], axis=-1), multiplier * self.width)
      if level > 0:
        h = UpConv(h.shape[-1], **kwargs)(h)

    h = nn.silu(GroupNorm(groups(h.shape[-1]), **kwargs)(h))
    h = nn.Conv(self.channels, (3, 3), kernel_init=nn.initializers.zeros, **kwargs)(h)
    return h.astype(jnp.promote_types(self.dtype, jnp.float32))
