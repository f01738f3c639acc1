"""Globally and locally consistent image completion (Iizuka et al. 2017, tables 1 to 3).

The completion net halves an image, widens what each position sees by dilated convolutions, and
doubles it again. It is given the hole as a channel of its own. Doubling is by nearest neighbours
and a 3x3 convolution in the place of a 4x4 transposed one: equal work, and no checkerboards.

Two critics, of the whole image and of a patch around the hole, give features that one dense layer
joins to a logit. They see the hole too.

The source has batch normalisation throughout; here an example's result depends on itself only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets.conv import UpConv
from gen_jax.nets.dense import Dense
from gen_jax.nets.gan import Critic, leaky
from gen_jax.nets.norm import GroupNorm
from gen_jax.nets.unet import groups

Norm = Literal["none", "group"]


def with_hole(x: Array, hole: Array, mean: Array) -> Array:
  """[x (1 - M) + mean M, M] [B, H, W, C + 1] of x [B, H, W, C], hole [B, H, W] and mean [C]."""
  hidden = hole[..., None]
  return jnp.concatenate([jnp.where(hidden, mean, x), hidden.astype(x.dtype)], axis=-1)


def corners(hole: Array, patch: int) -> Array:
  """Where a square patch begins, [B, 2] row and column, that has the middle of the box around the
  hole [B, H, W] in its middle, or as near to it as the image allows."""

  def along(hidden):
    """[B, n]"""
    size = hidden.shape[1]
    twice = hidden.argmax(axis=1) + size - hidden[:, ::-1].argmax(axis=1)
    return jnp.clip((twice - patch) // 2, 0, size - patch)

  return jnp.stack([along(hole.any(axis=2)), along(hole.any(axis=1))], axis=1)


def patches(x: Array, corner: Array, patch: int) -> Array:
  """[B, patch, patch, C], which begin at corner [B, 2] of x [B, H, W, C]."""
  size = (patch, patch, x.shape[-1])
  return jax.vmap(lambda x, at: lax.dynamic_slice(x, (*at, 0), size))(x, corner)


class Completer(nn.Module):
  """x [B, H, W, C + 1] in [0, 1], the last channel the hole -> [B, H, W, channels].

  H and W are multiples of 2^(len(widths) - 1).

  channels: of the result.
  widths: channels of the first convolution and of those that follow it with stride 2.
  dilations: of the 3x3 convolutions at the lowest resolution.
  norm: before every hidden activation but the first; group by each example's moments.
  bounded: whether a sigmoid keeps the result in [0, 1]. Where pictures are black or white its
    gradient vanishes, and a net may stay there.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  channels: int
  widths: Sequence[int] = (64, 128, 256)
  dilations: Sequence[int] = (2, 4, 8, 16)
  norm: Norm = "none"
  bounded: bool = True
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    types = {"dtype": self.dtype, "param_dtype": real}
    kwargs = {**types, "kernel_init": nn.initializers.he_normal()}

    def activate(h):
      if self.norm == "group":
        h = GroupNorm(groups(h.shape[-1]), **types)(h)
      return nn.relu(h)

    def convolve(h, width, stride=1, dilation=1):
      layer = nn.Conv(
        width, (3, 3), stride, padding=dilation, kernel_dilation=dilation, **kwargs
      )  # fmt: skip
      return activate(layer(h))

    first, last = self.widths[0], self.widths[-1]
    h = nn.relu(nn.Conv(first, (5, 5), padding=2, **kwargs)(x))
    for width in self.widths[1:]:
      h = convolve(convolve(h, width, stride=2), width)
    h = convolve(h, last)
    for dilation in self.dilations:
      h = convolve(h, last, dilation=dilation)
    h = convolve(convolve(h, last), last)
    for i, width in enumerate(self.widths[-2::-1], 2):
      h = activate(UpConv(width, **kwargs)(h))
      h = convolve(h, max(width // 2, 1) if i == len(self.widths) else width)
    y = nn.Conv(self.channels, (3, 3), padding=1, **types)(h).astype(real)
    return nn.sigmoid(y) if self.bounded else y


class Critics(nn.Module):
  """x [B, H, W, C], hole [B, H, W] -> logit [B], of each example from itself alone.

  whole, local: channels of the convolutions of each critic, which halve what it sees.
  features: of each critic.
  patch: pixels a side of what the local critic sees, see `corners`.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  whole: Sequence[int]
  local: Sequence[int]
  features: int
  patch: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, hole: Array) -> Array:
    chex.assert_rank([x, hole], [4, 3])
    real = jnp.promote_types(self.dtype, jnp.float32)
    critic = partial(Critic, code=self.features, dtype=self.dtype)
    x = jnp.concatenate([x, hole[..., None].astype(x.dtype)], axis=-1)
    part = patches(x, corners(hole, self.patch), self.patch)
    seen = [critic(self.whole, name="whole")(x), critic(self.local, name="local")(part)]
    joined = leaky(jnp.concatenate(seen, axis=-1))
    logit = Dense(1, dtype=self.dtype, param_dtype=real)(joined)
    return logit[:, 0].astype(real)
