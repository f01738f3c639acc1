"""Conditioners of Glow (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.3, appendix B)."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.coupling import Normed, joined


class ZeroConv(nn.Module):
  """A 3x3 convolution x [B, H, W, C], cond [B, K] or None -> [B, H, W, out] that begins at 0.

  Each channel has a gain exp(3 g), g = 0 at first (openai/glow, tfops.py, `conv2d_zeros`).
  """

  out: int
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, cond: Array | None = None) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    zero = nn.initializers.zeros
    g = self.param("g", zero, (self.out,), real)
    conv = nn.Conv(self.out, (3, 3), kernel_init=zero, dtype=self.dtype, param_dtype=real)
    return conv(joined(x, cond)).astype(real) * jnp.exp(3 * g)


class GlowNet(nn.Module):
  """x [B, H, W, C], cond [B, K] or None -> [B, H, W, out]: 3x3, 1x1, and 3x3 from zero.

  The hidden layers have weight normalisation where the paper has ActNorm.

  dtype: of the computation; parameters and the result are float32 or wider.
  """

  out: int
  width: int
  activation: Callable = nn.relu
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, cond: Array | None = None) -> Array:
    h = self.activation(Normed(self.width, self.dtype)(joined(x, cond)))
    h = self.activation(Normed(self.width, self.dtype, window=1)(h))
    return ZeroConv(self.out, self.dtype)(h)
