"""Conditioners of coupling layers: small residual nets whose last layer begins at zero.

Dinh et al. 2017, section 3.7 and appendix B: residual blocks with weight normalisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.nets.dense import Dense, product


def joined(x: Array, cond: Array | None) -> Array:
  """x [B, D] or [B, H, W, C] with cond [B, K] or [B, H, W, K], if there is one, as channels."""
  if cond is None:
    return x
  if cond.ndim < x.ndim:
    cond = jnp.broadcast_to(cond[:, None, None, :], (*x.shape[:-1], cond.shape[-1]))
  return jnp.concatenate([x, cond.astype(x.dtype)], axis=-1)


class Normed(nn.Module):
  """A dense layer, or a 3x3 convolution of images, with w = g v / |v| (Salimans & Kingma 2016).

  x [B, D] or [B, H, W, C] -> [B, ..., features]. |v| is over everything that feeds a feature; g
  begins at sqrt(2), as He's normal initialisation would have it.

  window: of the convolution; 1 is a dense layer at every pixel.
  """

  features: int
  dtype: jnp.dtype = jnp.float32
  window: int = 3

  @nn.compact
  def __call__(self, x: Array) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    window = (self.window, self.window) if x.ndim == 4 and self.window > 1 else ()
    shape = (*window, x.shape[-1], self.features)
    v = self.param("v", nn.initializers.normal(1 / math.sqrt(math.prod(shape[:-1]))), shape, real)
    g = self.param("g", nn.initializers.constant(math.sqrt(2)), (self.features,), real)
    b = self.param("b", nn.initializers.zeros, (self.features,), real)
    norm = jnp.sqrt(jnp.sum(v**2, axis=tuple(range(v.ndim - 1))) + 1e-12)
    x, w, b = (a.astype(self.dtype) for a in (x, g * v / norm, b))
    if not window:
      return product(x, w) + b
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=layout) + b


class Conditioner(nn.Module):
  """x [B, D] or [B, H, W, C], cond [B, K] or [B, H, W, K] or None -> [B, ..., out].

  Dense for vectors, 3x3 convolutions for images. The output is 0 until something is learnt.

  blocks: residual blocks of two layers.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  out: int
  width: int
  blocks: int
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, cond: Array | None = None) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    h = Normed(self.width, self.dtype)(joined(x, cond))
    for _ in range(self.blocks):
      r = Normed(self.width, self.dtype)(self.activation(h))
      h = h + Normed(self.width, self.dtype)(self.activation(r))
    zero = nn.initializers.zeros
    last = Dense(self.out, kernel_init=zero, dtype=self.dtype, param_dtype=real)
    return last(self.activation(h)).astype(real)
