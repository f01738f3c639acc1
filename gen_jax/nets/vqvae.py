"""Encoder and decoder of a VQ-VAE: strided convolutions and residual blocks.

van den Oord et al. 2017, section 4.1, as in DeepMind Sonnet's example; the transposed convolutions
are sub-pixel ones (see `nets.conv`).
"""

from __future__ import annotations

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import double


class Residual(nn.Module):
  """x [B, H, W, C] -> [B, H, W, C]: blocks of ReLU, 3x3, ReLU, 1x1, each added to its input."""

  blocks: int
  hidden: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    for _ in range(self.blocks):
      h = nn.Conv(self.hidden, (3, 3), **kwargs)(nn.relu(x))
      x = x + nn.Conv(x.shape[-1], (1, 1), **kwargs)(nn.relu(h))
    return nn.relu(x)


class Encoder(nn.Module):
  """x [B, H, W, C], scaled -> z [B, H / 2^halvings, W / 2^halvings, out].

  halvings: of height and width, by 4x4 convolutions of stride 2.
  width: channels, half as many before the last halving.
  blocks, residual: number of residual blocks, and their channels.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  out: int
  halvings: int
  width: int = 128
  blocks: int = 2
  residual: int = 32
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    for i in range(self.halvings):
      width = self.width if i == self.halvings - 1 else max(self.width // 2, 1)
      x = nn.relu(nn.Conv(width, (4, 4), strides=2, **kwargs)(x))
    x = nn.Conv(self.width, (3, 3), **kwargs)(x)
    x = Residual(self.blocks, self.residual, self.dtype)(x)
    return nn.Conv(self.out, (1, 1), **kwargs)(x).astype(real)


class Decoder(nn.Module):
  """z [B, h, w, D] -> [B, h 2^doublings, w 2^doublings, channels]; mirrors `Encoder`.

  start: of the biases that become pixels, [4 channels]: what every picture is at first.
  """

  channels: int
  doublings: int
  width: int = 128
  blocks: int = 2
  residual: int = 32
  dtype: jnp.dtype = jnp.float32
  start: nn.initializers.Initializer = nn.initializers.zeros

  @nn.compact
  def __call__(self, z: Array) -> Array:
    chex.assert_rank(z, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    x = nn.Conv(self.width, (3, 3), **kwargs)(z)
    x = Residual(self.blocks, self.residual, self.dtype)(x)
    for _ in range(self.doublings - 1):
      x = nn.relu(double(nn.Conv(4 * max(self.width // 2, 1), (3, 3), **kwargs)(x)))
    x = nn.Conv(4 * self.channels, (3, 3), bias_init=self.start, **kwargs)(x)
    return double(x).astype(real)
