"""Lower bounds on log p(x) and their relatives, per example, in nats; to be maximised.

  ELBO       E_q log p(x | z) - KL(q(z | x) || p(z))                  (Kingma & Welling 2014, eq. 3)
  IWAE_k     E log 1/k sum_i w_i,  w_i = p(x, z_i) / q(z_i | x)       (Burda et al. 2016, eq. 8)
  beta-VAE   E_q log p(x | z) - beta KL                               (Higgins et al. 2017, eq. 4)
  capacity   E_q log p(x | z) - gamma |KL - C|,  C raised from 0      (Burgess et al. 2018, eq. 8)
             or with |mean KL - C|, of the batch's mean               (Locatello et al. 2019, code)

IWAE_1 is the ELBO, IWAE_k rises with k, and tends to log p(x). The last two are no bounds on log p
where beta < 1 or KL < C.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gen_jax.core import Array, masked_mean


def elbo(log_px: Array, kl: Array, beta: float = 1.0) -> Array:
  """The ELBO of log_px [B] and kl [B]; with another beta the objective of a beta-VAE."""
  return log_px - beta * kl


def capacity_elbo(log_px: Array, kl: Array, gamma: float, capacity: Array) -> Array:
  """log_px [B] - gamma |kl [B] - capacity|, which holds each example's KL at `capacity` nats."""
  return log_px - gamma * jnp.abs(kl - capacity)


def batch_capacity_elbo(
  log_px: Array, kl: Array, gamma: float, capacity: Array, mask: Array | None = None
) -> Array:
  """log_px [B] - gamma |mean kl - capacity|, which holds the mean of kl [B] at `capacity` nats and
  leaves each example its own; never below `capacity_elbo` on average (Jensen).

  mask: [B], the examples that the mean is of.
  """
  return log_px - gamma * jnp.abs(masked_mean(kl, mask) - capacity)


def annealed(step: Array, final: float, steps: int) -> Array:
  """The capacity at a step: from 0 in a straight line to `final`, which it has from `steps` on."""
  return final * jnp.clip(step / steps, 0.0, 1.0)


def importance_weighted(log_w: Array) -> Array:
  """IWAE_k of log weights [k, B] -> [B]: the logarithm of their mean.

  Its gradient weighs the k samples by their normalised weights (Burda et al. 2016, eq. 14).
  """
  return jax.nn.logsumexp(log_w, axis=0) - jnp.log(len(log_w))
