"""Upsampling by two: one linear map each, of as many weights, [B, H, W, C] -> [B, 2 H, 2 W, F].

  transposed   y[n] = sum_m x[m] w[n - 2 m]
  unpool       y = w * u,  u the values of x where its window's maximum was, 0 elsewhere
               (SegNet: Badrinarayanan et al. 2017)
  nearest      y = w * (each pixel of x as two by two)     (Odena et al. 2016)
  bilinear     y = w * (x between its pixels)
  shuffle      y[2 a + i, 2 b + j, c] = (v * x)[a, b, (i, j, c)]     (Shi et al. 2016)
  icnr         the same, whose four kernels start equal     (Aitken et al. 2017)

for w of k x k taps and v of k/2 x k/2, four times as many features; * is a convolution whose image
is padded with zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets.conv import double, enlarge, halve, max_pool, windows
from gen_jax.nets.dense import Dense, product


def pool_with_positions(x: Array) -> tuple[Array, Array]:
  """Maxima of two by two pixels and where they were, 0..3 by rows: [B, 2 H, 2 W, C] -> twice
  [B, H, W, C]. Of equal pixels, the first."""
  parts = halve(x).reshape(len(x), x.shape[1] // 2, x.shape[2] // 2, 4, x.shape[3])
  return max_pool(x), parts.argmax(axis=3)


def unpool(x: Array, position: Array) -> Array:
  """x where its windows' maxima were, 0 elsewhere: x, position [B, H, W, C] -> [B, 2 H, 2 W, C]."""
  chex.assert_equal_shape([x, position])
  at = position[..., None, :] == jnp.arange(4)[:, None]
  return double((at * x[..., None, :]).reshape(*x.shape[:3], -1))


def between(x: Array) -> Array:
  """Bilinear interpolation: [B, H, W, C] -> [B, 2 H, 2 W, C]."""
  batch, height, width, channels = x.shape
  return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "bilinear")


def convolve(x: Array, kernel: Array) -> Array:
  """x [B, H, W, C] by kernel [k, k, C, F], with zeros around; of an even k, one more at the end."""
  names = ("NHWC", "HWIO", "NHWC")
  return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=names)


def transposed(x: Array, kernel: Array) -> Array:
  """sum_m x[m] w[n - 2 m] of kernel w [k, k, C, F], from n = (k - 1) // 2 on, as PyTorch's with
  padding (k - 1) // 2 has it: [B, H, W, C] -> [B, 2 H, 2 W, F].

  Pixel 2 m + a meets the taps a, a + 2, ...: a dense layer on windows of k/2 for each of 2 x 2.
  """
  size, channels, features = kernel.shape[0], x.shape[-1], kernel.shape[-1]
  taps, start = (size + 1) // 2, (size - 1) // 2
  even = jnp.pad(kernel, ((0, 2 * taps - size),) * 2 + ((0, 0),) * 2)
  # [u, a, v, b, C, F], the last taps first, as they fall on the first pixels of a window.
  parts = even.reshape(taps, 2, taps, 2, channels, features)[::-1, :, ::-1]
  parts = parts.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 4 * features)
  # One more than the taps need at the end, for odd sizes; the pixels of zeros are cut off below.
  around = jnp.pad(x, ((0, 0), (taps - 1, taps), (taps - 1, taps), (0, 0)))
  y = double(product(windows(around, taps), parts))
  height, width = 2 * x.shape[1], 2 * x.shape[2]
  return y[:, start : start + height, start : start + width]


def shuffle(x: Array, kernel: Array) -> Array:
  """Four convolutions of x, of kernel [k/2, k/2, C, 4 F], laid out as two by two pixels."""
  return double(convolve(x, kernel))


class Upsampler(NamedTuple):
  """A linear map of x [B, H, W, C] to [B, 2 H, 2 W, F], with positions [B, H, W, C] or None.

  apply: (x, kernel, positions) -> y.
  inputs: (k, C) -> how many weights meet in one output, by whose root the first ones are scaled.
  tiles: whether the kernel has half as many taps each way, and four times the features.
  equal: whether those four start equal.
  positions: whether it needs those of the encoder's maxima.
  """

  apply: Callable[[Array, Array, Array | None], Array]
  inputs: Callable[[int, int], float]
  tiles: bool = False
  equal: bool = False
  positions: bool = False


def of_all(size: int, channels: int) -> float:
  return size**2 * channels


def of_a_quarter(size: int, channels: int) -> float:
  return size**2 * channels / 4


UPSAMPLERS: dict[str, Upsampler] = {
  "transposed": Upsampler(lambda x, w, _: transposed(x, w), of_a_quarter),
  "unpool": Upsampler(lambda x, w, at: convolve(unpool(x, at), w), of_a_quarter, positions=True),
  "nearest": Upsampler(lambda x, w, _: convolve(enlarge(x), w), of_all),
  "bilinear": Upsampler(lambda x, w, _: convolve(between(x), w), of_all),
  "shuffle": Upsampler(lambda x, w, _: shuffle(x, w), of_a_quarter, tiles=True),
  "icnr": Upsampler(lambda x, w, _: shuffle(x, w), of_a_quarter, tiles=True, equal=True),
}  # fmt: skip


class Upsample(nn.Module):
  """x [B, H, W, C], positions [B, H, W, C] or None -> [B, 2 H, 2 W, features].

  up: one of UPSAMPLERS. All have k^2 C F + F parameters.
  size: k; even where the kernel is tiled.
  dtype: of the computation; parameters are float32 or wider.
  """

  up: str
  features: int
  size: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, positions: Array | None = None) -> Array:
    chex.assert_rank(x, 4)
    how, real = UPSAMPLERS[self.up], jnp.promote_types(self.dtype, jnp.float32)
    parts = 2 if how.tiles else 1  # each way
    size, features = self.size // parts, parts**2 * self.features
    channels = x.shape[-1]
    scale = (2 / how.inputs(self.size, channels)) ** 0.5  # He et al. 2015, eq. 10

    def first(key, shape, dtype):
      if how.equal:
        one = jax.random.normal(key, (*shape[:-1], self.features), dtype)
        return scale * jnp.tile(one, 4)
      return scale * jax.random.normal(key, shape, dtype)

    kernel = self.param("kernel", first, (size, size, channels, features), real)
    bias = self.param("bias", nn.initializers.zeros, (self.features,), real)
    y = how.apply(x.astype(self.dtype), kernel.astype(self.dtype), positions)
    return y + bias.astype(self.dtype)


class Autoencoder(nn.Module):
  """x [B, 2 H, 2 W, C] -> the same shape: a code [B, H, W, latent], and one upsampling.

  One convolution, maxima of two by two, one convolution to the code; two convolutions, the
  upsampling, and colours from each pixel's features alone, which can mend nothing of it.

  width: channels of every layer. up, size, dtype: of `Upsample`.
  """

  channels: int
  width: int
  latent: int
  up: str
  size: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    he = {"kernel_init": nn.initializers.he_normal(), **kwargs}
    # Maxima before the rectifier, whose zeros would leave no place to a maximum.
    x, positions = pool_with_positions(nn.Conv(self.width, (3, 3), **he)(x))
    code = nn.Conv(self.latent, (3, 3), **kwargs)(nn.relu(x))
    x = nn.relu(nn.Conv(self.width, (3, 3), **he)(code))
    x = nn.relu(nn.Conv(self.width, (3, 3), **he)(x))
    x = nn.relu(Upsample(self.up, self.width, self.size, self.dtype)(x, positions))
    return Dense(self.channels, **kwargs)(x).astype(real)
