"""The variational bound of a Gaussian diffusion model, term by term and per example, in nats.

-log p(x_0) <= L_T + sum_{t=2}^{T} L_{t-1} + L_0                 (Ho et al. 2020, eq. 5)
L_T      = KL(q(x_T | x_0) || N(0, I))
L_{t-1}  = KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t))
L_0      = -log p(x_0 | x_1), a Gaussian integrated over each grey level's bin (eq. 13)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from gen_jax.core import Array
from gen_jax.losses.kl import gaussian_kl
from gen_jax.losses.likelihoods import sum_dims


def prior_kl(x0: Array, alpha: Array, sigma: Array) -> Array:
  """L_T of x0 [B, ...] -> [B] nats, alpha and sigma those of time T."""
  return sum_dims(gaussian_kl(alpha * x0, sigma**2, 0.0, 1.0))


def discretized_gaussian_nll(k: Array, mean: Array, std: Array, levels: int) -> Array:
  """-log P(k) of integers k [B, ...] under a Gaussian on [-1, 1], in nats -> [B].

  Level k stands for 2 k / (levels - 1) - 1; its bin reaches half way to its neighbours, the first
  and the last bin to infinity (Ho et al. 2020, eq. 13, for any number of levels). mean [B, ...] is
  in the scaled units; std broadcasts against it.
  """
  half = 1 / (levels - 1)
  centred = 2 * k.astype(mean.dtype) * half - 1 - mean
  upper, lower = (centred + half) / std, (centred - half) / std
  # log(cdf(upper) - cdf(lower)) = log_ndtr(b) + log(1 - exp(log_ndtr(a) - log_ndtr(b))), taken in
  # the tail where both are small, so that neither difference cancels.
  flip = lower > 0
  a, b = jnp.where(flip, -upper, lower), jnp.where(flip, -lower, upper)
  log_a, log_b = log_ndtr(a), log_ndtr(b)
  inner = log_b + jnp.log(-jnp.expm1(jnp.minimum(log_a - log_b, -1e-7)))
  log_p = jnp.where(k <= 0, log_ndtr(upper), jnp.where(k >= levels - 1, log_ndtr(-lower), inner))
  return -sum_dims(log_p)


def squared_error(prediction: Array, target: Array) -> Array:
  """Mean over dimensions of (prediction - target)^2: [B, ...] -> [B]. L_simple, eq. 14, for eps."""
  return jnp.mean((prediction - target) ** 2, axis=tuple(range(1, target.ndim)))


def ranks(count: int, mask: Array | None) -> tuple[Array, Array | int]:
  """(which stratum each of `count` entries has, how many strata there are): one for each entry that
  mask [count] has True, whatever the others get; for each of all where it is None."""
  if mask is None:
    return jnp.arange(count), count
  rank = jnp.maximum(jnp.cumsum(mask, dtype=jnp.int32) - 1, 0)
  return rank, jnp.maximum(mask.sum(dtype=jnp.int32), 1)


def stratified(key: Array, count: int, n: int, mask: Array | None = None) -> Array:
  """count integers in 0..n-1, one uniform draw in each of `count` equal strata; int32 [count].

  The mean of f over them estimates the mean of f over 0..n-1 without bias; with count = n it is
  exact. Each entry on its own is not uniform.

  mask: [count], True for the entries that such a mean is of: the strata are as many as there are of
    these, and theirs alone; what the others are drawn from does not matter.
  """
  u = jax.random.uniform(key, (count,))
  rank, total = ranks(count, mask)
  i = jnp.floor((rank + u) * (n / total)).astype(jnp.int32)
  return jnp.clip(i, 0, n - 1)
