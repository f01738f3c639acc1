"""The variational bound of a diffusion in continuous time, in nats per example.

  -log p(x) <= KL(q(z_1 | x) || N(0, I)) + 1/2 E_t[gamma'(t) || eps - eps^(z_t, t) ||^2]
               + E[-log p(x | z_0)],   gamma = -log_snr
                             (Kingma et al. 2021, arXiv:2107.00630, eq. 4 and 17)

Between its ends gamma(t) has no part in the expectation, only in the variance of its estimate. Of
integers p(x | z_0) is a softmax over the levels; of real values N(x; z_0 / alpha_0, e^gamma_0 I).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from gen_jax.core import Array, centre
from gen_jax.diffusion.path import Level
from gen_jax.losses.diffusion import prior_kl
from gen_jax.losses.likelihoods import sum_dims


def slope_of_gamma(level: Level) -> Array:
  """gamma'(t) of a path with alpha and sigma above 0."""
  return 2 * (level.d_sigma / level.sigma - level.d_alpha / level.alpha)


def diffusion_loss(eps: Array, predicted: Array, level: Level) -> Array:
  """gamma'(t) / 2 || eps - eps^ ||^2 [B] of eps [B, ...] at levels [B]."""
  return slope_of_gamma(level) / 2 * sum_dims((eps - predicted) ** 2)


def softmax_decoder(
  k: Array, z: Array, level: Level, levels: int, shares: Sequence[float] = ()
) -> Array:
  """-log P(k | z_0 = z) [B] of integers k [B, ...]: softmax_i(-(z / alpha - x_i)^2 e^-gamma / 2),
  with x_i = 2 i / (levels - 1) - 1 (section 3.3 there).

  shares: of the levels before z is seen [levels], in any unit; () for equal ones, the paper's.
  """
  grid = centre(jnp.arange(levels), levels, z.dtype)
  off = (z / level.alpha)[..., None] - grid
  logits = -(off**2) * jnp.exp(level.log_snr) / 2
  if shares:
    logits = logits + jnp.log(jnp.asarray(shares, z.dtype))
  chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), k[..., None].astype(jnp.int32), -1)
  return -sum_dims(chosen[..., 0])


def gaussian_decoder(level: Level, size: int) -> Array:
  """E[-log N(x; z_0 / alpha_0, e^gamma_0 I)] of x of `size` dimensions: the same for every x."""
  return size / 2 * (1 + math.log(2 * math.pi) - level.log_snr)


def ends(x: Array, k: Array | None, eps: Array, first: Level, last: Level, levels: int | None):
  """(KL of z_1 [B], -log p(x | z_0) [B]).

  Args:
    x: in the model's scale [B, ...].
    k: its integers, where there are levels.
    eps: noise of z_0.
    first, last: levels of scalars at t = 0 and 1.
    levels: of k; None of real values.
  """
  kl = prior_kl(x, last.alpha, last.sigma)
  if levels is None:
    return kl, jnp.broadcast_to(gaussian_decoder(first, x[0].size), kl.shape)
  return kl, softmax_decoder(k, first.alpha * x + first.sigma * eps, first, levels)
