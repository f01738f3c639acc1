"""Log-densities of several Gaussians at once, and draws from them.

  log N(x; mu, Sigma) = -1/2 |R (x - mu)|^2 + sum_i log R_ii - D/2 log 2 pi
  R = L^{-1},  L L^T = Sigma

A `whiten` is R: reciprocal standard deviations [K, D] where the covariance is diagonal, else
inverse Cholesky factors [K, D, D], or one of them [1, D, D] for all K.
"""

from __future__ import annotations

import functools
import math

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array

einsum = functools.partial(jnp.einsum, precision="highest")


def whitening(covariance: Array) -> Array:
  """R of covariances [K, D, D]. NaN where one is not positive definite."""
  factor = jnp.linalg.cholesky(covariance)
  identity = jnp.broadcast_to(jnp.eye(factor.shape[-1], dtype=factor.dtype), factor.shape)
  return lax.linalg.triangular_solve(factor, identity, left_side=True, lower=True)


def log_normal(x: Array, mean: Array, whiten: Array) -> Array:
  """log N(x; mean_k, Sigma_k) in nats.

  Args:
    x: [B, D].
    mean: [K, D].
    whiten: see above.

  Returns:
    [B, K].
  """
  chex.assert_rank([x, mean], 2)
  chex.assert_equal_shape_suffix([x, mean, whiten], 1)
  d = x.shape[-1]
  centred = x[:, None] - mean
  if whiten.ndim == 2:
    white, diagonal = centred * whiten, whiten
  else:
    white = einsum("bkd,ked->bke", centred, jnp.broadcast_to(whiten, (len(mean), d, d)))
    diagonal = jnp.diagonal(whiten, axis1=1, axis2=2)
  log_det = jnp.log(diagonal).sum(-1)
  # The barrier: on CPU XLA makes something six times slower of minus a sum of squares.
  distance = lax.optimization_barrier((white**2).sum(-1))
  return -0.5 * distance + log_det - 0.5 * d * math.log(2 * math.pi)


def draw_normal(keys: Array, mean: Array, whiten: Array, index: Array) -> Array:
  """x [n, D] ~ N(mean_k, Sigma_k) with k = index [n], each from its own of keys [n]."""
  eps = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:], mean.dtype))(keys)
  if whiten.ndim == 2:
    return mean[index] + eps / whiten[index]
  # From every covariance, and then the one that is wanted: n factors would take n D^2 numbers.
  solve = lambda r: lax.linalg.triangular_solve(r, eps.T, left_side=True, lower=True).T
  every = lax.map(solve, whiten)
  return mean[index] + every[index % len(whiten), jnp.arange(eps.shape[0])]
