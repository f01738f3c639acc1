"""Convolutional encoders and decoders of images, and the choice between them and dense ones.

Four by four convolutions halve the resolution and dense layers follow, as in Burgess et al. 2018
(appendix A). The decoder mirrors that with sub-pixel convolutions (Shi et al. 2016): 3x3 to four
times the channels, laid out as two by two pixels. Every 4x4 transposed convolution of stride 2 is
one of these, which XLA runs several times as fast on CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array, UserError
from gen_jax.nets import mlp


def double(x: Array) -> Array:
  """Channels to pixels: [B, H, W, 4 C] -> [B, 2 H, 2 W, C]."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height, width, 2, 2, channels // 4)
  return x.swapaxes(2, 3).reshape(batch, 2 * height, 2 * width, channels // 4)


class Encoder(nn.Module):
  """x [B, H, W, C], condition [B, K] or None -> [B, out].

  widths: channels of each convolution, which halves H and W.
  hidden: dense layers behind them.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  out: int
  widths: Sequence[int]
  hidden: Sequence[int]
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, condition: Array | None = None) -> Array:
    chex.assert_rank(x, 4)
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    x = mlp.join(x, None if condition is None else condition[:, None, None, :])
    for width in self.widths:
      x = self.activation(nn.Conv(width, (4, 4), strides=2, **kwargs)(x))
    x = x.reshape(len(x), -1)
    return mlp.MLP(self.out, self.hidden, self.activation, self.dtype)(x)


class Decoder(nn.Module):
  """z [..., B, Z], condition [B, K] or None -> [..., B, H, W, C].

  shape: (H, W, C).
  hidden: dense layers.
  widths: channels that each of the following convolutions, which double H and W, is given.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  shape: Sequence[int]
  widths: Sequence[int]
  hidden: Sequence[int]
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, z: Array, condition: Array | None = None) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    height, width, channels = self.shape
    scale = 2 ** len(self.widths)
    first = (height // scale, width // scale, self.widths[0])
    x = mlp.MLP(math.prod(first), self.hidden, self.activation, self.dtype)(mlp.join(z, condition))
    x = x.reshape(-1, *first)
    for features in (*self.widths[1:], channels):
      kwargs = {"dtype": self.dtype, "param_dtype": real}
      x = double(nn.Conv(4 * features, (3, 3), **kwargs)(self.activation(x)))
    return x.astype(real).reshape(*z.shape[:-1], *self.shape)


def coders(
  shape: Sequence[int],
  out: int,
  *,
  widths: Sequence[int],
  hidden: Sequence[int],
  activation: mlp.Activation,
  dtype: jnp.dtype,
) -> tuple[nn.Module, nn.Module]:
  """An encoder of examples of `shape` to `out` numbers, and the decoder that mirrors it.

  Convolutional with `widths` and `hidden`; without widths of dense layers only.

  Raises:
    UserError: if there are widths and the shape cannot be halved that often, or a width below 1.
  """
  if any(width < 1 for width in (*widths, *hidden)):
    raise UserError(f"model.widths={widths} and model.hidden={hidden} are numbers from 1 on")
  how = {"activation": mlp.activation_of(activation), "dtype": dtype}
  if not widths:
    return mlp.Encoder(out, hidden, **how), mlp.Decoder(shape, hidden[::-1], **how)
  scale = 2 ** len(widths)
  if len(shape) != 3 or shape[0] % scale or shape[1] % scale:
    raise UserError(
      f"{len(widths)} model.widths halve an image {len(widths)} times, so its height and width"
      f" must be multiples of {scale}; the data have shape {tuple(shape)}: give fewer widths, or"
      " () for dense layers"
    )
  return Encoder(out, widths, hidden, **how), Decoder(shape, widths[::-1], hidden[::-1], **how)
