"""Bijections x <-> y with their log-determinants, and how they are put together.

log p(x) = log p(y) + log |det dy/dx|,  y = f(x)
f = f_n o ... o f_1:  log |det dy/dx| = sum_i log |det df_i|          (Dinh et al. 2017, eq. 2, 6)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array


class Bijection(NamedTuple):
  """A bijection of examples x [B, *event], as pure functions; log-determinants are in nats.

  init: (key, x, mask [B] or None, cond) -> (params, y). May fit itself to the batch; rows with
    mask False do not count, and fall out of every statistic.
  forward: (params, x, cond) -> (y, log |det dy/dx| [B]).
  inverse: (params, y, cond) -> (x, log |det dx/dy| [B]).

  cond is what the bijection depends on besides x, a batch of arrays for the conditioner nets, or
  None. Params have the dtype of x.
  """

  init: Callable
  forward: Callable
  inverse: Callable


def sum_each(x: Array) -> Array:
  """Sum over all axes but the first: [B, ...] -> [B]."""
  return x.reshape(x.shape[0], -1).sum(axis=1)


def fixed(forward: Callable, inverse: Callable) -> Bijection:
  """A bijection without parameters, from x -> (y, log_det) and y -> (x, log_det)."""
  return Bijection(
    lambda key, x, mask=None, cond=None: ({}, forward(x)[0]),
    lambda params, x, cond=None: forward(x),
    lambda params, y, cond=None: inverse(y),
  )


def volume_preserving(forward: Callable, inverse: Callable) -> Bijection:
  """A bijection x -> y that only moves entries about: its log-determinant is 0."""
  with_zero = lambda f: lambda x: (f(x), jnp.zeros(x.shape[0], x.dtype))
  return fixed(with_zero(forward), with_zero(inverse))


def chain(*parts: Bijection) -> Bijection:
  """One after the other: y = f_n(... f_1(x)). Params are a tuple."""

  def init(key, x, mask=None, cond=None):
    params = []
    for i, part in enumerate(parts):
      own, x = part.init(jax.random.fold_in(key, i), x, mask, cond)
      params.append(own)
    return tuple(params), x

  def forward(params, x, cond=None):
    total = jnp.zeros(x.shape[0], x.dtype)
    for part, own in zip(parts, params, strict=True):
      x, log_det = part.forward(own, x, cond)
      total += log_det
    return x, total

  def inverse(params, y, cond=None):
    total = jnp.zeros(y.shape[0], y.dtype)
    for part, own in zip(parts[::-1], params[::-1], strict=True):
      y, log_det = part.inverse(own, y, cond)
      total += log_det
    return y, total

  return Bijection(init, forward, inverse)


def repeat(part: Bijection, times: int) -> Bijection:
  """`times` copies of part, each with params of its own, that keep the event's shape.

  The same function as chain(part, part, ...), compiled once as a loop; params have a leading axis
  [times].
  """

  def init(key, x, mask=None, cond=None):
    def body(x, i):
      params, y = part.init(jax.random.fold_in(key, i), x, mask, cond)
      return y, params

    y, params = lax.scan(body, x, jnp.arange(times))
    return params, y

  def through(function, reverse):
    def run(params, x, cond=None):
      def body(carry, own):
        x, total = carry
        x, log_det = function(own, x, cond)
        return (x, total + log_det), None

      start = (x, jnp.zeros(x.shape[0], x.dtype))
      return lax.scan(body, start, params, reverse=reverse)[0]

    return run

  return Bijection(init, through(part.forward, False), through(part.inverse, True))


def reverse() -> Bijection:
  """The last axis of [B, ..., C] in reverse order."""
  return volume_preserving(lambda x: x[..., ::-1], lambda y: y[..., ::-1])


def permute(order: tuple[int, ...]) -> Bijection:
  """Entry i of the last axis of the result is entry order[i] of [B, ..., C].

  Raises:
    ValueError: if order is no permutation.
  """
  if sorted(order) != list(range(len(order))):
    raise ValueError(f"{order} is no permutation of 0..{len(order) - 1}")
  back = tuple(order.index(i) for i in range(len(order)))
  return volume_preserving(lambda x: x[..., jnp.array(order)], lambda y: y[..., jnp.array(back)])


def flatten(shape: tuple[int, ...]) -> Bijection:
  """[B, *shape] -> [B, D]."""
  return volume_preserving(
    lambda x: x.reshape(x.shape[0], math.prod(shape)), lambda y: y.reshape(y.shape[0], *shape)
  )


def squeeze() -> Bijection:
  """[B, H, W, C] -> [B, H/2, W/2, 4 C]: two by two pixels become channels (section 3.6).

  Entry 4 c + 2 i + j of the result is channel c at row i, column j of its square.
  """

  def forward(x):
    b, h, w, c = x.shape
    x = x.reshape(b, h // 2, 2, w // 2, 2, c)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(b, h // 2, w // 2, 4 * c)

  def inverse(y):
    b, h, w, c = y.shape
    y = y.reshape(b, h, w, c // 4, 2, 2)
    return y.transpose(0, 1, 4, 2, 5, 3).reshape(b, 2 * h, 2 * w, c // 4)

  return volume_preserving(forward, inverse)


def split(rest: Bijection, shape: tuple[int, ...]) -> Bijection:
  """Factors out half of the channels; the others go on through `rest` (eq. 14, 15).

  [B, *shape] -> [B, D], the flat halves one after the other: first the latter half of the last
  axis as it stands, then rest of the former, which `rest` takes as [B, ..., C/2] to [B, D/2].
  """
  *spatial, channels = shape
  kept = channels // 2
  out_shape = (*spatial, channels - kept)
  size = math.prod(out_shape)

  def join(out, y):
    return jnp.concatenate([out.reshape(out.shape[0], size), y], axis=1)

  def init(key, x, mask=None, cond=None):
    params, y = rest.init(key, x[..., :kept], mask, cond)
    return params, join(x[..., kept:], y)

  def forward(params, x, cond=None):
    y, log_det = rest.forward(params, x[..., :kept], cond)
    return join(x[..., kept:], y), log_det

  def inverse(params, y, cond=None):
    x, log_det = rest.inverse(params, y[:, size:], cond)
    out = y[:, :size].reshape(y.shape[0], *out_shape)
    return jnp.concatenate([x, out], axis=-1), log_det

  return Bijection(init, forward, inverse)
