"""Convolutional encoders and decoders of images, and the choice between them and dense ones.

Four by four convolutions halve the resolution and dense layers follow, as in Burgess et al. 2018
(appendix A). The decoder mirrors that with sub-pixel convolutions (Shi et al. 2016): 3x3 to four
times the channels, laid out as two by two pixels. Every 4x4 transposed convolution of stride 2 is
one of these.

These are dense layers on windows: on CPU, XLA runs strided and small convolutions, and above all
their gradients, many times slower than the same product of matrices. `convolve` is a convolution
that it runs well from 6x6 positions on, in a loop too and at any order of differentiation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax

from gen_jax.core import Array, UserError
from gen_jax.nets import mlp
from gen_jax.nets.dense import Dense, product, rows


def shuffle(x: Array, scale: int) -> Array:
  """Channels to pixels: [B, H, W, s^2 C] -> [B, s H, s W, C]; channels are (row, column, C)."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height, width, scale, scale, channels // scale**2)
  return x.swapaxes(2, 3).reshape(batch, scale * height, scale * width, -1)


def double(x: Array) -> Array:
  """Channels to pixels: [B, H, W, 4 C] -> [B, 2 H, 2 W, C]."""
  return shuffle(x, 2)


def halve(x: Array) -> Array:
  """Pixels to channels, the inverse of `double`: [B, 2 H, 2 W, C] -> [B, H, W, 4 C]."""
  batch, height, width, channels = x.shape
  x = x.reshape(batch, height // 2, 2, width // 2, 2, channels).swapaxes(2, 3)
  return x.reshape(batch, height // 2, width // 2, 4 * channels)


def enlarge(x: Array) -> Array:
  """Each pixel of x [B, H, W, C] as two by two: [B, 2 H, 2 W, C]."""
  return x.repeat(2, axis=1).repeat(2, axis=2)


def pool(x: Array) -> Array:
  """Averages of two by two pixels: [B, 2 H, 2 W, C] -> [B, H, W, C]."""
  x = halve(x)
  return x.reshape(*x.shape[:3], 4, -1).mean(axis=3)


def max_pool(x: Array) -> Array:
  """The largest of two by two pixels: [B, H, W, C] -> [B, H // 2, W // 2, C]; an odd last row or
  column is left out.

  Equal to `flax.linen.max_pool`, whose gradient is slow on CPU. By comparisons: that of `max` looks
  for the largest again, and divides by 0 where XLA has rounded it otherwise.
  """
  height, width = x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
  larger = lambda a, b: jnp.where(a >= b, a, b)
  x = larger(x[:, :height:2], x[:, 1:height:2])
  return larger(x[:, :, :width:2], x[:, :, 1:width:2])


def windows(x: Array, size: int) -> Array:
  """All size x size windows of x [B, H, W, C]: [B, H - size + 1, W - size + 1, size^2 C].

  With a border, a 3x3 convolution is a dense layer on windows of 3, and a 4x4 one of stride 2 is
  one on windows of 2 of the halved image.
  """
  rows, columns = x.shape[1] - size + 1, x.shape[2] - size + 1
  places = [(i, j) for i in range(size) for j in range(size)]
  return jnp.concatenate([x[:, i : i + rows, j : j + columns] for i, j in places], axis=-1)


def border(x: Array) -> Array:
  """x [B, H, W, C] with one row or column of zeros on each side."""
  return jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))


