"""Diffusion transformers (Peebles & Xie 2023, arXiv:2212.09748): attention between patches, told of
time and label by the scales and shifts of its normalisations (adaLN-Zero, section 3.2)."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.attention import attend
from gen_jax.nets.dense import Dense
from gen_jax.nets.unet import positions, sinusoidal

TIME_FEATURES = 256


def patches(x: Array, size: int) -> Array:
  """x [B, H, W, C] -> [B, H W / size^2, size^2 C], row by row."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // size, size, width // size, size, channels)
  return x.swapaxes(2, 3).reshape(batch, -1, size * size * channels)


def images(tokens: Array, size: int, height: int, width: int) -> Array:
  """The inverse of `patches`, for images of height and width: [B, H, W, C]."""
  batch = tokens.shape[0]  # which len() refuses where it is any number
  x = tokens.reshape(batch, height // size, width // size, size, size, -1)
  return x.swapaxes(2, 3).reshape(batch, height, width, -1)


def modulated(x: Array, shift: Array, scale: Array) -> Array:
  """x [B, T, F], of no mean and unit variance, with scale and shift [B, F] of its example."""
  return x * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
  """x [B, T, F], condition [B, F] -> [B, T, F]: the identity at initialisation."""

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array, condition: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    batch, length, width = x.shape
    norm = lambda x: nn.LayerNorm(1e-6, use_bias=False, use_scale=False, **kwargs)(x)
    zero = nn.initializers.zeros
    told = Dense(6 * width, kernel_init=zero, **kwargs)(nn.silu(condition))
    shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = jnp.split(told, 6, -1)

    h = modulated(norm(x), shift_1, scale_1)
    qkv = Dense(3 * width, kernel_init=nn.initializers.xavier_uniform(), **kwargs)(h)
    q, k, v = qkv.reshape(batch, length, 3, self.heads, -1).swapaxes(0, 2).swapaxes(1, 2)
    h = attend(q, k, v).reshape(x.shape)
    x = x + gate_1[:, None] * Dense(width, **kwargs)(h)

    h = modulated(norm(x), shift_2, scale_2)
    h = jax.nn.gelu(Dense(4 * width, **kwargs)(h), approximate=True)
    return x + gate_2[:, None] * Dense(width, **kwargs)(h)


class DiT(nn.Module):
  """Noisy images and their times to a prediction of `channels` channels, zero at initialisation.

  patch: side of the patches, which divides H and W.
  width: features of a token, a multiple of 4 and of `heads`.
  depth: blocks.
  heads: of the attention.
  classes: of the label embedding, which has one more entry (the last) for "no label"; 0 for none.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  channels: int
  patch: int = 2
  width: int = 384
  depth: int = 12
  heads: int = 6
  classes: int = 0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, t: Array, label: Array | None = None, train: bool = False) -> Array:
    """x [B, H, W, C], t [B] in 0..1000, label [B] -> [B, H, W, channels]."""
    del train
    chex.assert_rank([x, t], [4, 1])
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    small, zero = nn.initializers.normal(0.02), nn.initializers.zeros
    height, width = x.shape[1:3]

    condition = Dense(self.width, kernel_init=small, **kwargs)(sinusoidal(t, TIME_FEATURES))
    condition = Dense(self.width, kernel_init=small, **kwargs)(nn.silu(condition))
    if self.classes:
      label = jnp.full(t.shape, self.classes) if label is None else label
      embed = nn.Embed(self.classes + 1, self.width, embedding_init=small, **kwargs)
      condition = condition + embed(label)

    h = Dense(self.width, kernel_init=nn.initializers.xavier_uniform(), **kwargs)(
      patches(x, self.patch)
    )
    where = positions(height // self.patch, width // self.patch, self.width)
    h = h + where.astype(h.dtype)
    for _ in range(self.depth):
      h = Block(self.heads, self.dtype)(h, condition)

    told = Dense(2 * self.width, kernel_init=zero, **kwargs)(nn.silu(condition))
    h = nn.LayerNorm(1e-6, use_bias=False, use_scale=False, **kwargs)(h)
    h = modulated(h, *jnp.split(told, 2, -1))
    h = Dense(self.patch**2 * self.channels, kernel_init=zero, **kwargs)(h)
    return images(h, self.patch, height, width).astype(real)
