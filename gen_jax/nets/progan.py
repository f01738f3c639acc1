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
from collections.abc import Sequence
from functools import partial

import chex
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets.conv import enlarge, pool
from gen_jax.nets.gan import leaky

BASE = 4  # height and width of level 0


class Equal(nn.Module):
  """A layer whose weights all move at one relative rate.

  size: of the windows of a convolution; 1 for a dense layer of the last axis.
  """

  features: int
  gain: float = math.sqrt(2)
  dtype: jnp.dtype = jnp.float32
  size: int = 1

  @nn.compact
  def __call__(self, x: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    window = (self.size, self.size) if self.size > 1 else ()
    shape = (*window, x.shape[-1], self.features)
    w = self.param("kernel", nn.initializers.normal(1.0), shape, real)
    b = self.param("bias", nn.initializers.zeros, (self.features,), real)
    inputs = math.prod(shape[:-1])
    x, w, b = (a.astype(self.dtype) for a in (x, w * (self.gain / math.sqrt(inputs)), b))
    return (convolve(x, w) if window else x @ w) + b


def convolve(x: Array, w: Array) -> Array:
  """x [B, H, W, C], w [h, w, C, F] -> [B, H, W, F], with zeros around x."""
  return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def pixel_norm(x: Array) -> Array:
  """x [..., C] with mean square 1 over the channels."""
  return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)


def minibatch_deviation(x: Array, group: int, mask: Array | None = None) -> Array:
  """x [B, H, W, C] -> [B, H, W, C + 1], see above; examples i, i + B / group, ... are a group.

  Examples with mask [B] False do not count. Alone, in a group of one, an example has 1e-4.
  """
  batch = len(x)
  weight = jnp.ones(batch, x.dtype) if mask is None else mask.astype(x.dtype)
  parts = x.reshape(group, batch // group, *x.shape[1:])
  weight = weight.reshape(group, batch // group, 1, 1, 1)
  total = jnp.maximum(weight.sum(0), 1)
  centred = parts - (weight * parts).sum(0) / total
  deviation = jnp.sqrt((weight * centred**2).sum(0) / total + 1e-8).mean((1, 2, 3))
  own = jnp.tile(deviation, group)[:, None, None, None]
  return jnp.concatenate([x, jnp.broadcast_to(own, (*x.shape[:3], 1))], axis=-1)


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
    conv = partial(Equal, size=3, **how)
    image = lambda level, h: Equal(self.channels, 1.0, name=f"image{level}", **how)(h)
    first = Equal(BASE**2 * self.widths[0], math.sqrt(2) / 4, name="base", **how)
    h = first(pixel_norm(z)).reshape(-1, BASE, BASE, self.widths[0])
    h = pixel_norm(leaky(h))
    h = smaller = pixel_norm(leaky(conv(self.widths[0], name="level0")(h)))
    for level in range(1, self.level + 1):
      smaller, h = h, enlarge(h)
      for name in ("a", "b"):
        h = pixel_norm(leaky(conv(self.widths[level], name=f"level{level}{name}")(h)))
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
    conv = partial(Equal, size=3, **how)
    features = lambda level, x: leaky(Equal(self.widths[level], name=f"image{level}", **how)(x))
    h = features(self.level, x)
    for level in range(self.level, 0, -1):
      h = leaky(conv(self.widths[level], name=f"level{level}a")(h))
      h = pool(leaky(conv(self.widths[level - 1], name=f"level{level}b")(h)))
      if level == self.level and level > 1:
        h = (1 - fade) * features(level - 1, pool(x)) + fade * h
    h = minibatch_deviation(h, group, mask)
    h = leaky(conv(self.widths[0], name="level0")(h)).reshape(len(h), -1)
    h = leaky(Equal(self.widths[0], name="hidden", **how)(h))
    logits = Equal(1, 1.0, name="logit", **how)(h)[:, 0]
    return logits.astype(jnp.promote_types(self.dtype, jnp.float32))
