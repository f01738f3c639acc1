"""Group normalisation."""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array


class GroupNorm(nn.Module):
  """Group normalisation of x [B, ..., C] (Wu & He 2018, eq. 1 and 6).

  Written as one scale and one shift for each example and channel: x is read twice, once for its
  moments and once to be normalised, and its gradient as often. `flax.linen.GroupNorm` has the same
  parameters and result, and made a U-Net's training step a tenth longer on CPU.

  groups: that the channels fall into, which must divide them.
  epsilon: added to the variance.
  dtype: of the result; the parameters and the computation are of param_dtype.
  """

  groups: int
  epsilon: float = 1e-6
  dtype: jnp.dtype = jnp.float32
  param_dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array) -> Array:
    batch, channels = x.shape[0], x.shape[-1]
    gamma = self.param("scale", nn.initializers.ones, (channels,), self.param_dtype)
    beta = self.param("bias", nn.initializers.zeros, (channels,), self.param_dtype)
    flat = x.astype(self.param_dtype).reshape(batch, -1, channels)

    def over_groups(x):
      means = x.mean(1).reshape(batch, self.groups, -1).mean(-1)
      return means.repeat(channels // self.groups, axis=1)

    mean, square = over_groups(flat), over_groups(flat**2)
    variance = jnp.maximum(square - mean**2, 0)
    scale = gamma * lax.rsqrt(variance + self.epsilon)
    shift = beta - mean * scale
    return (flat * scale[:, None] + shift[:, None]).reshape(x.shape).astype(self.dtype)
