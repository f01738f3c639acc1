"""Masked autoregressive flows (Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057, section 3).

  y_i = m(x_i; theta_i),  theta_i = net_i(x_1, ..., x_i-1)
  log |det dy/dx| = sum_i log m'(x_i; theta_i)                                             (eq. 5)

forward is one pass of the net, the inverse D of them. Inverse autoregressive flows (Kingma et al.
2016, arXiv:1606.04934) are `invert` of these.
"""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array
from gen_jax.flows.bijection import Bijection, sum_each
from gen_jax.flows.elementwise import Elementwise, affine


def autoregressive(net: nn.Module, map: Elementwise = affine) -> Bijection:
  """[B, D] -> [B, D].

  Args:
    net: linen module (x [B, D], cond) -> [B, map.size D], theta side by side, of which those of
      entry i do not depend on x[:, i:].
    map: m.
  """

  def init(key, x, mask=None, cond=None):
    own = net.init(key, x[:1], None if cond is None else cond[:1])["params"]
    params = {"net": own, **map.init(x.shape[-1], x.dtype)}
    return params, forward(params, x, cond)[0]

  def theta_of(params, x: Array, cond) -> list[Array]:
    theta = net.apply({"params": params["net"]}, x, cond).astype(x.dtype)
    return jnp.split(theta, map.size, axis=-1)

  def forward(params, x, cond=None):
    y, log_slope = map.forward(params, x, theta_of(params, x, cond))
    return y, sum_each(log_slope)

  def inverse(params, y, cond=None):
    entry = jnp.arange(y.shape[-1])

    def body(carry, i):
      x, slopes = carry
      new, log_slope = map.inverse(params, y, theta_of(params, x, cond))
      # What stands in the entries behind i was made of unfinished ones.
      return (jnp.where(entry == i, new, x), jnp.where(entry == i, log_slope, slopes)), None

    start = (jnp.zeros_like(y), jnp.zeros_like(y))
    (x, slopes), _ = lax.scan(body, start, entry)
    return x, sum_each(slopes)

  return Bijection(init, forward, inverse)


def invert(part: Bijection) -> Bijection:
  """The inverse of part, whose params start from the same batch: those of an ActNorm should not."""

  def init(key, x, mask=None, cond=None):
    params, _ = part.init(key, x, mask, cond)
    return params, part.inverse(params, x, cond)[0]

  return Bijection(init, part.inverse, part.forward)
