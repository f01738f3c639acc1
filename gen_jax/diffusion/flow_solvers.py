"""Samplers in a path's own time: along its probability flow, dx/dt = alpha' x_0 + sigma' eps, and
by the SDE that has the same laws.

euler       x_s = x_t + (s - t) dx/dt
heun        the same with the mean of dx/dt at t and at what Euler's step leads to, but for the
            last step, to s = 0: two calls of the network, for second order
            (Karras et al. 2022, arXiv:2206.00364, algorithm 1)
churn       before a step of Heun's: noise is added that lifts sigma / alpha by a factor 1 + g
            (algorithm 2 there)
euler_maruyama  x_s = x_t + (s - t) (dx/dt - g^2 / 2 score) + g sqrt(t - s) noise, but for the noise
            of the last step: g^2 = 2 sigma (sigma' - alpha' / alpha sigma)
            (Song et al. 2021, arXiv:2011.13456, eq. 6)
langevin    before a step of any solver's, some of x + e score + sqrt(2 e) noise at its time
            (predictor-corrector: algorithms 4 and 5 there)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array
from gen_jax.diffusion.algebra import Prediction
from gen_jax.diffusion.path import Level, Path
from gen_jax.diffusion.solver import Denoiser, Solver, nothing
from gen_jax.dynamics.ode import Field


def between(levels: Level) -> tuple[Level, Level]:
  """The levels [S] that steps lead from, and those that they lead to."""
  return tuple(jax.tree.map(lambda column, s=s: column[s], levels) for s in (np.s_[:-1], np.s_[1:]))


def slope(p: Prediction, level: Level) -> Array:
  """dx/dt of the probability flow."""
  return level.d_alpha * p.x0 + level.d_sigma * p.eps


def field(denoise: Denoiser, path: Path) -> Field:
  """(t, x_t) -> dx/dt of the probability flow."""

  def slope_at(t, x):
    level = path.level(t)
    return slope(denoise(x, level), level)

  return slope_at


def euler() -> Solver:
  """The probability flow in the path's own time."""

  def table(levels):
    now, then = between(levels)
    return now, then, then.t - now.t

  def step(x, memory, p, row, noise):
    now, _, h = row
    return x + h * slope(p, now), memory

  return Solver(table, nothing, step, False)


def euler_maruyama() -> Solver:
  """The reverse SDE."""

  def table(levels):
    now, then = between(levels)
    h = then.t - now.t
    g2 = 2 * now.sigma * (now.d_sigma - now.d_alpha / now.alpha * now.sigma)
    return now, h, g2 / (2 * now.sigma), np.where(then.sigma > 0, np.sqrt(-h * g2), 0)

  def step(x, memory, p, row, noise):
    now, h, pull, spread = row
    return x + h * (slope(p, now) + pull * p.eps) + spread * noise, memory

  return Solver(table, nothing, step, True)


def langevin(solver: Solver, count: int, snr: float) -> Solver:
  """The solver with `count` Langevin steps before each of its own, of length e = 2 (r sigma)^2.

  snr: r. The source has 2 (r |noise| / |score|)^2 with norms that are means over a batch, which
    would make a sample depend on its neighbours; this is their value where x_t is mostly noise.
    Norms of each example's own lead to another law: they leap where the score vanishes, at modes.
  """

  def relax(x, p, level, noise):
    e = 2 * (snr * level.sigma) ** 2
    return x + e * p.score + jnp.sqrt(2 * e) * noise

  return solver._replace(relax=relax, relaxations=count) if count else solver


class Churn(NamedTuple):
  """g = min(amount / S, sqrt(2) - 1) in the steps of S that begin with sigma / alpha between
  `smallest` and `largest`; `noise` multiplies the noise that is added."""

  amount: float = 0.0
  smallest: float = 0.0
  largest: float = math.inf
  noise: float = 1.0


def heun(path: Path | None = None, churn: Churn = Churn()) -> Solver:
  """Euler's steps corrected; path: needed for a churn."""

  def table(levels):
    now, then = between(levels)
    ratio = np.exp(-now.log_snr / 2)
    inside = (churn.smallest <= ratio) & (ratio <= churn.largest) & np.isfinite(ratio)
    g = np.where(inside, min(churn.amount / len(ratio), math.sqrt(2) - 1), 0)
    if not g.any():
      return now, then, then.t - now.t, np.ones_like(g), np.zeros_like(g)
    at = path.level(np.where(g > 0, path.time_of(now.log_snr - 2 * np.log1p(g)), now.t))
    spread = at.alpha * ratio * np.sqrt(g * (2 + g)) * churn.noise
    return at, then, then.t - at.t, at.alpha / now.alpha, spread

  def lift(x, row, noise):
    at, _, _, scale, spread = row
    return scale * x + spread * noise, at

  def step(x, memory, p, row, noise):
    now, _, h, *_ = row
    return x + h * slope(p, now), memory

  def correct(x, p, ahead, row):
    now, then, h, *_ = row
    return x + h * (slope(p, now) + slope(ahead, then)) / 2

  return Solver(table, nothing, step, churn.amount > 0, lift if churn.amount else None, correct)
