"""Vector fields in time for continuous flows (FFJORD: Grathwohl et al. 2019, arXiv:1810.01367;
`ConcatSquashLinear` of rtqichen/ffjord, lib/layers/diffeq_layers)."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.nets.dense import Dense
from gen_jax.nets.mlp import join


class VectorField(nn.Module):
  """x [B, D], t scalar, cond [B, K] or None -> [B, D].

  Each layer is (W x + b) sigmoid(w t + c) + v t, which is a field of its own at every time. It is 0
  everywhere until something is learnt: the flow begins as the identity.

  width, layers: of the hidden layers.
  activation: smooth, since the density is made of its derivative.
  dtype: of the computation; parameters and the result are float32 or wider.
  """

  width: int
  layers: int
  activation: Callable = jnp.tanh
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, t: Array, cond: Array | None = None) -> Array:
    real = jnp.promote_types(self.dtype, jnp.float32)
    how = {"dtype": self.dtype, "param_dtype": real}
    zero, size = nn.initializers.zeros, x.shape[-1]
    time = jnp.broadcast_to(t, (1, 1)).astype(self.dtype)
    h = join(x, cond)
    for i in range(self.layers + 1):
      last = i == self.layers
      start = {"kernel_init": zero} if last else {}
      out = size if last else self.width
      h = Dense(out, **start, **how)(h) * nn.sigmoid(Dense(out, **how)(time))
      h = h + Dense(out, use_bias=False, **start, **how)(time)
      h = h if last else self.activation(h)
    return h.astype(real)
