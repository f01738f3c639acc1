"""Residual players without normalisation: R3GAN's (Huang et al. 2024, arXiv:2501.05441, section 3.2
and figure 2d, and its code).

  block      h -> h + conv_1x1(a(conv_3x3(a(conv_1x1(h))))), twice as wide inside, the 3x3 one in
             groups (ResNeXt); a(h) = leaky_relu_0.2(h + b), and no other bias
  Fix-up     the last convolution of each block begins at 0, the others with deviation
             sqrt(2 / (1 + 0.2^2) / inputs) L^(-1/4), L the number of blocks of the player
             (Zhang et al. 2019, arXiv:1901.09321): at first a player is its resampling
  resampling by [1, 3, 3, 1] in both axes, bilinear, and a 1x1 convolution where widths differ
  ends       the generator begins with a learnt picture, each channel of it times a linear map of z;
             the critic ends in a weighted sum over all positions of each channel, and a linear map

The generator's last layer is linear: without a tanh its images are in [-1, 1] only as it learns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import chex
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets import mlp
from gen_jax.nets.conv import border, windows
from gen_jax.nets.dense import Dense, product
from gen_jax.nets.gan import leaky

GAIN = math.sqrt(2 / (1 + 0.2**2))
INNER = 2  # times a block's width


def msr(gain: float):
  """N(0, gain^2 / inputs), He et al. 2015."""
  if not gain:
    return nn.initializers.zeros
  return nn.initializers.variance_scaling(gain**2, "fan_in", "normal")


def neighbour(x: Array, by: int, axis: int) -> Array:
  """The entry `by` (1 or -1) further along an axis, 0 beyond the border."""
  pad = [(0, 0)] * x.ndim
  pad[axis] = (0, 1) if by > 0 else (1, 0)
  return lax.slice_in_dim(jnp.pad(x, pad), max(by, 0), x.shape[axis] + max(by, 0), axis=axis)


def enlarged(x: Array) -> Array:
  """x [B, H, W, C] -> [B, 2 H, 2 W, C], bilinear; beyond the border it is 0."""
  for axis in (1, 2):
    before, after = (neighbour(x, by, axis) for by in (-1, 1))
    both = jnp.stack([before + 3 * x, 3 * x + after], axis=axis + 1) / 4
    x = both.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
  return x


def shrunk(x: Array) -> Array:
  """x [B, 2 H, 2 W, C] -> [B, H, W, C], by [1, 3, 3, 1] / 8: the transpose of `enlarged` / 4."""
  for axis in (1, 2):
    even, odd = (lax.slice_in_dim(x, a, None, 2, axis) for a in (0, 1))
    x = (neighbour(odd, -1, axis) + 3 * even + 3 * odd + neighbour(even, 1, axis)) / 8
  return x


class GroupedConv(nn.Module):
  """A 3x3 convolution in groups, without a bias: [B, H, W, C] -> [B, H, W, features]."""

  features: int
  groups: int
  gain: float
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    g, inputs = self.groups, x.shape[-1] // self.groups
    real = jnp.promote_types(self.dtype, jnp.float32)
    kernel = self.param("kernel", msr(self.gain), (3, 3, inputs, self.features), real)
    x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)

    def by_windows(x, kernel):
      """Products of matrices, to which XLA on CPU is kinder than to small convolutions."""
      if g == 1:
        return product(windows(border(x), 3), kernel.reshape(-1, self.features))
      w = windows(border(x), 3).reshape(*x.shape[:3], 9, g, inputs)
      k = kernel.reshape(9, inputs, g, -1)
      return jnp.einsum("bhwpgc,pcgd->bhwgd", w, k).reshape(*x.shape[:3], self.features)

    def at_once(x, kernel):
      names = ("NHWC", "HWIO", "NHWC")
      return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=names, feature_group_count=g
      )

    return lax.platform_dependent(x, kernel, cpu=by_windows, default=at_once)


class Block(nn.Module):
  """h [B, H, W, C] -> [B, H, W, C], see above. blocks: L."""

  groups: int
  blocks: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, h: Array) -> Array:
    real, width = jnp.promote_types(self.dtype, jnp.float32), h.shape[-1]
    gain = GAIN * self.blocks**-0.25
    types = {"dtype": self.dtype, "param_dtype": real, "use_bias": False}

    def activate(h, name):
      b = self.param(name, nn.initializers.zeros, (h.shape[-1],), real)
      return leaky(h + b.astype(h.dtype))

    r = Dense(INNER * width, kernel_init=msr(gain), **types)(h)
    r = GroupedConv(INNER * width, self.groups, gain, self.dtype)(activate(r, "bias0"))
    r = Dense(width, kernel_init=msr(0), **types)(activate(r, "bias1"))
    return h + r


class Generator(nn.Module):
  """z [B, Z], condition [B, K] or None -> [B, *shape].

  widths: channels of each resolution, from the lowest on.
  depth: blocks of each.
  groups: of a block's 3x3 convolution; they divide twice the widths.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  shape: Sequence[int]
  widths: Sequence[int]
  depth: Sequence[int]
  groups: int = 1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, z: Array, condition: Array | None = None, mask: Array | None = None, train: bool = False
  ) -> Array:
    chex.assert_rank(z, 2)
    del mask, train
    real = jnp.promote_types(self.dtype, jnp.float32)
    linear = {
      "kernel_init": msr(1.0), "use_bias": False, "dtype": self.dtype, "param_dtype": real
    }  # fmt: skip
    height, width, channels = self.shape
    scale = 2 ** (len(self.widths) - 1)
    first = (height // scale, width // scale, self.widths[0])
    basis = self.param("basis", nn.initializers.normal(1.0), first, real).astype(self.dtype)
    h = Dense(self.widths[0], name="first", **linear)(mlp.join(z, condition))
    h = basis * h[:, None, None, :]
    for i, (features, n) in enumerate(zip(self.widths, self.depth, strict=True)):
      if i:
        if h.shape[-1] != features:
          h = Dense(features, name=f"up{i}", **linear)(h)
        h = enlarged(h)
      for j in range(n):
        h = Block(self.groups, sum(self.depth), self.dtype, name=f"block{i}_{j}")(h)
    return Dense(channels, name="last", **linear)(h).astype(real)


class Critic(nn.Module):
  """x [B, H, W, C], condition [B, K] or None -> logit [B], that of each example from itself alone.

  widths: channels of each resolution, from the highest on.
  depth: blocks of each.
  groups: as the generator's.
  """

  widths: Sequence[int]
  depth: Sequence[int]
  groups: int = 1
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, x: Array, condition: Array | None = None, mask: Array | None = None,
    train: bool = False, group: int = 1,
  ) -> Array:  # fmt: skip
    chex.assert_rank(x, 4)
    del mask, train, group
    real = jnp.promote_types(self.dtype, jnp.float32)
    linear = {
      "kernel_init": msr(1.0), "use_bias": False, "dtype": self.dtype, "param_dtype": real
    }  # fmt: skip
    condition = None if condition is None else condition[:, None, None, :]
    h = Dense(self.widths[0], name="first", **linear)(mlp.join(x, condition))
    for i, (features, n) in enumerate(zip(self.widths, self.depth, strict=True)):
      if i:
        h = shrunk(h)
        if h.shape[-1] != features:
          h = Dense(features, name=f"down{i}", **linear)(h)
      for j in range(n):
        h = Block(self.groups, sum(self.depth), self.dtype, name=f"block{i}_{j}")(h)
    positions = h.shape[1] * h.shape[2]
    basis = nn.initializers.normal(1 / math.sqrt(positions))
    basis = self.param("basis", basis, h.shape[1:], real).astype(self.dtype)
    h = (h * basis).sum(axis=(1, 2))
    return Dense(1, name="last", **linear)(h)[:, 0].astype(real)
