"""Log-densities of several Gaussians at once, and draws from them.

  log N(x; mu, L L^T) = -1/2 |L^{-1} (x - mu)|^2 - sum_i log L_ii - D/2 log 2 pi

A `scale` is L: standard deviations [K, D] where the covariance is diagonal, else lower Cholesky
factors [K, D, D], or one of them [1, D, D] for all K.
"""

from __future__ import annotations

import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array


def log_normal(x: Array, mean: Array, scale: Array) -> Array:
  """log N(x; mean_k, scale_k scale_k^T) in nats.

  Args:
    x: [B, D].
    mean: [K, D].
    scale: see above.

  Returns:
    [B, K].
  """
  chex.assert_rank([x, mean], 2)
  chex.assert_equal_shape_suffix([x, mean, scale], 1)
  d = x.shape[-1]
  centred = x[None] - mean[:, None]
  if scale.ndim == 2:
    white, log_det = centred / scale[:, None], jnp.log(scale).sum(-1)
  else:
    factor = jnp.broadcast_to(scale, (len(mean), d, d))
    white = lax.linalg.triangular_solve(
      factor, centred.swapaxes(1, 2), left_side=True, lower=True
    ).swapaxes(1, 2)
    log_det = jnp.log(jnp.diagonal(scale, axis1=1, axis2=2)).sum(-1)
  return (-0.5 * (white**2).sum(-1) - log_det[:, None] - 0.5 * d * math.log(2 * math.pi)).T


def draw_normal(keys: Array, mean: Array, scale: Array, index: Array) -> Array:
  """x [n, D] ~ N(mean_k, scale_k scale_k^T) with k = index [n], each from its own of keys [n]."""

  def one(key, k):
    eps = jax.random.normal(key, mean.shape[1:], mean.dtype)
    own = scale[k % len(scale)]
    return mean[k] + (own * eps if scale.ndim == 2 else jnp.matmul(own, eps, precision="highest"))

  return jax.vmap(one)(keys, index)
