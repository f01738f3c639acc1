"""Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

  layer      y = tanh(W_f * x + V_f h) . sigmoid(W_g * x + V_g h)                     (eq. 2, 4)

Each layer has two stacks (section 2.2, figure 2). The vertical one at (i, j) sees all rows above i,
the horizontal one what stands left of j in row i, and what the vertical one sees: all pixels before
(i, j) in raster order and no other, without the blind spot of one masked stack.

A convolution whose kernel is masked is written as one of the part of the kernel that is left,
over an image padded above or on the left only. Mask A leaves out the position itself, mask B does
not; only the first layer has mask A, as the features behind it see no pixel at their own position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import chex
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array

Mask = Literal["A", "B"]


def behind(x: Array, axis: int) -> Array:
  """x [B, H, W, C] moved on by one along an axis, with zeros at its beginning."""
  pad = [(0, 0)] * x.ndim
  pad[axis] = (1, 0)
  return jnp.pad(x, pad).take(jnp.arange(x.shape[axis]), axis=axis)


class VerticalConv(nn.Module):
  """x [B, H, W, C] -> [B, H, W, features]; (i, j) sees rows up to i - 1 (mask A) or i (mask B)."""

  features: int
  kernel: int
  mask: Mask
  dilation: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    half, d = self.kernel // 2, self.dilation
    rows = half if self.mask == "A" else half + 1
    x = behind(x, 1) if self.mask == "A" else x
    return nn.Conv(
      self.features, (rows, self.kernel), kernel_dilation=d,
      padding=((d * (rows - 1), 0), (d * half, d * half)),
      dtype=self.dtype, param_dtype=jnp.promote_types(self.dtype, jnp.float32),
    )(x)  # fmt: skip


class HorizontalConv(nn.Module):
  """x [B, H, W, C] -> [B, H, W, features]; (i, j) sees row i up to j - 1 (mask A) or j (mask B)."""

  features: int
  kernel: int
  mask: Mask
  dilation: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    half, d = self.kernel // 2, self.dilation
    columns = half if self.mask == "A" else half + 1
    x = behind(x, 2) if self.mask == "A" else x
    return nn.Conv(
      self.features, (1, columns), kernel_dilation=d, padding=((0, 0), (d * (columns - 1), 0)),
      dtype=self.dtype, param_dtype=jnp.promote_types(self.dtype, jnp.float32),
    )(x)  # fmt: skip


def gate(x: Array) -> Array:
  """tanh of the first half of the channels times the sigmoid of the second."""
  f, g = jnp.split(x, 2, axis=-1)
  return jnp.tanh(f) * nn.sigmoid(g)


class GatedLayer(nn.Module):
  """vertical and horizontal [B, H, W, C], condition [B, 4 width] or None -> (vertical, horizontal,
  skip) [B, H, W, width]. Residual under mask B."""

  width: int
  kernel: int
  mask: Mask
  dilation: int
  dropout: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, v: Array, h: Array, condition: Array | None, train: bool):
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    of = (2 * self.width, self.kernel, self.mask, self.dilation, self.dtype)
    v = VerticalConv(*of)(v)
    across = HorizontalConv(*of)(h) + nn.Conv(2 * self.width, (1, 1), **kwargs)(v)
    if condition is not None:
      to_v, to_h = jnp.split(condition[:, None, None, :], 2, axis=-1)
      v, across = v + to_v, across + to_h
    drop = nn.Dropout(self.dropout, deterministic=not train)
    out = drop(gate(across))
    skip = nn.Conv(self.width, (1, 1), **kwargs)(out)
    out = nn.Conv(self.width, (1, 1), **kwargs)(out)
    return gate(v), (out if self.mask == "A" else h + out), skip


class GatedStack(nn.Module):
  """x [B, H, W, C], label [B] or None -> features [B, H, W, width] of the pixels before each.

  dilations: of each layer under mask B.
  kernel, first_kernel: odd sizes of the kernels before masking, the latter under mask A.
  dropout: of the gated features.
  classes: of the label that every gate is conditioned on, 0 for none.
  """

  width: int = 64
  dilations: Sequence[int] = (1, 1, 1, 1, 1)
  kernel: int = 3
  first_kernel: int = 5
  dropout: float = 0.0
  classes: int = 0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, label: Array | None = None, train: bool = False) -> Array:
    chex.assert_rank(x, 4)
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    v = h = x
    skips = 0
    layers = [(self.first_kernel, "A", 1), *((self.kernel, "B", d) for d in self.dilations)]
    for kernel, mask, dilation in layers:
      condition = nn.Embed(self.classes, 4 * self.width, **kwargs)(label) if self.classes else None
      layer = GatedLayer(self.width, kernel, mask, dilation, self.dropout, self.dtype)
      v, h, skip = layer(v, h, condition, train)
      skips = skips + skip
    return skips


class PixelCNN(nn.Module):
  """Integers x [B, H, W] in 0..levels-1, label [B] or None -> logits [B, H, W, levels] of each
  pixel given those before it in raster order; at one position `at` (i, j) only, [B, levels].

  levels: K.
  embed: look the integers up in a table, which knows no order among them; else take them for grey
    levels and scale them to [-1, 1].
  channels: of which a row's pixels are taken in turn (see `models.pixelcnn`).
  head: channels of the hidden layer before the logits.
  width, dilations, kernel, first_kernel, dropout, classes: of the `GatedStack`.
  dtype: of the computation; parameters and logits are float32 or wider.
  """

  levels: int
  embed: bool = False
  channels: int = 1
  head: int = 64
  width: int = 64
  dilations: Sequence[int] = (1, 1, 1, 1, 1)
  kernel: int = 3
  first_kernel: int = 5
  dropout: float = 0.0
  classes: int = 0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self,
    x: Array,
    label: Array | None = None,
    at: tuple[Array, Array] | None = None,
    train: bool = False,
  ) -> Array:
    chex.assert_rank(x, 3)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {"dtype": self.dtype, "param_dtype": real}
    if self.embed:
      seen = nn.Embed(self.levels, self.width, **kwargs)(x.astype(jnp.int32))
    else:
      seen = (2 * x.astype(real) / (self.levels - 1) - 1)[..., None]
    # Tells the image from the zeros around it, and a position's channel from the one before.
    which = nn.one_hot(jnp.arange(x.shape[2]) % self.channels, self.channels, dtype=seen.dtype)
    seen = jnp.concatenate([seen, jnp.broadcast_to(which, (*x.shape, self.channels))], axis=-1)
    h = GatedStack(
      self.width, self.dilations, self.kernel, self.first_kernel, self.dropout, self.classes,
      self.dtype,
    )(seen, label, train)  # fmt: skip
    if at is not None:
      h = h[:, at[0], at[1]]
    h = nn.Dense(self.head, **kwargs)(nn.relu(h))
    # Zero logits at first: the uniform distribution.
    h = nn.Dense(self.levels, kernel_init=nn.initializers.zeros, **kwargs)(nn.relu(h))
    return h.astype(real)
