"""Gradients of pictures, and what a linear Gaussian model puts into their holes."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array

COMPONENTS = 50  # of the Gaussian, at most
LEAST = 1e-6  # about that of rounding to 256 levels in [0, 1]


def gradient_magnitude(x: Array) -> Array:
  """sqrt(dx^2 + dy^2) [B, H, W, C] of differences to the pixels below and to the right, 0 across
  the border."""
  down = jnp.diff(x, axis=1, append=x[:, -1:])
  right = jnp.diff(x, axis=2, append=x[:, :, -1:])
  return jnp.sqrt(down**2 + right**2)


class Gaussian(NamedTuple):
  """N(mean, W W^T + variance I): mean [D], weights W [D, Q] (Tipping & Bishop 1999)."""

  mean: np.ndarray
  weights: np.ndarray
  variance: float


def fit_gaussian(x: np.ndarray, components: int = COMPONENTS) -> Gaussian:
  """The probabilistic PCA of greatest likelihood of examples x [N, ...], with that many components,
  or what N and D allow. Its variance is LEAST or more: examples may all be equal."""
  from sklearn.decomposition import PCA

  flat = np.asarray(x, np.float64).reshape(len(x), -1)
  with np.errstate(invalid="ignore"):  # shares of a variance of 0, which are not read
    pca = PCA(max(1, min(components, min(flat.shape) - 1)), svd_solver="full").fit(flat)
  variance = max(float(pca.noise_variance_), LEAST)
  scales = np.sqrt(np.maximum(pca.explained_variance_ - variance, 0))
  return Gaussian(pca.mean_, (pca.components_ * scales[:, None]).T, variance)


def conditional_mean(gaussian: Gaussian, x: Array, hole: Array) -> Array:
  """E[x | what is known of it] [B, H, W, C] of x [B, H, W, C] with hole [B, H, W].

  With W_k and x_k the rows that are known, mean + W (W_k^T W_k + variance I)^-1 W_k^T (x_k - mean).
  """
  mean, weights = (jnp.asarray(a, x.dtype) for a in gaussian[:2])
  eye = jnp.eye(weights.shape[1], dtype=x.dtype)

  def one(x, hole):
    known = jnp.broadcast_to(~hole[..., None], x.shape).reshape(-1)
    seen = jnp.where(known[:, None], weights, 0)
    off = jnp.where(known, x.reshape(-1) - mean, 0)
    z = jnp.linalg.solve(seen.T @ seen + gaussian.variance * eye, seen.T @ off)
    return (mean + weights @ z).reshape(x.shape)

  return jax.vmap(one)(x, hole)
