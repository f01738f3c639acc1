"""Samplers: from x_T ~ N(0, I) to x_0, given a denoiser, along any decreasing set of times.

A step rule maps (x_t, prediction, noise) to x_s:

  ancestral   x_s = posterior mean at the predicted x_0 + sqrt(variance) noise
              (Ho et al. 2020, algorithm 2; strided: Nichol & Dhariwal 2021, section 4)
              variance "small" is the posterior's, "large" the forward's (beta_t for s = t - 1)
  ddim        x_s = alpha_s x_0 + sqrt(sigma_s^2 - c^2) eps + c noise, c^2 = eta^2 posterior var
              (Song et al. 2021, eq. 12 and 16); eta 0 is deterministic, eta 1 is ancestral small

Every sample has its own key, so that it does not depend on its neighbours in the batch.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gen_jax.core import Array, UserError
from gen_jax.diffusion.gaussian import Prediction, Transition, posterior
from gen_jax.diffusion.schedule import Schedule

Denoiser = Callable[[Array, Array], Prediction]  # (x_t [n, ...], t scalar int) -> prediction


def times(schedule: Schedule, steps: int) -> np.ndarray:
  """steps + 1 integer times from T down to 0, evenly spaced: int32 [steps + 1].

  Raises:
    UserError: for fewer than 1 or more than T steps.
  """
  if not 1 <= steps <= schedule.steps:
    raise UserError(f"sampling takes 1 to {schedule.steps} steps (the timesteps), not {steps}")
  return np.round(np.linspace(schedule.steps, 0, steps + 1)).astype(np.int32)


def ancestral(x_t: Array, p: Prediction, q: Transition, noise: Array, large: bool) -> Array:
  """A draw of p(x_s | x_t) [n, ...]. At s = 0 the mean: the last step adds no noise."""
  variance = jnp.where(q.var > 0, q.forward_var if large else q.var, 0)
  return q.from_t * x_t + q.from_0 * p.x0 + jnp.sqrt(variance) * noise


def ddim(p: Prediction, q: Transition, alpha_s: Array, sigma_s: Array, noise: Array, eta: float):
  """x_s [n, ...] of the generalised, non-Markovian process with stochasticity eta."""
  c2 = eta**2 * q.var
  direction = jnp.sqrt(jnp.maximum(sigma_s**2 - c2, 0))
  return alpha_s * p.x0 + direction * p.eps + jnp.sqrt(c2) * noise


def solve(
  denoise: Denoiser,
  schedule: Schedule,
  keys: Array,
  shape: tuple[int, ...],
  *,
  steps: int,
  method: str = "ancestral",
  variance: str = "large",
  eta: float = 0.0,
  frames: int = 0,
  dtype=jnp.float32,
) -> Array:
  """Samples x_0 [n, *shape] in the model's scale, one for each of keys [n]; one compiled loop.

  Args:
    denoise: (x_t, t) -> Prediction; t is an int32 scalar.
    schedule: the noise schedule, T noise levels.
    steps: number of denoiser calls, 1..T.
    method: "ancestral" or "ddim".
    variance: "large" or "small", of ancestral steps.
    eta: of ddim, 0 to 1.
    frames: if positive, return frames + 1 states of the path, x_T first: [frames + 1, n, *shape].

  Raises:
    UserError: for steps outside 1..T, an unknown method or variance, or eta outside 0..1.
  """
  if method not in ("ancestral", "ddim"):
    raise UserError(f"sampler {method!r} is not known: one of ancestral, ddim")
  if variance not in ("large", "small"):
    raise UserError(f"sampling variance {variance!r} is not known: one of large, small")
  if not 0 <= eta <= 1:
    raise UserError(f"eta of DDIM lies between 0 and 1, not {eta}")
  t = times(schedule, steps)
  a, s = schedule.alpha[t], schedule.sigma[t]
  table = posterior(a[:-1], s[:-1], a[1:], s[1:])
  table = Transition(*(jnp.asarray(column, dtype) for column in table))
  t, a, s = jnp.asarray(t), jnp.asarray(a, dtype), jnp.asarray(s, dtype)

  def noise(i):
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), shape, dtype))(keys)

  def step(i, x):
    q = jax.tree.map(lambda column: column[i], table)
    p = denoise(x, t[i])
    if method == "ancestral":
      return ancestral(x, p, q, noise(i + 1), variance == "large")
    return ddim(p, q, a[i + 1], s[i + 1], noise(i + 1) if eta else 0.0, eta)

  x = noise(0)
  if not frames:
    return lax.fori_loop(0, steps, step, x)
  ends = jnp.asarray(np.round(np.linspace(0, steps, min(frames, steps) + 1)).astype(np.int32))

  def frame(x, i):
    x = lax.fori_loop(ends[i], ends[i + 1], step, x)
    return x, x

  _, path = lax.scan(frame, x, jnp.arange(len(ends) - 1))
  return jnp.concatenate([x[None], path])
