"""Networks that grow by a resolution at a time (Karras et al. 2018, arXiv:1710.10196, table 2).

  equalised learning rate  y = x (w gain / sqrt(inputs)) + b,  w ~ N(0, 1)            (section 4.1)
  pixel norm               b = a / sqrt(mean_c a_c^2 + 1e-8)                          (section 4.2)
  minibatch deviation      one more channel: the mean over all features and positions of their
                           standard deviation over a group of examples                 (section 3)
  fade                     (1 - a) what the smaller network makes, enlarged + a what the new
                           layers make, in both players                                 (figure 2)

Levels are counted from 4x4 pixels, level 0; a network of level l makes or sees 4 * 2^l. Its
parameters are those of the network of level l - 1 and some more, under the same names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import border, convolve, convolve_pooled, enlarge, pool
from gen_jax.nets.dense import product
from gen_jax.nets.gan import leaky
from gen_jax.nets.minibatch import minibatch_deviation

BASE = 4  # height and width of level 0


class Equal(nn.Module):
  """A dense layer of the last axis whose weights all move at one relative rate.

  rate: of learning, times that of the optimiser: weights are N(0, 1 / rate^2) at first, and what is
    computed with is `rate` times the parameters.
  equalized: else w ~ N(0, gain^2 / inputs) and y = x w + b, of the same values at first.
  product: (x, kernel [taps * C, features]) -> y.
  """

  features: int
  gain: float = math.sqrt(2)
  rate: float = 1.0
  equalized: bool = True
  use_bias: bool = True
  taps: int = 1
  product: Callable[[Array, Array], Array] = product
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    shape = (self.taps * x.shape[-1], self.features)
    std, rate = self.gain / math.sqrt(shape[0]), self.rate if self.equalized else 1.0
    first = 1 / rate if self.equalized else std
    w = self.param("kernel", nn.initializers.normal(first), shape, real)
    if self.equalized:
      w = w * (rate * std)
    y = self.product(x.astype(self.dtype), w.astype(self.dtype))
    if not self.use_bias:
      return y
    b = self.param("bias", nn.initializers.zeros, (self.features,), real)
    return y + (rate * b).astype(self.dtype)


class Conv(nn.Module):
  """A 3x3 convolution with an equalised learning rate.

  product: `convolve`, or what doubles or halves the image besides.
  """

  features: int
  equalized: bool = True
  use_bias: bool = True
  product: Callable[[Array, Array], Array] = convolve
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return Equal(
      self.features, equalized=self.equalized, use_bias=self.use_bias, taps=9,
      product=self.product, dtype=self.dtype,
    )(x)  # fmt: skip


def pixel_norm(x: Array) -> Array:
  """x [..., C] with mean square 1 over the channels."""
  return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)


def blur(x: Array) -> Array:
  """x [B, H, W, C] filtered by [1, 2, 1] / 4 along both axes; beyond its border is 0."""
  x = border(x)
  x = (x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:]) / 4
  return (x[:, :, :-2] + 2 * x[:, :, 1:-1] + x[:, :, 2:]) / 4


class Generator(nn.Module):
  """z [B, Z], fade in [0, 1] or None -> y [B, R, R, C], R = 4 * 2^level.

  widths: channels of each level from 0 on.
  equalized: layers, see `Equal`.
  normalized: with pixel norm.
  """

  channels: int
  level: int
  widths: Sequence[int]
  equalized: bool = True
  normalized: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, z: Array, fade: Array | None = None) -> Array:
    how = {"equalized": self.equalized, "dtype": self.dtype}
    norm = pixel_norm if self.normalized else lambda x: x
    image = lambda level, h: Equal(self.channels, 1.0, name=f"image{level}", **how)(h)
    first = Equal(BASE**2 * self.widths[0], math.sqrt(2) / 4, name="base", **how)
    h = first(norm(z)).reshape(-1, BASE, BASE, self.widths[0])
    h = norm(leaky(h))
    h = smaller = norm(leaky(Conv(self.widths[0], name="level0", **how)(h)))
    for level in range(1, self.level + 1):
      smaller, h = h, enlarge(h)
      for name in ("a", "b"):
        h = norm(leaky(Conv(self.widths[level], name=f"level{level}{name}", **how)(h)))
    y = image(self.level, h)
    if fade is not None:
      y = (1 - fade) * enlarge(image(self.level - 1, smaller)) + fade * y
    return y.astype(jnp.promote_types(self.dtype, jnp.float32))


class Critic(nn.Module):
  """x [B, R, R, C], fade or None -> logits [B]. It sees examples in groups: see
  `minibatch_deviation`.

  smooth: halve by `blur` and a convolution that pools before its activation (Karras et al. 2019).
  equalized: layers, see `Equal`.
  """

  level: int
  widths: Sequence[int]
  smooth: bool = False
  equalized: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: Array, fade: Array | None = None, group: int = 1, mask: Array | None = None
  ) -> Array:
    chex.assert_rank(x, 4)
    how = {"equalized": self.equalized, "dtype": self.dtype}
    features = lambda level, x: leaky(Equal(self.widths[level], name=f"image{level}", **how)(x))
    h = features(self.level, x)
    for level in range(self.level, 0, -1):
      h = leaky(Conv(self.widths[level], name=f"level{level}a", **how)(h))
      below, name = self.widths[level - 1], f"level{level}b"
      if self.smooth:
        h = leaky(Conv(below, product=convolve_pooled, name=name, **how)(blur(h)))
      else:
        h = pool(leaky(Conv(below, name=name, **how)(h)))
      if level == self.level and fade is not None:
        h = (1 - fade) * features(level - 1, pool(x)) + fade * h
    h = minibatch_deviation(h, group, mask)
    h = leaky(Conv(self.widths[0], name="level0", **how)(h)).reshape(len(h), -1)
    h = leaky(Equal(self.widths[0], name="hidden", **how)(h))
    logits = Equal(1, 1.0, name="logit", **how)(h)[:, 0]
    return logits.astype(jnp.promote_types(self.dtype, jnp.float32))
