"""ActNorm (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.1): y = (x + b) exp(s) per channel.

Fitted to the first batch, so that y has mean 0 and variance 1 there, and learnt from then on.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array
from gen_jax.flows.bijection import Bijection


def actnorm(eps: float = 1e-6) -> Bijection:
  """[B, ..., C] -> [B, ..., C]; statistics are over all axes but the last.

  eps: least standard deviation that is normalised.
  """

  def log_det(params, x: Array) -> Array:
    positions = x[0, ..., 0].size
    return jnp.broadcast_to(positions * params["log_scale"].sum(), (x.shape[0],))

  def init(key, x, mask=None, cond=None):
    axes = tuple(range(x.ndim - 1))
    where = None
    if mask is not None:
      where = jnp.broadcast_to(mask.reshape(-1, *[1] * (x.ndim - 1)), x.shape)
    mean = x.mean(axes, where=where)
    deviation = x.std(axes, where=where)
    params = lax.stop_gradient({"bias": -mean, "log_scale": -jnp.log(jnp.maximum(deviation, eps))})
    return params, forward(params, x)[0]

  def forward(params, x, cond=None):
    return (x + params["bias"]) * jnp.exp(params["log_scale"]), log_det(params, x)

  def inverse(params, y, cond=None):
    return y * jnp.exp(-params["log_scale"]) - params["bias"], -log_det(params, y)

  return Bijection(init, forward, inverse)
