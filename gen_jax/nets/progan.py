"""Networks that grow by a resolution at a time (Karras et al. 2018, arXiv:1710.10196, table 2).

  equalised learning rate  y = x (w gain / sqrt(inputs)) + b,  w ~ N(0, 1)            (section 4.1)
  pixel norm               b = a / sqrt(mean_c a_c^2 + 1e-8)                          (section 4.2)
  minibatch deviation      one more channel: the mean over all features and positions of their
                           standard deviation over a group of examples                 (section 3)
  fade                     (1 - a) what the smaller network makes, enlarged + a what the new
                           layers make, in both players                                 (figure 2)

Levels are counted from 4x4 pixels, level 0; a network of level l makes or sees 4 * 2^l. Its
parameters are those of the network of level l - 1 and some more, under the same names. Convolutions
are dense layers on windows, as in `nets.gan`, whose reasons hold here too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import border, enlarge, pool, windows
from gen_jax.nets.gan import leaky
from gen_jax.nets.minibatch import minibatch_deviation

BASE = 4  # height and width of level 0


class Equal(nn.Module):
  """A dense layer of the last axis whose weights all move at one relative rate."""

  features: int
  gain: float = math.sqrt(2)
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    shape = (x.shape[-1], self.features)
    w = self.param("kernel", nn.initializers.normal(1.0), shape, real)
    b = self.param("bias", nn.initializers.zeros, (self.features,), real)
    x, w, b = (a.astype(self.dtype) for a in (x, w * (self.gain / math.sqrt(shape[0])), b))
    return x @ w + b


class Conv(nn.Module):
  """A 3x3 convolution with an equalised learning rate."""

  features: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return Equal(self.features, dtype=self.dtype)(windows(border(x), 3))


def pixel_norm(x: Array) -> Array:
  """x [..., C] with mean square 1 over the channels."""
  return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)


class Generator(nn.Module):
  """z [B, Z], fade in [0, 1] -> y [B, R, R, C], R = 4 * 2^level.

  widths: channels of each level from 0 on.
  """

  channels: int
  level: int
  widths: Sequence[int]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, z: Array, fade: Array) -> Array:
    how = {"dtype": self.dtype}
    image = lambda level, h: Equal(self.channels, 1.0, name=f"image{level}", **how)(h)
    first = Equal(BASE**2 * self.widths[0], math.sqrt(2) / 4, name="base", **how)
    h = first(pixel_norm(z)).reshape(-1, BASE, BASE, self.widths[0])
    h = pixel_norm(leaky(h))
    h = smaller = pixel_norm(leaky(Conv(self.widths[0], name="level0", **how)(h)))
    for level in range(1, self.level + 1):
      smaller, h = h, enlarge(h)
      for name in ("a", "b"):
        h = pixel_norm(leaky(Conv(self.widths[level], name=f"level{level}{name}", **how)(h)))
    y = image(self.level, h)
    if self.level > 1:
      y = (1 - fade) * enlarge(image(self.level - 1, smaller)) + fade * y
    return y.astype(jnp.promote_types(self.dtype, jnp.float32))


class Critic(nn.Module):
  """x [B, R, R, C], fade -> logits [B]. It sees examples in groups: see `minibatch_deviation`."""

  level: int
  widths: Sequence[int]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, fade: Array, group: int = 1, mask: Array | None = None) -> Array:
    chex.assert_rank(x, 4)
    how = {"dtype": self.dtype}
    features = lambda level, x: leaky(Equal(self.widths[level], name=f"image{level}", **how)(x))
    h = features(self.level, x)
    for level in range(self.level, 0, -1):
      h = leaky(Conv(self.widths[level], name=f"level{level}a", **how)(h))
      h = pool(leaky(Conv(self.widths[level - 1], name=f"level{level}b", **how)(h)))
      if level == self.level and level > 1:
        h = (1 - fade) * features(level - 1, pool(x)) + fade * h
    h = minibatch_deviation(h, group, mask)
    h = leaky(Conv(self.widths[0], name="level0", **how)(h)).reshape(len(h), -1)
    h = leaky(Equal(self.widths[0], name="hidden", **how)(h))
    logits = Equal(1, 1.0, name="logit", **how)(h)[:, 0]
    return logits.astype(jnp.promote_types(self.dtype, jnp.float32))
