"""Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

  layer      y = tanh(W_f * x + V_f h) . sigmoid(W_g * x + V_g h)                     (eq. 2, 4)

Each layer has two stacks (section 2.2, figure 2). The vertical one at (i, j) sees all rows above i,
the horizontal one what stands left of j in row i, and what the vertical one sees: all pixels before
(i, j) in raster order and no other, without the blind spot of one masked stack.

A convolution whose kernel is masked is written as one of the part of the kernel that is left,
over an image padded above or on the left only. Mask A leaves out the position itself, mask B does
not; only the first layer has mask A, as the features behind it see no pixel at their own position.

One position after another, nothing is computed twice: each convolution keeps a window of the rows,
or of the places of a row, that it reaches back to; the vertical stack goes on once a row, the
horizontal one once a place (the caching of Ramachandran et al. 2017, arXiv:1704.06001).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import chex
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets.dense import Dense

Mask = Literal["A", "B"]


class MaskedConv(nn.Module):
  """x [B, H, W, C] -> [B, H, W, features], of what lies behind along an axis.

  axis: 1 for rows above, with all columns within half the kernel; 2 for what is left in the row.
  kernel: odd size before masking.
  mask: A up to the one before, B up to itself.
  """

  features: int
  axis: int
  kernel: int
  mask: Mask
  dilation: int
  dtype: jnp.dtype

  def setup(self):
    side = self.dilation * (self.kernel // 2) if self.axis == 1 else 0
    self.conv = nn.Conv(
      self.features, (self.taps, self.kernel) if self.axis == 1 else (1, self.taps),
      kernel_dilation=self.dilation, padding=((0, 0), (side, side)),
      dtype=self.dtype, param_dtype=jnp.promote_types(self.dtype, jnp.float32),
    )  # fmt: skip

  @property
  def taps(self) -> int:
    return self.kernel // 2 + (self.mask == "B")

  @property
  def reach(self) -> int:
    """Length of the window along the axis that one result is made of."""
    return self.dilation * (self.taps - 1) + 1

  def __call__(self, x: Array) -> Array:
    pad = [(0, 0)] * 4
    if self.mask == "A":
      x, pad[self.axis] = lax.slice_in_dim(x, 0, -1, axis=self.axis), (self.reach, 0)
    else:
      pad[self.axis] = (self.reach - 1, 0)
    return self.conv(jnp.pad(x, pad))

  def next(self, window: Array, new: Array) -> tuple[Array, Array]:
    """The result of one more row [B, 1, W, C] or place [B, 1, 1, C]: (result, window moved on).

    window: the last `reach` of them. Under mask A `new` is the one before the result's own.
    """
    kept = lax.slice_in_dim(window, 1, None, axis=self.axis)
    window = jnp.concatenate([kept, new.astype(window.dtype)], axis=self.axis)
    return self.conv(window), window


def gate(x: Array) -> Array:
  """tanh of the first half of the channels times the sigmoid of the second."""
  f, g = jnp.split(x, 2, axis=-1)
  return jnp.tanh(f) * nn.sigmoid(g)


class GatedLayer(nn.Module):
  """vertical and horizontal [B, H, W, C], label [B] or None -> (vertical, horizontal, skip)
  [B, H, W, width]. Residual under mask B."""

  width: int
  kernel: int
  mask: Mask
  dilation: int
  dropout: float
  classes: int
  dtype: jnp.dtype

  def setup(self):
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    conv = lambda axis: MaskedConv(
      2 * self.width, axis, self.kernel, self.mask, self.dilation, self.dtype
    )
    self.above, self.left = conv(1), conv(2)
    self.across = nn.Conv(2 * self.width, (1, 1), **kwargs)
    self.skip, self.out = (nn.Conv(self.width, (1, 1), **kwargs) for _ in range(2))
    self.drop = nn.Dropout(self.dropout)
    if self.classes:
      self.condition = nn.Embed(self.classes, 4 * self.width, **kwargs)

  def __call__(self, v: Array, h: Array, label: Array | None = None, train: bool = False):
    v, told = self.vertical(self.above(v), label)
    return v, *self.horizontal(h, self.left(h) + told, train)

  def vertical(self, seen: Array, label: Array | None) -> tuple[Array, Array]:
    """Of seen [B, H, W, 2 width] the features, and what the horizontal stack is told."""
    told = self.across(seen)
    if self.classes:
      to_v, to_h = jnp.split(self.condition(label)[:, None, None, :], 2, axis=-1)
      seen, told = seen + to_v, told + to_h
    return gate(seen), told

  def horizontal(self, h: Array, seen: Array, train: bool = False) -> tuple[Array, Array]:
    """(horizontal, skip) [B, H, W, width] of seen [B, H, W, 2 width]."""
    out = self.drop(gate(seen), deterministic=not train)
    skip, out = self.skip(out), self.out(out)
    return (out if self.mask == "A" else h + out), skip


class Cache(NamedTuple):
  """What is kept of the positions so far, for a stack of L layers.

  row: [B, W, C], the inputs of the current row, up to the last position that is known.
  above: L windows of rows [B, reach, W, ...]. told: of the current row, L of [B, W, 2 width].
  left: L windows of places in the current row, [B, 1, reach, ...].
  """

  row: Array
  above: list[Array]
  told: list[Array]
  left: list[Array]


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

  def setup(self):
    shapes = [(self.first_kernel, "A", 1), *((self.kernel, "B", d) for d in self.dilations)]
    self.layers = [
      GatedLayer(self.width, *shape, self.dropout, self.classes, self.dtype) for shape in shapes
    ]

  def __call__(self, x: Array, label: Array | None = None, train: bool = False) -> Array:
    chex.assert_rank(x, 4)
    v = h = x
    skips = 0
    for layer in self.layers:
      v, h, skip = layer(v, h, label, train)
      skips = skips + skip
    return skips

  def start(self, n: int, columns: int, features: int) -> Cache:
    """The cache of n images before their first pixel, with zeros for all that lies outside."""
    zeros = lambda *shape: jnp.zeros((n, *shape), self.dtype)
    seen = [features] + [self.width] * len(self.dilations)
    return Cache(
      zeros(columns, features),
      [zeros(layer.above.reach, columns, c) for layer, c in zip(self.layers, seen)],
      [zeros(columns, 2 * self.width) for _ in self.layers],
      [zeros(1, layer.left.reach, c) for layer, c in zip(self.layers, seen)],
    )

  def step(self, cache: Cache, j: Array, x: Array, label: Array | None) -> tuple[Array, Cache]:
    """(features [B, width] of column j of a row, cache) from the input x [B, C] just before it,
    which at j = 0 is the end of the row above."""
    row = cache.row.at[:, j - 1].set(x.astype(self.dtype))
    above, told = nn.cond(
      j == 0,
      lambda self: self.next_row(cache.above, row, label),
      lambda self: (cache.above, cache.told),
      self,
    )
    blank = lambda a: jnp.where(j == 0, jnp.zeros_like(a), a)
    h, skips, lefts = blank(x)[:, None, None], 0, []
    for layer, window, row_told in zip(self.layers, cache.left, told):
      seen, window = layer.left.next(blank(window), h)
      h, skip = layer.horizontal(h, seen + row_told[:, j][:, None, None])
      skips = skips + skip
      lefts.append(window)
    return skips[:, 0, 0], Cache(row, above, told, lefts)

  def next_row(self, above: list[Array], row: Array, label: Array | None):
    """(above, told) of the row behind `row` [B, W, C], which is complete."""
    v, aboves, tolds = row[:, None], [], []
    for layer, window in zip(self.layers, above):
      seen, window = layer.above.next(window, v)
      v, told = layer.vertical(seen, label)
      aboves.append(window)
      tolds.append(told[:, 0])
    return aboves, tolds


class PixelCNN(nn.Module):
  """Integers x [B, H, W] in 0..levels-1, label [B] or None -> logits [B, H, W, levels] of each
  pixel given those before it in raster order.

  levels: K.
  columns: W.
  embed: look the integers up in a table, which knows no order among them; else take them for grey
    levels and scale them to [-1, 1].
  channels: of which a row's pixels are taken in turn (see `models.pixelcnn`).
  head: channels of the hidden layer before the logits.
  width, dilations, kernel, first_kernel, dropout, classes: of the `GatedStack`.
  dtype: of the computation; parameters and logits are float32 or wider.
  """

  levels: int
  columns: int
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

  def setup(self):
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    if self.embed:
      self.table = nn.Embed(self.levels, self.width, **kwargs)
    self.stack = GatedStack(
      self.width, self.dilations, self.kernel, self.first_kernel, self.dropout, self.classes,
      self.dtype,
    )  # fmt: skip
    self.hidden = Dense(self.head, **kwargs)
    # Zero logits at first: the uniform distribution.
    self.logits = Dense(self.levels, kernel_init=nn.initializers.zeros, **kwargs)

  def __call__(self, x: Array, label: Array | None = None, train: bool = False) -> Array:
    chex.assert_shape(x, (None, None, self.columns))
    return self.read(self.stack(self.features(x, jnp.arange(self.columns)), label, train))

  def start(self, n: int) -> Cache:
    """The cache of n images before their first pixel."""
    features = (self.width if self.embed else 1) + self.channels
    return self.stack.start(n, self.columns, features)

  def step(
    self, cache: Cache, i: Array, before: Array, label: Array | None = None
  ) -> tuple[Array, Cache]:
    """(logits [B, levels] of pixel i in raster order, cache), from pixel i - 1, `before` [B]; of
    pixel 0 whatever that is."""
    x = self.features(before[:, None], (i - 1) % self.columns)[:, 0]
    h, cache = self.stack.step(cache, i % self.columns, jnp.where(i > 0, x, 0), label)
    return self.read(h), cache

  def features(self, x: Array, column: Array) -> Array:
    """x [B, ..., W] of the columns [W] -> [B, ..., W, C]."""
    if self.embed:
      seen = self.table(x.astype(jnp.int32))
    else:
      real = jnp.promote_types(self.dtype, jnp.float32)
      seen = (2 * x.astype(real) / (self.levels - 1) - 1)[..., None]
    # Tells the image from the zeros around it, and a position's channel from the one before.
    which = nn.one_hot(column % self.channels, self.channels, dtype=seen.dtype)
    return jnp.concatenate([seen, jnp.broadcast_to(which, (*x.shape, self.channels))], axis=-1)

  def read(self, h: Array) -> Array:
    """Logits from the features of the pixels before."""
    h = self.logits(nn.relu(self.hidden(nn.relu(h))))
    return h.astype(jnp.promote_types(self.dtype, jnp.float32))
