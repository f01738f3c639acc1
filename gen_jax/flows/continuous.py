"""Continuous flows (Chen et al. 2018, arXiv:1806.07366; FFJORD: Grathwohl et al. 2019,
arXiv:1810.01367).

  y = x(1),  x' = v(x, t),  x(0) = x
  log |det dy/dx| = int_0^1 div v(x(t), t) dt                                    (FFJORD, eq. 3)

The divergence is exact, by one derivative for each dimension. The grid is fixed: what it computes
is the flow only as far as its steps are small. A net that is trained by few of them learns to gain
by their errors (its density integrates to more than 1), so a density is to be evaluated on a finer
grid, and training is to be kept from fields in which a solver errs:

  kinetic energy   int_0^1 |v(x(t), t)|^2 dt           (Finlay et al. 2020, arXiv:2002.02798, eq. 5)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.dynamics.ode import Method, integrate
from gen_jax.dynamics.trace import divergence
from gen_jax.flows.bijection import Bijection, sum_each


class Transport(NamedTuple):
  """y [B, D], log |det dy/dx| [B] and kinetic energy [B] of a point's way from 0 to 1."""

  y: Array
  log_det: Array
  energy: Array


def continuous(
  net: nn.Module, steps: int, method: Method = "rk4"
) -> tuple[Bijection, Callable[..., Transport]]:
  """The bijection [B, D] -> [B, D], and its forward with energy: (params, x, cond) -> Transport.

  Args:
    net: linen module (x [B, D], t, cond) -> v [B, D].
    steps: of the grid on [0, 1].
    method: of `dynamics.ode`.
  """

  def init(key, x, mask=None, cond=None):
    own = net.init(key, x[:1], jnp.zeros((), x.dtype), None if cond is None else cond[:1])
    params = {"net": own["params"]}
    return params, transport(params, x, cond).y

  def along(params, x: Array, cond, start: float, end: float) -> Transport:
    def field(t, state):
      v, div = divergence(
        lambda x: net.apply({"params": params["net"]}, x, t, cond).astype(x.dtype), state[0]
      )
      return v, div, sum_each(v**2)

    none = jnp.zeros(len(x), x.dtype)
    grid = jnp.linspace(start, end, steps + 1, dtype=x.dtype)
    return Transport(*integrate(field, (x, none, none), grid, method=method, remat=True))

  def transport(params, x, cond=None):
    return along(params, x, cond, 0.0, 1.0)

  def forward(params, x, cond=None):
    return transport(params, x, cond)[:2]

  def inverse(params, y, cond=None):
    return along(params, y, cond, 1.0, 0.0)[:2]

  return Bijection(init, forward, inverse), transport
