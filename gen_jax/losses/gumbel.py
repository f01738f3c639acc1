"""Categorical variables by continuous relaxation (Jang et al. 2017, arXiv:1611.01144; Maddison et
al. 2017, arXiv:1611.00712), as the discrete VAE of Ramesh et al. 2021 (arXiv:2102.12092) has them.

  draw      k = argmax_k (l_k + g_k),  g_k ~ Gumbel(0, 1), has the probabilities p = softmax(l)
  relaxed   s = softmax((l + g) / tau), which is that draw as tau -> 0
  KL        KL(p || uniform) = sum_k p_k (log p_k + log K)

Shapes: logits l are [..., K].
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from gen_jax.core import Array


def relaxed(logits: Array, noise: Array, temperature: Array | float) -> Array:
  """s [..., K], by Gumbel noise g [..., K] at the temperature tau."""
  return jax.nn.softmax((logits + noise) / temperature)


def uniform_kl(logits: Array) -> Array:
  """KL(softmax(l) || uniform) in nats [...], of any temperature."""
  log_p = jax.nn.log_softmax(logits)
  return (jnp.exp(log_p) * log_p).sum(-1) + math.log(logits.shape[-1])


def cosine(step: Array, first: float, last: float, steps: int) -> Array:
  """From first to last in so many steps, by half a cosine, and last from then on."""
  share = jnp.minimum(step / steps, 1.0)
  return last + (first - last) * (1 + jnp.cos(jnp.pi * share)) / 2
