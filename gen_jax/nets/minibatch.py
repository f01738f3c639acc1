"""What tells a critic how much the examples of a group differ, against generators that make one.

  deviation       mean over all features and positions of their standard deviation over the group
                                                                 (Karras et al. 2018, section 3)
  discrimination  M = W f,  o_b(x_i) = sum_{j != i} exp(-|M_ib - M_jb|_1) + c_b, for kernels b;
                  W = V exp(s) / |V|, the norm over the features
                  (Salimans et al. 2016, section 3.2; its code compares none with itself)

Examples i, i + B / group, ... are a group. Those with mask [B] False count in no group.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array


def minibatch_deviation(x: Array, group: int, mask: Array | None = None) -> Array:
  """x [B, H, W, C] -> [B, H, W, C + 1], see above. In a group of one an example has 1e-4."""
  batch = len(x)
  weight = jnp.ones(batch, x.dtype) if mask is None else mask.astype(x.dtype)
  parts = x.reshape(group, batch // group, *x.shape[1:])
  weight = weight.reshape(group, batch // group, 1, 1, 1)
  total = jnp.maximum(weight.sum(0), 1)
  centred = parts - (weight * parts).sum(0) / total
  deviation = jnp.sqrt((weight * centred**2).sum(0) / total + 1e-8).mean((1, 2, 3))
  own = jnp.tile(deviation, group)[:, None, None, None]
  return jnp.concatenate([x, jnp.broadcast_to(own, (*x.shape[:3], 1))], axis=-1)


def similarities(m: Array, group: int, mask: Array | None = None) -> Array:
  """sum_{j != i} exp(-|m_ib - m_jb|_1) [B, kernels] of m [B, kernels, dims], see above.

  Takes memory for B * group * kernels * dims numbers.
  """
  parts = m.reshape(group, -1, *m.shape[1:])
  near = jnp.exp(-jnp.abs(parts[:, None] - parts).sum(-1))  # [i, j, groups, kernels]
  others = (1 - jnp.eye(group, dtype=m.dtype))[:, :, None, None]
  if mask is not None:
    others = others * mask.astype(m.dtype).reshape(group, -1)[:, :, None]
  return (near * others).sum(1).reshape(len(m), -1)


class MinibatchDiscrimination(nn.Module):
  """Features [B, F] -> [B, F + kernels]: the o_b above beside them.

  V ~ N(0, 0.05^2), s = 0, c = -1, as the source's code; it then sets s by the first batch.
  """

  kernels: int = 100
  dims: int = 5
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, f: Array, group: int = 1, mask: Array | None = None) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    shape = (self.kernels, self.dims)
    v = self.param("kernel", nn.initializers.normal(0.05), (f.shape[-1], *shape), real)
    s = self.param("log_scale", nn.initializers.zeros, shape, real)
    c = self.param("bias", nn.initializers.constant(-1.0), (self.kernels,), real)
    w = v * (jnp.exp(s) / jnp.sqrt((v**2).sum(0)))
    m = jnp.einsum("bf,fkd->bkd", *(a.astype(self.dtype) for a in (f, w)))
    o = similarities(m.astype(real), group, mask) + c
    return jnp.concatenate([f, o.astype(f.dtype)], axis=-1)
