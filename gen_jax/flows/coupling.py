"""Couplings with masks (Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803, section 3).

  y = b x + (1 - b) m(x; theta),   theta = net(b x)
  log |det dy/dx| = sum (1 - b) log m'(x; theta)

A mask b [*event] is 1 where x passes through and is what the net sees; m, of `flows.elementwise`,
maps entry by entry.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from gen_jax.flows.bijection import Bijection, sum_each
from gen_jax.flows.elementwise import Elementwise, affine


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


def coupling(
  mask: np.ndarray, net: nn.Module, map: Elementwise = affine, compact: bool = False
) -> Bijection:
  """[B, *event] -> [B, *event].

  Args:
    mask: b, broadcast against the event; constant.
    net: linen module (b x [B, *event], cond) -> [B, ..., map.size C], theta side by side.
    map: m.
    compact: b is [C] and the net has no part in the other entries: of C' that pass through and C''
      that do not, it takes [B, ..., C'] and gives [B, ..., map.size C''].
  """
  mask = np.asarray(mask, bool)
  kept, free = np.flatnonzero(mask), np.flatnonzero(~mask)
  back = np.argsort(np.concatenate([kept, free]))

  def seen_of(x):
    return x[..., kept] if compact else jnp.where(mask, x, 0)

  def init(key, x, mask_of_rows=None, cond=None):
    own = net.init(key, seen_of(x[:1]), None if cond is None else cond[:1])["params"]
    entries = len(free) if compact else x.shape[-1]
    params = {"net": own, **map.init(entries, x.dtype)}
    return params, forward(params, x, cond)[0]

  def through(function):
    def run(params, x, cond=None):
      seen = seen_of(x)
      theta = net.apply({"params": params["net"]}, seen, cond).astype(x.dtype)
      theta = jnp.split(theta, map.size, axis=-1)
      if compact:
        y, log_slope = function(params, x[..., free], theta)
        return jnp.concatenate([seen, y], axis=-1)[..., back], sum_each(log_slope)
      y, log_slope = function(params, x, theta)
      return jnp.where(mask, x, y), sum_each(jnp.where(mask, 0, log_slope))

    return run

  forward = through(map.forward)
  return Bijection(init, forward, through(map.inverse))
