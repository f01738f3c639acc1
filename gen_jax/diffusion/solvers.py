"""Samplers: from noise to x_0, given a denoiser, along any decreasing set of times of any path.

A step leads from x_t to x_s, s < t:

  ancestral   x_s = posterior mean at the predicted x_0 + sqrt(variance) noise
              (Ho et al. 2020, algorithm 2; strided: Nichol & Dhariwal 2021, section 4)
              variance "small" is the posterior's, "large" the forward's (beta_t for s = t - 1),
              "learned" what the network says between the two, in logs
  ddim        x_s = alpha_s x_0 + sqrt(sigma_s^2 - c^2) eps + c noise, c^2 = eta^2 posterior var
              (Song et al. 2021, eq. 12 and 16); eta 0 is deterministic, eta 1 is ancestral small
  dpmpp_2m    x_s = sigma_s / sigma_t x_t - alpha_s (e^-h - 1) D,  h = lambda_s - lambda_t,
              D = x_0 + h / (2 h') (x_0 - x_0'), where ' is the step before and lambda = log alpha /
              sigma; D = x_0 in the first step and in the last, where sigma_s = 0
              (DPM-Solver++(2M), Lu et al. 2022, arXiv:2211.01095, algorithm 2)
  dpmpp_3m    x_0 as the parabola in lambda through the last three predictions, integrated exactly
              (DPM-Solver++(3M), appendix B there); its first two steps have orders 1 and 2
  sde_2m      x_s = sigma_s / sigma_t e^-h x_t + alpha_s (1 - e^-2h) D
              + sigma_s sqrt(1 - e^-2h) noise
              (SDE-DPM-Solver++(2M), section 5 there); with D = x_0 it is ancestral small

Every sample has its own key, so that it does not depend on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gen_jax.core import Array, PyTree, UserError
from gen_jax.diffusion.algebra import (
  Prediction,
  Transition,
  Variance,
  posterior,
  reverse_variance,
)
from gen_jax.diffusion.grids import GRIDS
from gen_jax.diffusion.guidance import Guided, counts
from gen_jax.diffusion.path import Level, discrete, scheduled
from gen_jax.diffusion.schedule import Schedule

Denoiser = Callable[[Array, Level], Prediction]  # (x_t [n, ...], level of scalars) -> prediction


class Solver(NamedTuple):
  """A step rule with a memory of its own.

  table: levels [S + 1], float64, in the order of the steps, the noisiest first -> a tree of columns
    [S], one entry for each step.
  start: x_T [n, ...] -> memory, a tree of arrays.
  step: (x_t, memory, prediction at x_t, row of the table, noise) -> (x_s, memory).
  random: whether steps read their noise [n, ...] ~ N(0, I); without, it is 0.
  lift: (x_t, row, noise) -> (x, level) that the network is asked at instead; or None.
  correct: (x_t, prediction at x_t, prediction at x_s, row) -> a better x_s, in every step but the
    last; or None.
  relax: (x_t, prediction at x_t, level, noise) -> x_t of the same law, `relaxations` times before
    each step; or None.
  """

  table: Callable[[Level], PyTree]
  start: Callable[[Array], PyTree]
  step: Callable[[Array, PyTree, Prediction, PyTree, Array], tuple[Array, PyTree]]
  random: bool
  lift: Callable[[Array, PyTree, Array], tuple[Array, Level]] | None = None
  correct: Callable[[Array, Prediction, Prediction, PyTree], Array] | None = None
  relax: Callable[[Array, Prediction, Level, Array], Array] | None = None
  relaxations: int = 0


def transitions(levels: Level) -> Transition:
  """The posterior of every step."""
  a, s = levels.alpha, levels.sigma
  return posterior(a[:-1], s[:-1], a[1:], s[1:])


def nothing(x: Array) -> tuple[()]:
  """The memory of a one-step method."""
  return ()


def ancestral(variance: Variance, eta: float) -> Solver:
  """Draws of p(x_s | x_t). At s = 0 the mean: the last step adds no noise."""

  def step(x, memory, p, q, noise):
    small = jnp.where(q.var > 0, q.var, q.forward_var) if variance == "learned" else q.var
    spread = jnp.where(q.var > 0, reverse_variance(p, variance, small, q.forward_var), 0)
    return q.from_t * x + q.from_0 * p.x0 + jnp.sqrt(spread) * noise, memory

  return Solver(transitions, nothing, step, True)


def ddim(variance: Variance, eta: float) -> Solver:
  """The generalised, non-Markovian process with stochasticity eta."""

  def table(levels):
    return transitions(levels).var, levels.alpha[1:], levels.sigma[1:]

  def step(x, memory, p, row, noise):
    var, alpha, sigma = row
    c2 = eta**2 * var
    direction = jnp.sqrt(jnp.maximum(sigma**2 - c2, 0))
    return alpha * p.x0 + direction * p.eps + jnp.sqrt(c2) * noise, memory

  return Solver(table, nothing, step, eta > 0)


def lengths(levels: Level) -> np.ndarray:
  """h [S] of every step, infinite where it starts without data or ends without noise."""
  with np.errstate(divide="ignore"):
    return np.diff(np.log(levels.alpha) - np.log(levels.sigma))


def second_order(h: np.ndarray) -> np.ndarray:
  """h / (2 h') of every step; 0, which is first order, of the first one and of infinite ones."""
  before = np.concatenate([[np.inf], h[:-1]])
  return np.where(np.isfinite(h), h, 0) / (2 * before)


def dpmpp_2m(variance: Variance, eta: float) -> Solver:
  """The second-order multistep method; its memory is the x_0 predicted in the step before."""

  def table(levels):
    a, s, h = levels.alpha, levels.sigma, lengths(levels)
    return s[1:] / s[:-1], -a[1:] * np.expm1(-h), second_order(h)

  def step(x, before, p, row, noise):
    keep, pull, ahead = row
    return keep * x + pull * (p.x0 + ahead * (p.x0 - before)), p.x0

  return Solver(table, jnp.zeros_like, step, False)


def sde_2m(variance: Variance, eta: float) -> Solver:
  """dpmpp_2m for the reverse SDE instead of its probability flow."""

  def table(levels):
    a, s, h = levels.alpha, levels.sigma, lengths(levels)
    share = -np.expm1(-2 * h)
    keep = s[1:] / s[:-1] * np.exp(-h)
    return keep, a[1:] * share, second_order(h), s[1:] * np.sqrt(share)

  def step(x, before, p, row, noise):
    keep, pull, ahead, spread = row
    return keep * x + pull * (p.x0 + ahead * (p.x0 - before)) + spread * noise, p.x0

  return Solver(table, jnp.zeros_like, step, True)


def dpmpp_3m(variance: Variance, eta: float) -> Solver:
  """The third-order multistep method; its memory is the last two predictions of x_0."""

  def table(levels):
    a, s, h = levels.alpha, levels.sigma, lengths(levels)
    keep, pull = s[1:] / s[:-1], -a[1:] * np.expm1(-h)
    rows = np.stack([pull, np.zeros_like(h), np.zeros_like(h)])
    for i in range(1, len(h)):
      if not np.isfinite(h[i]) or not np.isfinite(h[i - 1]):
        continue
      if i == 1 or not np.isfinite(h[i - 2]):
        ahead = h[i] / (2 * h[i - 1])
        rows[:, i] = pull[i] * np.array([1 + ahead, -ahead, 0])
        continue
      # d, d' and `bent` are the divided differences of x_0 in lambda / h. The parabola's second
      # derivative is 2 bent; the authors' code takes bent, which leaves an error of second order.
      r0, r1 = h[i - 1] / h[i], h[i - 2] / h[i]
      d, other = np.array([1, -1, 0]) / r0, np.array([0, 1, -1]) / r1
      bent = (d - other) / (r0 + r1)
      phi_2 = np.expm1(-h[i]) / h[i] + 1
      phi_3 = phi_2 / h[i] - 0.5
      weights = a[i + 1] * (phi_2 * (d + r0 * bent) - 2 * phi_3 * bent)
      rows[:, i] = pull[i] * np.array([1, 0, 0]) + weights
    return keep, *rows

  def step(x, memory, p, row, noise):
    keep, now, before, earlier = row
    x = keep * x + now * p.x0 + before * memory[0] + earlier * memory[1]
    return x, (p.x0, memory[0])

  return Solver(table, lambda x: (jnp.zeros_like(x), jnp.zeros_like(x)), step, False)


# name -> (variance of ancestral steps, eta of ddim) -> solver
SOLVERS: dict[str, Callable[[Variance, float], Solver]] = {
  "ancestral": ancestral, "ddim": ddim, "dpmpp_2m": dpmpp_2m, "dpmpp_3m": dpmpp_3m,
  "sde_2m": sde_2m,
}  # fmt: skip


def times(schedule: Schedule, steps: int, grid: str = "uniform") -> np.ndarray:
  """Integer times from T down to 0, spaced by one of GRIDS: int32 [steps + 1].

  Other grids than the uniform one begin after T, where x_T is noise, and several of their times may
  fall on one integer, which is taken once.

  Raises:
    UserError: for fewer than 1 or more than T steps, or fewer than 3 on such a grid.
  """
  if not 1 <= steps <= schedule.steps:
    raise UserError(f"sampling takes 1 to {schedule.steps} steps (the timesteps), not {steps}")
  path, uniform = scheduled(schedule), grid == "uniform"
  if steps < 3 and not uniform:
    raise UserError(f"this grid of times needs 3 steps or more, not {steps}: take uniform")
  t = GRIDS[grid](path, steps) if uniform else np.append(path.last, GRIDS[grid](path, steps - 1))
  t = np.round(t).astype(np.int32)
  return t[np.append(True, np.diff(t) < 0)]


def calls(solver: Solver, levels: Level, guide: Guided) -> int:
  """How often a solver asks the network at levels [S + 1]: twice at a time where w counts."""
  asked = np.repeat(levels.log_snr[:-1], 1 + solver.relaxations)
  if solver.correct is not None:
    asked = np.append(asked, levels.log_snr[1:-1])
  return int(len(asked) + counts(guide, asked).sum())


def solver_of(method: str, variance: Variance = "large", eta: float = 0.0) -> Solver:
  """The solver of that name.

  Args:
    method: one of SOLVERS.
    variance: "large", "small" or "learned", of ancestral steps.
    eta: of ddim, 0 to 1.

  Raises:
    UserError: for an unknown method or variance, or eta outside 0..1.
  """
  if method not in SOLVERS:
    raise UserError(f"sampler {method!r} is not known: one of {', '.join(SOLVERS)}")
  if variance not in Variance.__args__:
    names = ", ".join(Variance.__args__)
    raise UserError(f"sampling variance {variance!r} is not known: one of {names}")
  if not 0 <= eta <= 1:
    raise UserError(f"eta of DDIM lies between 0 and 1, not {eta}")
  return SOLVERS[method](variance, eta)


def solve(
  denoise: Denoiser,
  schedule: Schedule,
  keys: Array,
  shape: tuple[int, ...],
  *,
  steps: int,
  solver: Solver,
  grid: str = "uniform",
  frames: int = 0,
  dtype=jnp.float32,
) -> Array:
  """`follow` a schedule of discrete times from x_T ~ N(0, I), see there.

  Args:
    denoise: (x_t, level) -> Prediction; level.t is an int32 scalar.
    schedule: the noise schedule, T noise levels.
    steps: number of denoiser calls, 1..T.
    grid: of `times`.

  Raises:
    UserError: for steps outside 1..T.
  """
  levels = discrete(schedule, times(schedule, steps, grid))
  return follow(denoise, levels, keys, shape, solver=solver, frames=frames, dtype=dtype)


def follow(
  denoise: Denoiser,
  levels: Level,
  keys: Array | None,
  shape: tuple[int, ...],
  *,
  solver: Solver,
  scale: float = 1.0,
  start: Array | None = None,
  frames: int = 0,
  dtype=jnp.float32,
) -> Array:
  """Samples x_0 [n, *shape] in the model's scale, one for each of keys [n]; one compiled loop.

  Args:
    denoise: (x_t, level) -> Prediction.
    levels: table [S + 1], NumPy in float64, of the times in their order, the noisiest first.
    solver: of `solver_of`, or one of this module.
    scale: standard deviation of the noise at the first level.
    start: what the path begins from [n, *shape], if it is not noise of the keys, which a solver
      that is not random then has no use for.
    frames: if positive, return frames + 1 states of the path, x_T first: [frames + 1, n, *shape].
  """
  steps = len(levels.t) - 1
  cast = lambda column: jnp.asarray(column, dtype if column.dtype.kind == "f" else column.dtype)
  table = jax.tree.map(cast, solver.table(levels))
  levels = jax.tree.map(cast, levels)
  row = lambda columns, i: jax.tree.map(lambda column: column[i], columns)

  def noise(i):
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), shape, dtype))(keys)

  def step(i, carry, last=False):
    x, memory = carry
    now, at = row(table, i), row(levels, i)
    for j in range(solver.relaxations):
      fresh = noise(steps + 1 + solver.relaxations * i + j)
      x = solver.relax(x, denoise(x, at), at, fresh)
    drawn = noise(i + 1) if solver.random else 0.0
    if solver.lift is not None:
      x, at = solver.lift(x, now, drawn)
    p = denoise(x, at)
    then, memory = solver.step(x, memory, p, now, drawn)
    if solver.correct is not None and not last:
      then = solver.correct(x, p, denoise(then, row(levels, i + 1)), now)
    return then, memory

  def advance(i, j, carry):
    """From step i to step j; the last one of all is another where it has nothing to correct."""
    if solver.correct is None:
      return lax.fori_loop(i, j, step, carry)
    carry = lax.fori_loop(i, jnp.minimum(j, steps - 1), step, carry)
    return lax.cond(j == steps, lambda c: step(steps - 1, c, last=True), lambda c: c, carry)

  x = start
  if start is None:
    x = noise(0) if scale == 1 else scale * noise(0)
  carry = x, solver.start(x)
  if not frames:
    return advance(0, steps, carry)[0]
  ends = jnp.asarray(np.round(np.linspace(0, steps, min(frames, steps) + 1)).astype(np.int32))

  def frame(carry, i):
    carry = advance(ends[i], ends[i + 1], carry)
    return carry, carry[0]

  _, path = lax.scan(frame, carry, jnp.arange(len(ends) - 1))
  return jnp.concatenate([x[None], path])
