"""Noise schedules: alpha(t) and sigma(t) of q(x_t | x_0) = N(alpha x_0, sigma^2 I), t = 0..T.

Variance preserving, alpha^2 + sigma^2 = 1, with alpha_t^2 the paper's "alpha bar":

  alpha_t^2 = prod_{s <= t} (1 - beta_s)

Tables are computed in float64, sigma from expm1 so that it keeps its digits near t = 0, and have
an entry for t = 0 (no noise), so that the last step of a sampler is like every other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gen_jax.core import UserError


class Schedule(NamedTuple):
  """alpha, sigma: float64 [T + 1], entry t for time t; alpha[0] = 1 and sigma[0] = 0."""

  alpha: np.ndarray
  sigma: np.ndarray

  @property
  def steps(self) -> int:
    """T, the number of noise levels."""
    return len(self.alpha) - 1


def from_betas(beta: np.ndarray) -> Schedule:
  """Schedule of the forward variances beta [T], entry 0 for t = 1."""
  log_alpha_bar = np.concatenate([[0.0], np.cumsum(np.log1p(-np.asarray(beta, np.float64)))])
  return Schedule(np.exp(log_alpha_bar / 2), np.sqrt(-np.expm1(log_alpha_bar)))


def linear(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Schedule:
  """beta from `first` to `last` in equal steps at T = 1000 (Ho et al. 2020, section 4).

  At any other T both are multiplied by 1000 / T, so that x_T has about as little of x_0 in it
  (Nichol & Dhariwal 2021, code).

  Raises:
    UserError: if T is so small that the last beta is 1 or more, at 20 for the paper's.
  """
  scale = 1000 / steps
  if scale * last >= 1:
    raise UserError(
      f"schedule=linear needs more than {1000 * last:g} timesteps, not {steps}: its betas, scaled"
      " by 1000 / timesteps, must stay below 1; schedule=cosine takes any number"
    )
  return from_betas(scale * np.linspace(first, last, steps))


def cosine(steps: int = 1000, offset: float = 0.008, largest_beta: float = 0.999) -> Schedule:
  """alpha_t^2 = f(t) / f(0), f(t) = cos^2((t/T + s)/(1 + s) pi/2) (Nichol & Dhariwal 2021, eq. 17).

  Each beta is at most `largest_beta`, against a singularity at t = T.
  """
  time = np.arange(steps + 1) / steps
  f = np.cos((time + offset) / (1 + offset) * np.pi / 2) ** 2
  return from_betas(np.minimum(1 - f[1:] / f[:-1], largest_beta))


SCHEDULES = {"linear": linear, "cosine": cosine}

# Sampling starts from N(0, I) where q(x_T | x_0) = N(alpha_T x_0, sigma_T^2 I): for |x_0| <= 1 the
# KL between them is at most alpha_T^2 / 2 nats per dimension, to first order; the paper's is 2e-5.
MOST_SIGNAL = 1e-3


def make(name: str, steps: int) -> Schedule:
  """The schedule of that name with T = steps.

  Raises:
    UserError: for an unknown name, fewer than two steps, or a schedule that does not reach noise:
      alpha_T^2 above MOST_SIGNAL.
  """
  if name not in SCHEDULES:
    raise UserError(f"schedule {name!r} is not known: one of {', '.join(SCHEDULES)}")
  if steps < 2:
    raise UserError(f"a noise schedule needs at least 2 timesteps, not {steps}")
  made = SCHEDULES[name](steps)
  if (signal := made.alpha[-1] ** 2) > MOST_SIGNAL:
    raise UserError(
      f"schedule={name} leaves alpha_bar_T = {signal:.2g} of the data at its {steps} timesteps, and"
      f" sampling starts from noise: it must be {MOST_SIGNAL:g} or less; give more timesteps"
    )
  return made
