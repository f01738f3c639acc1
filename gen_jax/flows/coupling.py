"""Couplings with masks (Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803, section 3).

  y = b x + (1 - b) m(x; theta),   theta = net(b x)
  log |det dy/dx| = sum (1 - b) log m'(x; theta)

A mask b [*event] is 1 where x passes through and is what the net sees; m maps entry by entry:

  affine     m(x; s, t) = x exp(s) + t            (eq. 7)
  additive   m(x; t)    = x + t                   (NICE: Dinh et al. 2014, arXiv:1410.8516, eq. 12)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax.core import Array
from gen_jax.flows.bijection import Bijection, sum_each


def checkerboard(shape: tuple[int, int, int], parity: int = 0) -> np.ndarray:
  """Mask [H, W, 1] of the pixels whose row + column has that parity (fig. 3)."""
  rows, columns = np.indices(shape[:2])
  return ((rows + columns) % 2 == parity)[..., None]


def channels(shape: tuple[int, ...], parity: int = 0) -> np.ndarray:
  """Mask [C] of the former half of the last axis, or of the latter with parity 1."""
  first = np.arange(shape[-1]) < shape[-1] // 2
  return first if parity == 0 else ~first


def alternating(shape: tuple[int, ...], parity: int = 0) -> np.ndarray:
  """Mask [C] of every other entry of the last axis, from `parity` on."""
  return np.arange(shape[-1]) % 2 == parity


class Elementwise(NamedTuple):
  """An increasing map m of each entry, given theta: `size` arrays of the shape of x.

  size: numbers that a conditioner gives for each entry.
  init: (channels, dtype) -> parameters of its own.
  forward: (params, x, theta) -> (y, log dy/dx), entry by entry.
  inverse: (params, y, theta) -> (x, log dx/dy), entry by entry.
  """

  size: int
  init: Callable[[int, jnp.dtype], dict]
  forward: Callable[[dict, Array, list[Array]], tuple[Array, Array]]
  inverse: Callable[[dict, Array, list[Array]], tuple[Array, Array]]


def bounded(params: dict, s: Array) -> Array:
  """|s| below a learnt bound c = exp(log_bound) per channel, 1 at first: c tanh(s / c).

  The paper has c tanh(s); so, near 0, the net means the same whatever the bound.
  """
  bound = jnp.exp(params["log_bound"])
  return bound * jnp.tanh(s / bound)


def affine_forward(params: dict, x: Array, theta: list[Array]) -> tuple[Array, Array]:
  s = bounded(params, theta[0])
  return x * jnp.exp(s) + theta[1], s


def affine_inverse(params: dict, y: Array, theta: list[Array]) -> tuple[Array, Array]:
  s = bounded(params, theta[0])
  return (y - theta[1]) * jnp.exp(-s), -s


affine = Elementwise(
  2, lambda channels, dtype: {"log_bound": jnp.zeros(channels, dtype)},
  affine_forward, affine_inverse,
)  # fmt: skip
additive = Elementwise(
  1, lambda channels, dtype: {},
  lambda params, x, theta: (x + theta[0], jnp.zeros_like(x)),
  lambda params, y, theta: (y - theta[0], jnp.zeros_like(y)),
)  # fmt: skip


def coupling(mask: np.ndarray, net: nn.Module, map: Elementwise = affine) -> Bijection:
  """[B, *event] -> [B, *event].

  Args:
    mask: b, broadcast against the event; constant.
    net: linen module (b x [B, *event], cond) -> [B, ..., map.size C], theta side by side.
    map: m.
  """
  mask = np.asarray(mask, bool)

  def init(key, x, mask_of_rows=None, cond=None):
    own = net.init(key, x[:1], None if cond is None else cond[:1])["params"]
    params = {"net": own, **map.init(x.shape[-1], x.dtype)}
    return params, forward(params, x, cond)[0]

  def through(function):
    def run(params, x, cond=None):
      seen = jnp.where(mask, x, 0)
      theta = net.apply({"params": params["net"]}, seen, cond).astype(x.dtype)
      y, log_slope = function(params, x, jnp.split(theta, map.size, axis=-1))
      return jnp.where(mask, x, y), sum_each(jnp.where(mask, 0, log_slope))

    return run

  forward = through(map.forward)
  return Bijection(init, forward, through(map.inverse))
