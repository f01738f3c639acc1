"""Networks of segmentation: the U-Net of Ronneberger et al. 2015, with padded convolutions, and the
FCN of Long et al. 2015.

At the levels l = 0..L, each of half the resolution of the one before, with DC two 3x3 convolutions:

  e_0 = DC(x)    e_l = DC(maxpool(e_{l-1}))    d_L = e_L    d_l = DC([e_l, up(d_{l+1})])

and the logits are a 1x1 convolution of d_0. The FCN scores classes at the lowest resolution, adds
the scores of finer ones to that, enlarged, until it has one score for every s x s pixels, and
enlarges these to all (FCN-32s, 16s and 8s, section 4.2):

  f_L = conv1x1(e_L)    f_l = up(f_{l+1}) + conv1x1(e_l)    logits = up_s(f_k), s = 2^k
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import double, max_pool
from gen_jax.nets.dense import Dense
from gen_jax.nets.norm import GroupNorm
from gen_jax.nets.unet import groups


def pad_to(x: Array, height: int, width: int) -> Array:
  """x [B, h, w, C] with zeros on all sides: [B, H, W, C]; the odd one goes below and right."""
  more = (height - x.shape[1], width - x.shape[2])
  return jnp.pad(x, ((0, 0), *((n // 2, n - n // 2) for n in more), (0, 0)))


def reach(levels: int) -> int:
  """How many pixels away, at most, is what a pixel's logits depend on without norms: 10 times the
  lowest resolution's pixel.

  At level l of L two convolutions reach 2 2^l pixels, on the way down and up; a maximum, and the
  place in it, 2^l each; bilinear enlargement to level l one pixel of the next, 2 2^l: all levels
  together reach 10 2^L - 8 pixels. An FCN has the way down and the enlargements alone.
  """
  return 10 * 2 ** (levels - 1)


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
  return enlarged(Dense(features, **kwargs)(x), 2)


def transposed(x: Array, features: int, **kwargs) -> Array:
  """The 2x2 transposed convolution of stride 2 as a product of matrices: no two windows overlap."""
  return double(Dense(4 * features, **kwargs)(x))


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
    *skips, x = contracted(x, self.widths, conv)
    for features in reversed(self.widths[:-1]):
      skip = skips.pop()
      x = pad_to(UPSAMPLING[self.up](x, features, **kwargs), *skip.shape[1:3])
      x = conv(features)(jnp.concatenate([skip, x], axis=-1))
    return Dense(self.classes, **kwargs)(x).astype(real)


def contracted(x: Array, widths: Sequence[int], conv: Callable) -> list[Array]:
  """e_0, ..., e_L of x [B, H, W, C]; called inside a module."""
  out = [conv(widths[0])(x)]
  for features in widths[1:]:
    out.append(conv(features)(max_pool(out[-1])))
  return out


class FCN(nn.Module):
  """x [B, H, W, C], of sizes that the lowest resolution divides -> logits [B, H, W, classes].

  Scores start at zero, so that an FCN starts as the next coarser one; enlargement is bilinear and
  stays so.

  widths: channels of each level, of which each but the first has half the resolution.
  every: s, one of 1, 2, 4, ..., 2^L: the pixels each way that share a score before the last
    enlargement.
  norm, dtype: as of `SegmentationUNet`.
  """

  classes: int
  widths: Sequence[int]
  every: int
  norm: str = "group"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    how = {"dtype": self.dtype, "param_dtype": real, "kernel_init": nn.initializers.zeros}
    conv = lambda features: DoubleConv(features, self.norm, self.dtype)
    score = lambda e: Dense(self.classes, **how)(e).astype(real)
    *finer, lowest = contracted(x, self.widths, conv)
    f, size = score(lowest), 2 ** len(finer)
    while size > self.every:
      f = enlarged(f, 2) + score(finer.pop())
      size //= 2
    return enlarged(f, size)


def enlarged(x: Array, factor: int) -> Array:
  """Bilinear: [B, H, W, C] -> [B, factor H, factor W, C]."""
  batch, height, width, channels = x.shape
  return jax.image.resize(x, (batch, factor * height, factor * width, channels), "bilinear")
