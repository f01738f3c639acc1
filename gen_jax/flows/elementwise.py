"""Increasing maps of single entries, whose parameters theta a conditioner gives.

  affine     m(x; s, t) = x exp(s) + t            (RealNVP: Dinh et al. 2017, eq. 7)
  additive   m(x; t)    = x + t                   (NICE: Dinh et al. 2014, arXiv:1410.8516, eq. 12)
  gated      m(x; h, t) = (x + t) sigmoid(h + 2)  (Glow: openai/glow, model.py, `revnet2d_step`)

`flows.spline` has one more. `coupling` and `autoregressive` say what the conditioner sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array


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


def gated_forward(params: dict, x: Array, theta: list[Array]) -> tuple[Array, Array]:
  h = theta[0] + 2
  return (x + theta[1]) * jax.nn.sigmoid(h), jax.nn.log_sigmoid(h)


def gated_inverse(params: dict, y: Array, theta: list[Array]) -> tuple[Array, Array]:
  h = theta[0] + 2
  # 1 / sigmoid(h) = 1 + exp(-h)
  return y * (1 + jnp.exp(-h)) - theta[1], -jax.nn.log_sigmoid(h)


gated = Elementwise(2, lambda channels, dtype: {}, gated_forward, gated_inverse)
