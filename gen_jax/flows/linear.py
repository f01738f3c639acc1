"""Learnt invertible linear maps of the last axis: Glow's 1x1 convolution (Kingma & Dhariwal 2018,
arXiv:1807.03039, section 3.2), the same at every pixel.

  y = W x,  W = P L (U + diag(s))                                                         (eq. 10)
  log |det dy/dx| = positions sum log |s|                                                 (eq. 11)

P is a permutation and the signs of s are fixed; L is lower triangular with a diagonal of ones, U
strictly upper triangular.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular

from gen_jax.core import Array
from gen_jax.flows.bijection import Bijection

HIGHEST = lax.Precision.HIGHEST


def factors(params: dict) -> tuple[Array, Array, Array]:
  """P, L and U + diag(s), each [C, C].

  What is fixed is kept as an order and as signs, which no average or decay of weights changes.
  """
  size, dtype = len(params["log_scale"]), params["log_scale"].dtype
  fixed = lax.stop_gradient(params["fixed"])
  permutation = jnp.eye(size, dtype=dtype)[jnp.argsort(fixed["rank"])]
  s = jnp.where(fixed["sign"] > 0, 1, -1) * jnp.exp(params["log_scale"])
  lower = jnp.tril(params["lower"], -1) + jnp.eye(size, dtype=dtype)
  return permutation, lower, jnp.triu(params["upper"], 1) + jnp.diag(s)


def lu(rotated: bool = True) -> Bijection:
  """[B, ..., C] -> [B, ..., C].

  rotated: it begins as a rotation drawn from the key, and not as the identity.
  """

  def apply(w: Array, x: Array) -> Array:
    # One product of two matrices: with several axes of rows its gradient is slow on CPU.
    return jnp.matmul(x.reshape(-1, len(w)), w.T, precision=HIGHEST).reshape(x.shape)

  def log_det(params, x: Array) -> Array:
    positions = x[0, ..., 0].size
    return jnp.broadcast_to(positions * params["log_scale"].sum(), (x.shape[0],))

  def init(key, x, mask=None, cond=None):
    size, dtype = x.shape[-1], x.dtype
    w = jnp.eye(size, dtype=dtype)
    if rotated:
      w, _ = jnp.linalg.qr(jax.random.normal(key, (size, size), dtype))
    permutation, lower, upper = jax.scipy.linalg.lu(w)
    s = jnp.diagonal(upper)
    params = {
      "lower": jnp.tril(lower, -1),
      "upper": jnp.triu(upper, 1),
      "log_scale": jnp.log(jnp.abs(s)),
      "fixed": {"rank": permutation.argmax(axis=0).astype(dtype), "sign": jnp.sign(s)},
    }
    return params, forward(params, x)[0]

  def forward(params, x, cond=None):
    permutation, lower, upper = factors(params)
    w = jnp.linalg.multi_dot([permutation, lower, upper], precision=HIGHEST)
    return apply(w, x), log_det(params, x)

  def inverse(params, y, cond=None):
    permutation, lower, upper = factors(params)
    w = solve_triangular(lower, permutation.T, lower=True, unit_diagonal=True)
    return apply(solve_triangular(upper, w), y), -log_det(params, y)

  return Bijection(init, forward, inverse)
