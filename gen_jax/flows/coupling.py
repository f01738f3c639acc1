"""Affine coupling with masks (Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803, eq. 9).

  y = b x + (1 - b) (x exp(s) + t),   s, t = net(b x)
  log |det dy/dx| = sum (1 - b) s

A mask b [*event] is 1 where x passes through and is what the net sees.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

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


def affine_coupling(mask: np.ndarray, net) -> Bijection:
  """[B, *event] -> [B, *event].

  |s| stays below a learnt bound, exp(log_bound) per channel, 1 at first: c tanh(s / c), where the
  paper has c tanh(s), so that near 0 the net means the same whatever the bound.

  Args:
    mask: b, broadcast against the event; constant.
    net: linen module (b x [B, *event], cond) -> [B, ..., 2 C], the raw s and then t.
  """
  mask = np.asarray(mask, bool)

  def scale_shift(params, x, cond):
    seen = jnp.where(mask, x, 0)
    output = net.apply({"params": params["net"]}, seen, cond).astype(x.dtype)
    s, t = jnp.split(output, 2, axis=-1)
    bound = jnp.exp(params["log_bound"])
    return jnp.where(mask, 0, bound * jnp.tanh(s / bound)), jnp.where(mask, 0, t)

  def init(key, x, mask_of_rows=None, cond=None):
    params = {
      "net": net.init(key, x[:1], None if cond is None else cond[:1])["params"],
      "log_bound": jnp.zeros(x.shape[-1], x.dtype),
    }
    return params, forward(params, x, cond)[0]

  def forward(params, x, cond=None):
    s, t = scale_shift(params, x, cond)
    return x * jnp.exp(s) + t, sum_each(s)

  def inverse(params, y, cond=None):
    s, t = scale_shift(params, y, cond)
    return (y - t) * jnp.exp(-s), -sum_each(s)

  return Bijection(init, forward, inverse)
