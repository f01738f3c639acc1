"""What a student learns from a frozen teacher: its steps two at a time, or its whole flow.

A student is trained as any diffusion is, at x_t = alpha x_0 + sigma eps; what the teacher changes
is the pair x_0, eps behind it.

progressive  the x_0 with which one DDIM step from t to s leads where two of the teacher's do, to t'
             half way and from there to s:

               x_0 = (z_s - sigma_s / sigma_t z_t) / (alpha_s - sigma_s / sigma_t alpha_t)
                   = w x_0(z_t, t) + (1 - w) x_0(z_t', t'),
                 w = sigma_s / sigma_t' c(t, t') / c(t, s),  c(t, s) = alpha_s - sigma_s / sigma_t
                                                                       alpha_t

             z_t is an example's own and z_t' where the teacher's first step leads; eps is what is
             left of z_t. At s = 0 w is 0, and x_0 the teacher's at t'.
             (Salimans & Ho 2022, arXiv:2202.00512, algorithm 2 and appendix G)
reflow       eps, and the x_0 that the teacher's flow leads it to: lines between the two cross less
             (Liu et al. 2023, arXiv:2209.03003, section 2.2)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.diffusion.algebra import corrupt, expand
from gen_jax.diffusion.denoise import Denoise
from gen_jax.diffusion.path import Level, Path
from gen_jax.diffusion.solvers import Solver, follow


class Lesson(NamedTuple):
  """The pair x0, eps [B, ...] that a student learns from at times t [B], and the weight, scalar or
  [B], of its network's squared error there."""

  x0: Array
  eps: Array
  t: Array
  weight: Array | float


# (the teacher, x_0 [B, ...], eps [B, ...], t [B]) -> Lesson
Teaching = Callable[[Denoise, Array, Array, Array], Lesson]

# Of the squared error of v, which is 1 / sigma^2 = SNR + 1 times that of x_0: as much as
# max(SNR, 1) of the latter, or as SNR + 1 (Salimans & Ho 2022, section 4).
WEIGHTS: dict[str, Callable[[Level], Array | float]] = {
  "truncated_snr": lambda level: jnp.maximum(level.alpha, level.sigma) ** 2,
  "snr_plus_one": lambda level: 1.0,
}


def pull(t: Level, s: Level) -> Array:
  """c(t, s): what a DDIM step from t to s multiplies x_0 by."""
  return s.alpha - s.sigma / t.sigma * t.alpha


def two_steps(teacher: Denoise, z: Array, t: Level, half: Level, s: Level) -> Array:
  """The x_0 [B, ...] of one DDIM step from z [B, ...] at t to s that does what the teacher does in
  two, by `half`. Needs sigma > 0 of t and of half."""
  first = teacher(z, t)
  z_half = corrupt(first.x0, first.eps, half.alpha, half.sigma)
  w = expand(s.sigma / half.sigma * pull(t, half) / pull(t, s), z)
  return w * first.x0 + (1 - w) * teacher(z_half, half).x0


def progressive(path: Path, steps: int, weight: Callable[[Level], Array | float]) -> Teaching:
  """A student of so many DDIM steps, of a teacher of twice as many, at the times i / steps alone.

  path: from 0 to 1. weight: of WEIGHTS.
  """

  def teach(teacher, x0, eps, t):
    i = jnp.ceil(t * steps)
    now, half, then = (path.level((i - h) / steps) for h in (0.0, 0.5, 1.0))
    z = corrupt(x0, eps, now.alpha, now.sigma)
    x0 = two_steps(teacher, z, now, half, then)
    return Lesson(x0, (z - expand(now.alpha, z) * x0) / expand(now.sigma, z), now.t, weight(now))

  return teach


def reflow(levels: Level, solver: Solver) -> Teaching:
  """A student of the teacher's own pairs, made along `levels`, see `solvers.follow`; x_0 of the
  data is not read. Solvers that draw noise make no pairs."""

  def teach(teacher, x0, eps, t):
    del x0
    x0 = follow(teacher, levels, None, eps.shape[1:], solver=solver, start=eps, dtype=eps.dtype)
    return Lesson(x0, eps, t, 1.0)

  return teach