# FOLDED[a, u, r]: whether tap r of three, at pixel a of a pair of equal ones, falls on number u of
# the two pairs that it can fall on.
FOLDED = np.array([[[1, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], np.float32)
# AVERAGED[i, a, r]: the share of tap r of three in tap 2 i + a of four, for the mean of two places.
AVERAGED = np.array([[[1, 0, 0], [1, 1, 0]], [[0, 1, 1], [0, 0, 1]]], np.float32) / 2


def same(x: Array, kernel: Array) -> Array:
  """XLA's own convolution of x [B, H, W, C] by kernel [K, K', C, F] with a border of one."""
  names = ("NHWC", "HWIO", "NHWC")
  return lax.conv_general_dilated(x, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=names)


def as_product(x: Array) -> bool:
  """Whether on CPU x [B, H, W, C] is better convolved as a dense layer on windows: a convolution
  has few positions, or is not of float32, which XLA has fast code for."""
  return min(x.shape[1:3]) < 6 or x.dtype != jnp.float32


@jax.custom_vjp
def convolve3(x: Array, kernel: Array) -> Array:
  """x [B, H, W, C], kernel [3, 3, C, F] -> [B, H, W, F].

  XLA on CPU runs a convolution well only of these orders of axes, to which it brings the gradients
  outside of loops alone; in one they would take thirty to fifty times as long. So each gradient is
  `convolve3` or `correlate3` again, with axes in order.
  """

  def on_cpu(x, kernel):
    if as_product(x):
      return product(windows(border(x), 3), kernel.reshape(-1, kernel.shape[-1]))
    return same(x, kernel)

  return lax.platform_dependent(x, kernel, cpu=on_cpu, default=same)


@jax.custom_vjp
def correlate3(x: Array, g: Array) -> Array:
  """The gradient [3, 3, C, F] of sum(g * convolve3(x, kernel)) with regard to the kernel."""
  kernel = jax.ShapeDtypeStruct((3, 3, x.shape[-1], g.shape[-1]), x.dtype)

  def on_cpu(x, g):
    if as_product(x):
      return (rows(windows(border(x), 3)).T @ rows(g)).reshape(kernel.shape)
    return same(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3)).transpose(1, 2, 0, 3)

  def elsewhere(x, g):
    return jax.linear_transpose(lambda kernel: same(x, kernel), kernel)(g)[0]

  return lax.platform_dependent(x, g, cpu=on_cpu, default=elsewhere)


def turned(kernel: Array) -> Array:
  """The kernel [3, 3, F, C] by which a gradient goes back through one of [3, 3, C, F]."""
  return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


convolve3.defvjp(
  lambda x, kernel: (convolve3(x, kernel), (x, kernel)),
  lambda kept, g: (convolve3(g, turned(kept[1])), correlate3(kept[0], g)),
)
correlate3.defvjp(
  lambda x, g: (correlate3(x, g), (x, g)),
  lambda kept, u: (convolve3(kept[1], turned(u)), convolve3(kept[0], u)),
)


def convolve(x: Array, kernel: Array) -> Array:
  """A 3x3 convolution of x [B, H, W, C] with kernel [9 C, F], rows (row, column, C).

  Differentiable in reverse, any number of times; not forwards.
  """
  return convolve3(x, kernel.reshape(3, 3, x.shape[-1], -1))


class Conv3(nn.Module):
  """A 3x3 convolution by `convolve`: [B, H, W, C] -> [B, H, W, features]."""

  features: int
  kernel_init: Callable = nn.linear.default_kernel_init
  dtype: jnp.dtype = jnp.float32
  param_dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (9 * x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
    bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
    return convolve(x.astype(self.dtype), kernel.astype(self.dtype)) + bias.astype(self.dtype)


def convolve_enlarged(x: Array, kernel: Array) -> Array:
  """convolve(enlarge(x), kernel): [B, H, W, C] -> [B, 2 H, 2 W, F]; see `UpConv`."""
  (_, height, width, channels), features = x.shape, kernel.shape[-1]
  taps = kernel.reshape(3, 3, channels, features)
  folded = jnp.einsum("aur,bvs,rscd->abuvcd", FOLDED, FOLDED, taps)
  folded = folded.reshape(2, 2, 4 * channels, features)
  near = windows(border(x), 2)
  pixel = lambda a, b: product(near[:, a : a + height, b : b + width], folded[a, b])
  return double(jnp.concatenate([pixel(a, b) for a in (0, 1) for b in (0, 1)], axis=-1))


def convolve_pooled(x: Array, kernel: Array) -> Array:
  """pool(convolve(x, kernel)): [B, 2 H, 2 W, C] -> [B, H, W, F]; one 4x4 convolution of stride 2,
  and so 16 products instead of 36."""
  channels, features = x.shape[-1], kernel.shape[-1]
  taps = kernel.reshape(3, 3, channels, features)
  folded = jnp.einsum("iar,jbs,rscd->ijabcd", AVERAGED, AVERAGED, taps)
  return product(windows(halve(border(x)), 2), folded.reshape(16 * channels, features))


class UpConv(nn.Module):
  """A 3x3 convolution of `enlarge`(x): [B, H, W, C] -> [B, 2 H, 2 W, features].

  Where pixels are equal, taps that fall on them are added up before: four 2x2 convolutions of x,
  one for each pixel of two by two, and 16 products instead of 36.
  """

  features: int
  use_bias: bool = True
  kernel_init: Callable = nn.linear.default_kernel_init
  dtype: jnp.dtype = jnp.float32
  param_dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    batch, height, width, channels = x.shape
    kernel = self.param(
      "kernel", self.kernel_init, (3, 3, channels, self.features), self.param_dtype
    )
    folded = jnp.einsum("aur,bvs,rscd->abuvcd", FOLDED, FOLDED, kernel).astype(self.dtype)
    x = border(x.astype(self.dtype))

    def pixel(a, b):
      part = x[:, a : a + height + 1, b : b + width + 1]
      names = ("NHWC", "HWIO", "NHWC")
      return lax.conv_general_dilated(part, folded[a, b], (1, 1), "VALID", dimension_numbers=names)

    rows = [jnp.stack([pixel(a, 0), pixel(a, 1)], axis=3) for a in (0, 1)]
    x = jnp.stack(rows, axis=2).reshape(batch, 2 * height, 2 * width, self.features)
    if not self.use_bias:
      return x
    bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
    return x + bias.astype(self.dtype)


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
      x = self.activation(Dense(width, **kwargs)(windows(halve(border(x)), 2)))
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
      x = double(Dense(4 * features, **kwargs)(windows(border(self.activation(x)), 3)))
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
