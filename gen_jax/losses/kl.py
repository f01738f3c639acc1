"""Kullback-Leibler divergences between Gaussians, analytic and by Monte Carlo, in nats.

KL(N(m_q, v_q) || N(m_p, v_p)) = 1/2 (log v_p / v_q + (v_q + (m_q - m_p)^2) / v_p - 1)
KL(q || p) = E_q[log q(z) - log p(z)]
"""

from __future__ import annotations

import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.losses.likelihoods import gaussian


def gaussian_kl(mean_q: Array, var_q: Array, mean_p: Array, var_p: Array) -> Array:
  """KL(N(mean_q, var_q) || N(mean_p, var_p)), elementwise, in nats; arguments broadcast."""
  return 0.5 * (jnp.log(var_p / var_q) + (var_q + (mean_q - mean_p) ** 2) / var_p - 1)


def standard_kl(mean: Array, log_var: Array) -> Array:
  """KL(N(mean, diag exp(log_var)) || N(0, I)) of mean, log_var [..., Z] -> [...] nats.

  Kingma & Welling 2014, appendix B. From the logarithm, so that no variance is too small for it.
  """
  return 0.5 * (mean**2 + jnp.expm1(log_var) - log_var).sum(axis=-1)


def monte_carlo_kl(z: Array, mean: Array, log_var: Array) -> Array:
  """log q(z) - log p(z) of z [..., B, Z] -> [..., B] nats, q = N(mean, diag exp(log_var)) with
  mean, log_var [B, Z], and p = N(0, I).

  Its mean over draws z ~ q is the divergence; a single one can be negative.
  """
  return gaussian(mean, z, jnp.exp(0.5 * log_var)) - gaussian(jnp.zeros_like(mean), z, 1.0)
