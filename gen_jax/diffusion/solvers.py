"""Samplers: from x_T ~ N(0, I) to x_0, given a denoiser, along any decreasing set of times.

A step leads from x_t to x_s, s < t:

  ancestral   x_s = posterior mean at the predicted x_0 + sqrt(variance) noise
              (Ho et al. 2020, algorithm 2; strided: Nichol & Dhariwal 2021, section 4)
              variance "small" is the posterior's, "large" the forward's (beta_t for s = t - 1)
  ddim        x_s = alpha_s x_0 + sqrt(sigma_s^2 - c^2) eps + c noise, c^2 = eta^2 posterior var
              (Song et al. 2021, eq. 12 and 16); eta 0 is deterministic, eta 1 is ancestral small
  dpmpp_2m    x_s = sigma_s / sigma_t x_t - alpha_s (e^-h - 1) D,  h = lambda_s - lambda_t,
              D = x_0 + h / (2 h') (x_0 - x_0'), where ' is the step before and lambda = log alpha /
              sigma; D = x_0 in the first step and in the last, where sigma_s = 0
              (DPM-Solver++(2M), Lu et al. 2022, arXiv:2211.01095, algorithm 2)

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
from gen_jax.diffusion.algebra import Prediction, Variance, posterior
from gen_jax.diffusion.schedule import Schedule

Denoiser = Callable[[Array, Array], Prediction]  # (x_t [n, ...], t scalar int) -> prediction


class Solver(NamedTuple):
  """A step rule with a memory of its own.

  table: (alpha [S + 1], sigma [S + 1]), float64, of the times in their order, x_T's first -> a tree
    of columns [S], one entry for each step.
  start: x_T [n, ...] -> memory, a tree of arrays.
  step: (x_t, memory, prediction at x_t, row of the table, noise) -> (x_s, memory).
  random: whether steps read their noise [n, ...] ~ N(0, I); without, it is 0.
  """

  table: Callable[[np.ndarray, np.ndarray], PyTree]
  start: Callable[[Array], PyTree]
  step: Callable[[Array, PyTree, Prediction, PyTree, Array], tuple[Array, PyTree]]
  random: bool


def nothing(x: Array) -> tuple[()]:
  """The memory of a one-step method."""
  return ()


def ancestral(variance: Variance, eta: float) -> Solver:
  """Draws of p(x_s | x_t). At s = 0 the mean: the last step adds no noise."""
  large = variance == "large"

  def step(x, memory, p, q, noise):
    spread = jnp.where(q.var > 0, q.forward_var if large else q.var, 0)
    return q.from_t * x + q.from_0 * p.x0 + jnp.sqrt(spread) * noise, memory

  return Solver(lambda a, s: posterior(a[:-1], s[:-1], a[1:], s[1:]), nothing, step, True)


def ddim(variance: Variance, eta: float) -> Solver:
  """The generalised, non-Markovian process with stochasticity eta."""

  def table(a, s):
    return posterior(a[:-1], s[:-1], a[1:], s[1:]).var, a[1:], s[1:]

  def step(x, memory, p, row, noise):
    var, alpha, sigma = row
    c2 = eta**2 * var
    direction = jnp.sqrt(jnp.maximum(sigma**2 - c2, 0))
    return alpha * p.x0 + direction * p.eps + jnp.sqrt(c2) * noise, memory

  return Solver(table, nothing, step, eta > 0)


def dpmpp_2m(variance: Variance, eta: float) -> Solver:
  """The second-order multistep method; its memory is the x_0 predicted in the step before."""

  def table(a, s):
    with np.errstate(divide="ignore"):
      log_snr = np.log(a) - np.log(s)
    h = np.diff(log_snr)
    before = np.concatenate([[np.inf], h[:-1]])
    ahead = np.where(np.isfinite(h), h, 0) / (2 * before)
    return s[1:] / s[:-1], -a[1:] * np.expm1(-h), ahead

  def step(x, before, p, row, noise):
    keep, pull, ahead = row
    return keep * x + pull * (p.x0 + ahead * (p.x0 - before)), p.x0

  return Solver(table, jnp.zeros_like, step, False)


# name -> (variance of ancestral steps, eta of ddim) -> solver
SOLVERS: dict[str, Callable[[Variance, float], Solver]] = {
  "ancestral": ancestral, "ddim": ddim, "dpmpp_2m": dpmpp_2m,
}  # fmt: skip


def times(schedule: Schedule, steps: int) -> np.ndarray:
  """steps + 1 integer times from T down to 0, evenly spaced: int32 [steps + 1].

  Raises:
    UserError: for fewer than 1 or more than T steps.
  """
  if not 1 <= steps <= schedule.steps:
    raise UserError(f"sampling takes 1 to {schedule.steps} steps (the timesteps), not {steps}")
  return np.round(np.linspace(schedule.steps, 0, steps + 1)).astype(np.int32)


def solver_of(method: str, variance: Variance = "large", eta: float = 0.0) -> Solver:
  """The solver of that name.

  Args:
    method: one of SOLVERS.
    variance: "large" or "small", of ancestral steps.
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
  frames: int = 0,
  dtype=jnp.float32,
) -> Array:
  """Samples x_0 [n, *shape] in the model's scale, one for each of keys [n]; one compiled loop.

  Args:
    denoise: (x_t, t) -> Prediction; t is an int32 scalar.
    schedule: the noise schedule, T noise levels.
    steps: number of denoiser calls, 1..T.
    solver: of `solver_of`.
    frames: if positive, return frames + 1 states of the path, x_T first: [frames + 1, n, *shape].

  Raises:
    UserError: for steps outside 1..T.
  """
  t = times(schedule, steps)
  table = solver.table(schedule.alpha[t], schedule.sigma[t])
  table = jax.tree.map(lambda column: jnp.asarray(column, dtype), table)
  t = jnp.asarray(t)

  def noise(i):
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), shape, dtype))(keys)

  def step(i, carry):
    x, memory = carry
    row = jax.tree.map(lambda column: column[i], table)
    return solver.step(x, memory, denoise(x, t[i]), row, noise(i + 1) if solver.random else 0.0)

  x = noise(0)
  carry = x, solver.start(x)
  if not frames:
    return lax.fori_loop(0, steps, step, carry)[0]
  ends = jnp.asarray(np.round(np.linspace(0, steps, min(frames, steps) + 1)).astype(np.int32))

  def frame(carry, i):
    carry = lax.fori_loop(ends[i], ends[i + 1], step, carry)
    return carry, carry[0]

  _, path = lax.scan(frame, carry, jnp.arange(len(ends) - 1))
  return jnp.concatenate([x[None], path])
