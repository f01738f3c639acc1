"""Nets that turn images into images of another domain, and the critic of their patches.

The generator is that of Johnson et al. 2016 (arXiv:1603.08155, supplementary material) as Zhu et
al. 2017 (arXiv:1703.10593, section 7.2) use it: a wide convolution, convolutions of stride 2,
residual blocks, the same way up again, and tanh; borders are reflected. It doubles the resolution
by sub-pixel convolutions, of which a transposed one of stride 2 is a special case
(`nets.conv.double`).

`SkipTranslator` is the U-Net of Isola et al. 2017 (arXiv:1611.07004, section 6.1.1), for pairs that
share their geometry.

The critic is PatchGAN (Isola et al. 2017, section 3.3): one logit for each patch.

Instance normalisation takes its moments from one example and channel, in training and after it
(Ulyanov et al. 2016, arXiv:1607.08022), so that a translation depends on its own input only. It has
no scale and no shift of its own, as in Zhu et al.'s code.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import chex
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets.conv import border, double, halve, windows
from gen_jax.nets.dense import Dense
from gen_jax.nets.upsample import transposed

Norm = Literal["none", "instance"]
leaky = partial(nn.leaky_relu, negative_slope=0.2)


def instance_norm(x: Array, epsilon: float = 1e-5) -> Array:
  """x [B, H, W, C] with mean 0 and variance 1 over the positions of each example and channel."""
  wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
  centred = wide - wide.mean(axis=(1, 2), keepdims=True)
  variance = (centred**2).mean(axis=(1, 2), keepdims=True)
  return (centred * lax.rsqrt(variance + epsilon)).astype(x.dtype)


def normalise(x: Array, norm: Norm) -> Array:
  """x [B, H, W, C], by instance or as it is."""
  return instance_norm(x) if norm == "instance" else x


class Translator(nn.Module):
  """x [B, H, W, C] in [-1, 1] -> [B, H, W, channels] in [-1, 1].

  H and W are multiples of 2^(len(widths) - 1), and larger than half the kernel at every resolution.

  channels: of the result.
  widths: channels of the first convolution and of those that follow it with stride 2.
  blocks: residual blocks of two 3x3 convolutions at the lowest resolution.
  kernel: of the first and the last convolution; odd.
  norm: before every hidden activation, and at the end of a residual branch.
  init_std: of the initial weights.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  channels: int
  widths: Sequence[int] = (64, 128, 256)
  blocks: int = 9
  kernel: int = 7
  norm: Norm = "instance"
  init_std: float = 0.02
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {
      "dtype": self.dtype, "param_dtype": real,
      "kernel_init": nn.initializers.normal(self.init_std),
    }  # fmt: skip
    # A bias before instance normalisation is cancelled by it.
    inner = {**kwargs, "use_bias": self.norm == "none"}
    wide, three = (self.kernel, self.kernel), (3, 3)
    convolve = partial(nn.Conv, padding="REFLECT")
    activate = lambda h: nn.relu(normalise(h, self.norm))
    h = activate(convolve(self.widths[0], wide, **inner)(x))
    for width in self.widths[1:]:
      h = activate(convolve(width, three, strides=2, **inner)(h))
    for _ in range(self.blocks):
      r = activate(convolve(self.widths[-1], three, **inner)(h))
      h = h + normalise(convolve(self.widths[-1], three, **inner)(r), self.norm)
    for width in self.widths[-2::-1]:
      h = activate(double(convolve(4 * width, three, **inner)(h)))
    return jnp.tanh(convolve(self.channels, wide, **kwargs)(h).astype(real))


