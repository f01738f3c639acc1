"""Monotone rational-quadratic splines (Durkan, Bekasov, Murray & Papamakarios 2019,
arXiv:1906.04032, section 3.1; Gregory & Delbourgo 1982).

K bins cut [-B, B] at knots x_0 < ... < x_K, which go to y_0 < ... < y_K with slopes d_0, ..., d_K.
Within a bin of width w and height h, with s = h / w and xi = (x - x_k) / w in [0, 1]:

  y      = y_k + h (s xi^2 + d_k xi (1 - xi)) / (s + q xi (1 - xi)),  q = d_k+1 + d_k - 2 s  (eq. 4)
  dy/dx  = s^2 (d_k+1 xi^2 + 2 s xi (1 - xi) + d_k (1 - xi)^2) / (s + q xi (1 - xi))^2       (eq. 5)
  xi     = 2 c / (-b - sqrt(b^2 - 4 a c)),   a = h (s - d_k) + (y - y_k) q,
           b = h d_k - (y - y_k) q,  c = -s (y - y_k)                                   (eq. 6 to 8)

Outside of [-B, B] the map is the identity, and d_0 = d_K = 1 joins the two smoothly.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.flows.elementwise import Elementwise

# Least width and height of a bin, as a share of 2 B, and least slope at a knot.
LEAST = 1e-3


class Spline(NamedTuple):
  """Knots x, y and slopes d, each [K + 1, ...]."""

  x: Array
  y: Array
  d: Array


def edges(logits: Array, bound: float) -> Array:
  """Knots [K + 1, ...] from -bound to bound, whose distances are a softmax of logits [K, ...]."""
  share = LEAST + (1 - len(logits) * LEAST) * jax.nn.softmax(logits, axis=0)
  inner = -bound + 2 * bound * jnp.cumsum(share[:-1], axis=0)
  end = jnp.full_like(logits[:1], bound)
  return jnp.concatenate([-end, inner, end])


def spline_of(theta: list[Array], bound: float) -> Spline:
  """The spline of 3 K - 1 numbers: K of the widths, K of the heights, K - 1 slopes; all 0 are the
  identity."""
  theta = jnp.stack(theta)
  bins = (len(theta) + 1) // 3
  widths, heights, slopes = theta[:bins], theta[bins : 2 * bins], theta[2 * bins :]
  one = math.log(math.expm1(1 - LEAST))  # softplus of it, and LEAST, are 1
  end = jnp.ones_like(theta[:1])
  d = jnp.concatenate([end, LEAST + jax.nn.softplus(slopes + one), end])
  return Spline(edges(widths, bound), edges(heights, bound), d)


class Bin(NamedTuple):
  """Of each entry the bin that it lies in: corner (x, y), width, height, slopes at both ends."""

  x: Array
  y: Array
  w: Array
  h: Array
  left: Array
  right: Array

  @property
  def s(self) -> Array:
    return self.h / self.w

  @property
  def q(self) -> Array:
    return self.left + self.right - 2 * self.s


def bin_of(spline: Spline, at: Array, knots: Array) -> Bin:
  """The bin whose knots [K + 1, ...] hold `at` [...]."""
  here = (at >= knots[1:-1]).sum(axis=0) == jnp.arange(len(knots) - 1).reshape(-1, *[1] * at.ndim)
  # A sum of products, whose gradient is one too: that of a gather is a slow scatter.
  pick = lambda v: jnp.where(here, v, 0).sum(axis=0)
  low, high = (Spline(*(pick(v[part]) for v in spline)) for part in (slice(-1), slice(1, None)))
  return Bin(low.x, low.y, high.x - low.x, high.y - low.y, low.d, high.d)


def log_slope(b: Bin, xi: Array) -> Array:
  """log dy/dx at xi."""
  mix = xi * (1 - xi)
  top = b.right * xi**2 + 2 * b.s * mix + b.left * (1 - xi) ** 2
  return 2 * jnp.log(b.s) + jnp.log(top) - 2 * jnp.log(b.s + b.q * mix)


def rational_quadratic(bins: int, bound: float) -> Elementwise:
  """The map of K = bins bins within [-bound, bound].

  Raises:
    ValueError: for more bins than fit with their least width.
  """
  if not 1 <= bins < 1 / LEAST:
    raise ValueError(f"a spline has 1 to {math.ceil(1 / LEAST) - 1} bins, not {bins}")

  def outside(v, mapped, slope):
    """The identity there. The spline has seen clipped values: what is not taken must be finite,
    or it makes a NaN of the gradient of what is."""
    inside = jnp.abs(v) < bound
    return jnp.where(inside, mapped, v), jnp.where(inside, slope, 0)

  def forward(params, x, theta):
    spline = spline_of(theta, bound)
    at = jnp.clip(x, -bound, bound)
    b = bin_of(spline, at, spline.x)
    xi = (at - b.x) / b.w
    mix = xi * (1 - xi)
    y = b.y + b.h * (b.s * xi**2 + b.left * mix) / (b.s + b.q * mix)
    return outside(x, y, log_slope(b, xi))

  def inverse(params, y, theta):
    spline = spline_of(theta, bound)
    at = jnp.clip(y, -bound, bound)
    b = bin_of(spline, at, spline.y)
    up = at - b.y
    a, half, c = b.h * (b.s - b.left) + up * b.q, b.h * b.left - up * b.q, -b.s * up
    # Positive but for rounding.
    root = jnp.sqrt(jnp.maximum(half**2 - 4 * a * c, jnp.finfo(y.dtype).tiny))
    xi = 2 * c / (-half - root)
    return outside(y, b.x + b.w * xi, -log_slope(b, xi))

  return Elementwise(3 * bins - 1, lambda channels, dtype: {}, forward, inverse)
