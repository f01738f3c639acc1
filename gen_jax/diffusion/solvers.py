"""Samplers: from noise to x_0, given a denoiser, along any decreasing set of times of any path.

A step leads from x_t to x_s, s < t:

  ancestral   x_s = posterior mean at the predicted x_0 + sqrt(variance) noise
              (Ho et al. 2020, algorithm 2; strided: Nichol & Dhariwal 2021, section 4)
              variance "small" is the posterior's, "large" the forward's (beta_t for s = t - 1),
              "learned" what the network says between the two, in logs
  ddim        x_s = alpha_s x_0 + sqrt(sigma_s^2 - c^2) eps + c noise, c^2 = eta^2 posterior var
              (Song et al. 2021, eq. 12 and 16); eta 0 is deterministic, eta 1 is ancestral small

and those of `diffusion.dpm`. Every sample has its own key, so that it does not depend on its
neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gen_jax.core import Array, UserError
from gen_jax.diffusion import dpm
from gen_jax.diffusion.algebra import Transition, Variance, posterior, reverse_variance
from gen_jax.diffusion.grids import GRIDS
from gen_jax.diffusion.guidance import Guided, counts
from gen_jax.diffusion.path import Level, discrete, scheduled
from gen_jax.diffusion.schedule import Schedule
from gen_jax.diffusion.solver import Denoiser, Solver, nothing


def transitions(levels: Level) -> Transition:
  """The posterior of every step."""
  a, s = levels.alpha, levels.sigma
  return posterior(a[:-1], s[:-1], a[1:], s[1:])


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


# name -> (variance of ancestral steps, eta of ddim) -> solver
SOLVERS: dict[str, Callable[[Variance, float], Solver]] = {
  "ancestral": ancestral, "ddim": ddim, **dpm.SOLVERS,
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


def strided(schedule: Schedule, steps: int) -> tuple[np.ndarray, Schedule]:
  """Integer times [S + 1] from 0 up to T, evenly kept, and the schedule of S steps through them,
  with betas of its own (Nichol & Dhariwal 2021, section 4); all of them for steps 0."""
  kept = times(schedule, steps or schedule.steps)[::-1].copy()
  return kept, Schedule(schedule.alpha[kept], schedule.sigma[kept])


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


def noise_of(keys: Array, i: Array | int, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
  """eps [n, *shape] of each of keys [n], the i-th of a path: 0 is what it begins from."""
  return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), shape, dtype))(keys)


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
    start: x_T [n, *shape] in the place of that noise: without keys, if the solver reads none.
    frames: if positive, return frames + 1 states of the path, x_T first: [frames + 1, n, *shape].
  """
  steps = len(levels.t) - 1
  cast = lambda column: jnp.asarray(column, dtype if column.dtype.kind == "f" else column.dtype)
  table = jax.tree.map(cast, solver.table(levels))
  levels = jax.tree.map(cast, levels)
  row = lambda columns, i: jax.tree.map(lambda column: column[i], columns)

  noise = lambda i: noise_of(keys, i, shape, dtype)

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
