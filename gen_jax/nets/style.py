"""The style-based generator (Karras et al. 2019, arXiv:1812.04948, section 2 and figure 1b).

  mapping    w = f(z / rms(z)), dense layers that learn at `rate` times the optimiser's rate
  synthesis  a learnt constant, then two layers a resolution; after each convolution
             h = leaky(h + s n + b), n one N(0, 1) a pixel, s learnt for each channel, 0 at first
             h = (1 + y_s) (h - mean) / sqrt(var + 1e-8) + y_b, over an example's pixels, with
                 (y_s, y_b) an affine function of that layer's w              (AdaIN, eq. 1)
             the first layer has no convolution; where the resolution doubles, a blur follows it

Levels, growing and fading are those of `nets.progan`.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.conv import convolve, convolve_enlarged, enlarge
from gen_jax.nets.gan import leaky
from gen_jax.nets.progan import BASE, Conv, Equal, blur, pixel_norm
from gen_jax.nets.translation import instance_norm


class Mapping(nn.Module):
  """z [B, Z] -> w [B, W]."""

  layers: int
  width: int
  rate: float = 0.01
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, z: Array) -> Array:
    h = pixel_norm(z)
    for i in range(self.layers):
      h = leaky(Equal(self.width, rate=self.rate, name=f"layer{i}", dtype=self.dtype)(h))
    return h.astype(jnp.promote_types(self.dtype, jnp.float32))


def modulated(x: Array, style: Array) -> Array:
  """AdaIN of x [B, H, W, C] by style [B, 2 C] = (y_s, y_b)."""
  scale, shift = jnp.split(style[:, None, None], 2, axis=-1)
  return instance_norm(x, 1e-8) * (1 + scale) + shift


class Styled(nn.Module):
  """What follows a convolution: h [B, H, W, C], w [B, W], noise [B, H, W, 1] or None -> as h."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, h: Array, w: Array, noise: Array | None) -> Array:
    real, channels = jnp.promote_types(self.dtype, jnp.float32), h.shape[-1]
    zeros = lambda name: self.param(name, nn.initializers.zeros, (channels,), real)
    strength, bias = (zeros(name).astype(self.dtype) for name in ("noise", "bias"))
    if noise is not None:
      h = h + strength * noise.astype(self.dtype)
    style = Equal(2 * channels, 1.0, name="style", dtype=self.dtype)(w)
    return modulated(leaky(h + bias), style)


class Synthesis(nn.Module):
  """w [B, L, W] of L = 2 (level + 1) layers, noise of each or None, fade in [0, 1] or None
  -> y [B, R, R, C], R = 4 * 2^level.

  widths: channels of each level from 0 on.
  """

  channels: int
  level: int
  widths: Sequence[int]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(
    self, w: Array, noise: Sequence[Array] | None = None, fade: Array | None = None
  ) -> Array:
    real, how = jnp.promote_types(self.dtype, jnp.float32), {"dtype": self.dtype}
    noise = [None] * w.shape[1] if noise is None else noise
    image = lambda level, h: Equal(self.channels, 1.0, name=f"image{level}", **how)(h)

    def styled(level, i, h):
      layer = 2 * level + i
      return Styled(name=f"level{level}{'ab'[i]}", **how)(h, w[:, layer], noise[layer])

    def conv(level, i, h, product=convolve):
      name = f"conv{level}{'ab'[i]}"
      return Conv(self.widths[level], use_bias=False, product=product, name=name, **how)(h)

    shape = (1, BASE, BASE, self.widths[0])
    h = self.param("constant", nn.initializers.ones, shape, real).astype(self.dtype)
    h = styled(0, 0, jnp.broadcast_to(h, (w.shape[0], *h.shape[1:])))
    h = styled(0, 1, conv(0, 1, h))
    for level in range(1, self.level + 1):
      smaller = h
      h = styled(level, 0, blur(conv(level, 0, h, convolve_enlarged)))
      h = styled(level, 1, conv(level, 1, h))
    y = image(self.level, h)
    if fade is not None:
      y = (1 - fade) * enlarge(image(self.level - 1, smaller)) + fade * y
    return y.astype(real)


def noises(keys: Array, level: int, dtype: jnp.dtype) -> list[Array]:
  """N(0, 1) for each pixel of each layer, of keys [n]: L arrays [n, H, W, 1]."""
  sizes = [BASE * 2 ** (i // 2) for i in range(2 * (level + 1))]
  ends = np.cumsum([size**2 for size in sizes])
  # At once: to draw each layer's by itself takes much longer to compile.
  all_of = jax.vmap(lambda key: jax.random.normal(key, (int(ends[-1]),), dtype))(keys)
  layers = zip(jnp.split(all_of, ends[:-1], axis=1), sizes, strict=True)
  return [noise.reshape(-1, size, size, 1) for noise, size in layers]
