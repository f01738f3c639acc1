"""The U-Net of segmentation: Ronneberger et al. 2015, with padded convolutions.

At the levels l = 0..L, each of half the resolution of the one before, with DC two 3x3 convolutions:

  e_0 = DC(x)    e_l = DC(maxpool(e_{l-1}))    d_L = e_L    d_l = DC([e_l, up(d_{l+1})])

and the logits are a 1x1 convolution of d_0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import double, max_pool
from gen_jax.nets.norm import GroupNorm
from gen_jax.nets.unet import groups


def pad_to(x: Array, height: int, width: int) -> Array:
  """x [B, h, w, C] with zeros on all sides: [B, H, W, C]; the odd one goes below and right."""
  more = (height - x.shape[1], width - x.shape[2])
  return jnp.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in more), (0, 0)))


def reach(levels: int) -> int:
  """How many pixels away, at most, is what a pixel's logits depend on, without norms: a multiple of
  2^(levels - 1).

  At level l two convolutions reach 2 2^l pixels, on the way down and up; a maximum, and the place
  in it, 2^l each; and bilinear enlargement to level l one pixel of the next, 2 2^l.
  """
  lowest = 2 ** (levels - 1)
  down, up = 2 * (2 * lowest - 1), 2 * (lowest - 1)
  return math.ceil((down + up + 4 * (lowest - 1)) / lowest) * lowest


class DoubleConv(nn.Module):
  """x [B, H, W, C] -> [B, H, W, features]: twice a 3x3 convolution, its norm, and ReLU.

  norm: group, whose moments are those of each example; or none, for outputs that depend on what is
    near only.
  """

  features: int
  norm: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    he = nn.initializers.he_normal()
    for _ in range(2):
      x = nn.Conv(self.features, (3, 3), use_bias=self.norm == "none", kernel_init=he, **kwargs)(x)
      if self.norm == "group":
        x = GroupNorm(groups(self.features), **kwargs)(x)
      x = nn.relu(x)
    return x


def bilinear(x: Array, features: int, **kwargs) -> Array:
  """A 1x1 convolution, then bilinear enlargement. They commute: this order has fewer pixels."""
  x = nn.Dense(features, **kwargs)(x)
  batch, height, width, channels = x.shape
  return jax.image.resize(x, (batch, 2 * height, 2 * width, channels), "bilinear")


def transposed(x: Array, features: int, **kwargs) -> Array:
  """The 2x2 transposed convolution of stride 2 as a product of matrices: no two windows overlap."""
  return double(nn.Dense(4 * features, **kwargs)(x))


# [B, H, W, C] -> [B, 2 H, 2 W, features], called inside a module.
UPSAMPLING: dict[str, Callable] = {"bilinear": bilinear, "transposed": transposed}


class SegmentationUNet(nn.Module):
  """x [B, H, W, C] of any height and width of stride or more -> logits [B, H, W, classes].

  widths: channels of each level, of which each but the first has half the resolution.
  up: one of UPSAMPLING.
  norm: of `DoubleConv`.
  dtype: of the computation; parameters and logits are float32 or wider.
  """

  classes: int
  widths: Sequence[int] = (64, 128, 256, 512, 1024)
  up: str = "bilinear"
  norm: str = "group"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    conv = lambda features: DoubleConv(features, self.norm, self.dtype)
    x = conv(self.widths[0])(x)
    skips = []
    for features in self.widths[1:]:
      skips.append(x)
      x = conv(features)(max_pool(x))
    for features in reversed(self.widths[:-1]):
      skip = skips.pop()
      x = pad_to(UPSAMPLING[self.up](x, features, **kwargs), *skip.shape[1:3])
      x = conv(features)(jnp.concatenate([skip, x], axis=-1))
    return nn.Dense(self.classes, **kwargs)(x).astype(real)
