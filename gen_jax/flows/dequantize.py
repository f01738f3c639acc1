"""Integers to real numbers and back: dequantisation and the logit.

With v = x + u, u ~ q(u | x) on [0, 1)^D, the probability of integers x under a density of v obeys

  log P(x) = log int p(x + u) du >= E_q [log p(x + u) - log q(u | x)]      (Ho et al. 2019, eq. 12)

where uniform noise has log q = 0 (Theis et al. 2016, eq. 3.4).
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm

from gen_jax.core import Array, as_integers
from gen_jax.flows.bijection import Bijection, chain, fixed, sum_each


def logit(levels: int, alpha: float = 0.05) -> Bijection:
  """v [B, ...] in [0, levels) -> logit(alpha + (1 - 2 alpha) v / levels).

  Dinh et al. 2017 (section 4.1) have 1 - alpha; with 2 alpha (Papamakarios et al. 2017, section
  4.3) both ends are finite. The log-determinant has the -log(levels) a dimension of the scaling, so
  that densities are of grey levels, and bits/dim those of the integers.
  """
  log_slope = math.log((1 - 2 * alpha) / levels)

  def log_det(y: Array) -> Array:
    # dy/dp = 1 / (p (1 - p)), p = sigmoid(y).
    return sum_each(log_slope - jax.nn.log_sigmoid(y) - jax.nn.log_sigmoid(-y))

  def forward(v):
    p = alpha + (1 - 2 * alpha) * v / levels
    q = alpha + (1 - 2 * alpha) * (levels - v) / levels  # 1 - p, exact also where p is close to 1
    y = jnp.log(p) - jnp.log(q)
    return y, log_det(y)

  def inverse(y):
    return (jax.nn.sigmoid(y) - alpha) * levels / (1 - 2 * alpha), -log_det(y)

  return fixed(forward, inverse)


def normal_cdf() -> Bijection:
  """[B, ...] -> (0, 1), entry by entry: N(0, 1) becomes uniform."""
  log_slope = lambda x: sum_each(norm.logpdf(x))

  def inverse(y):
    x = norm.ppf(y)
    return x, -log_slope(x)

  return fixed(lambda x: (norm.cdf(x), log_slope(x)), inverse)


def noise(flow: Bijection) -> Bijection:
  """eps [B, ...] ~ N(0, I) -> u in (0, 1), given cond: variational dequantisation's q(u | x).

  log q(u | x) = log N(eps; 0, I) - log |det du/deps|. The paper squashes with a sigmoid; with the
  normal distribution function, a flow that begins as the identity begins as uniform noise.
  """
  return chain(flow, normal_cdf())


def integers(v: Array, levels: int) -> Array:
  """The integers 0..levels-1 in whose cells v [...] lies, of the smallest type that holds them."""
  return as_integers(jnp.floor(v), levels)