class Up(nn.Module):
  """The 4x4 transposed convolution of stride 2: x [B, H, W, C] -> [B, 2 H, 2 W, features]."""

  features: int
  use_bias: bool
  kernel_init: nn.initializers.Initializer
  dtype: jnp.dtype
  param_dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: Array) -> Array:
    shape = (4, 4, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
    y = transposed(x.astype(self.dtype), kernel.astype(self.dtype))
    if not self.use_bias:
      return y
    bias = self.param("bias", nn.initializers.zeros, (self.features,), self.param_dtype)
    return y + bias.astype(self.dtype)


class SkipTranslator(nn.Module):
  """x [B, H, W, C] in [-1, 1] -> [B, H, W, channels] in [-1, 1].

    e_1 = conv(x)                    d_{L-1} = norm(up(relu(e_L)))
    e_l = norm(conv(lrelu(e_{l-1})))   d_{l-1} = norm(up(relu([d_l, e_l])))

  and the result is tanh(up(relu([d_1, e_1]))); conv and up are of 4x4 and stride 2. e_1 has no
  norm, nor has the bottleneck e_L, where an example may have a single position, whose norm would be
  0. H and W are multiples of 2^len(widths).

  channels: of the result.
  widths: channels of e_1, e_2, ...; d_l has as many as e_l.
  norm: of the other layers.
  dropout: rate, behind the norms of the three lowest layers on the way up.
  init_std: of the initial weights.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  channels: int
  widths: Sequence[int] = (64, 128, 256, 512, 512, 512, 512, 512)
  norm: Norm = "instance"
  dropout: float = 0.5
  init_std: float = 0.02
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, noise: bool = False) -> Array:
    """noise: whether units are dropped, by the key "dropout"."""
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    kwargs = {
      "dtype": self.dtype, "param_dtype": real,
      "kernel_init": nn.initializers.normal(self.init_std),
    }  # fmt: skip
    last = len(self.widths) - 1
    skips: list[Array] = []
    h = x
    for i, width in enumerate(self.widths):
      normed = self.norm == "instance" and 0 < i < last
      h = Dense(width, use_bias=not normed, **kwargs)(windows(halve(border(h)), 2))
      h = instance_norm(h) if normed else h
      skips.append(h)
      h = leaky(h)
    h = skips.pop()
    for i, width in enumerate(reversed(self.widths[:-1])):
      h = Up(width, self.norm == "none", **kwargs)(nn.relu(h))
      h = normalise(h, self.norm)
      if self.dropout and i < 3:
        h = nn.Dropout(self.dropout, deterministic=not noise)(h)
      h = jnp.concatenate([h, skips.pop()], axis=-1)
    return jnp.tanh(Up(self.channels, True, **kwargs)(nn.relu(h)).astype(real))


class PatchCritic(nn.Module):
  """x [B, H, W, C] -> logits [B, h, w], one for each patch.

  4x4 convolutions with one row of zeros on each side. With n widths, a patch has 7, 16, 34, 70, 142
  pixels a side for n = 1, 2, 3, 4, 5.

  widths: channels of each convolution before the logit's; all but the last halve H and W.
  norm: before each hidden activation but the first.
  init_std: of the initial weights.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  widths: Sequence[int] = (64, 128, 256, 512)
  norm: Norm = "instance"
  init_std: float = 0.02
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    chex.assert_rank(x, 4)
    real = jnp.promote_types(self.dtype, jnp.float32)
    convolve = partial(
      nn.Conv, kernel_size=(4, 4), padding=1, dtype=self.dtype, param_dtype=real,
      kernel_init=nn.initializers.normal(self.init_std),
    )  # fmt: skip
    h, last = x, len(self.widths) - 1
    for i, width in enumerate(self.widths):
      normed = self.norm == "instance" and i > 0
      h = convolve(width, strides=1 if i == last else 2, use_bias=not normed)(h)
      h = leaky(instance_norm(h) if normed else h)
    return convolve(1)(h)[..., 0].astype(real)


def smallest_map(size: int, count: int) -> int:
  """Rows of a PatchCritic's logits for an image of `size` rows and `count` widths; below 1 where
  the image is too small."""
  for _ in range(count - 1):
    size = size // 2
  return size - 2
