"""From noise to data and back: what diffusion in continuous time draws, encodes and fills in."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from gen_jax.core import PyTree, Spec
from gen_jax.diffusion import editing, solvers
from gen_jax.diffusion.denoise import Denoise
from gen_jax.diffusion.guidance import across
from gen_jax.diffusion.likelihood import times
from gen_jax.diffusion.path import Level, Path
from gen_jax.models.denoisers import Units
from gen_jax.models.hiding import Hiding, completion


class Way(NamedTuple):
  """How a model comes from noise to data, and back.

  path, levels, solver: of its samples, as `diffusion.solvers.follow` takes them.
  scale: the deviation of the noise that it begins with.
  steps: of the way back, by the Runge-Kutta method of fourth order.
  plain, guided: (state, cond) -> denoiser, of encoding and of sampling.
  moments: state -> the data's, as `units` takes them.
  """

  path: Path
  levels: Level
  solver: solvers.Solver
  scale: float
  steps: int
  plain: Callable[[PyTree, dict | None], Denoise]
  guided: Callable[[PyTree, dict | None], Denoise]
  moments: Callable[[PyTree], dict]


def drawing(spec: Spec, way: Way, units: Units, hiding: Hiding, dtype) -> tuple[Callable, dict]:
  """(state, keys, cond, frames) -> samples, or with frames their path; and by name what else there
  is: denoise, observe and transform of images of grey levels; prior, decode and encode of a solver
  without randomness, whose code is the noise.
  """
  levels, scale, moments = way.levels, way.scale, way.moments
  last = float(levels.alpha[-1])  # below 1 where a path ends before the data

  def follow(state, denoise, keys, **how):
    x = solvers.follow(
      denoise, levels, keys, spec.shape, solver=way.solver, scale=scale, dtype=dtype, **how
    )
    return units.raw(x if last == 1 else x / last, moments(state))

  def draw(state, keys, cond, frames=0):
    return follow(state, way.guided(state, cond), keys, frames=frames)

  def fill(state, keys, cond, known, hidden):
    denoise = way.guided(state, cond)
    informed = editing.completing(denoise, units.scaled(known, moments(state)), hidden)
    return follow(state, informed, keys)

  def prior(state, keys, cond=None):
    return scale * solvers.noise_of(keys, 0, spec.shape, dtype)

  def decode(state, code, cond=None):
    return follow(state, way.guided(state, cond), None, start=code.astype(dtype))

  def encode(state, x, keys=None, cond=None):
    del keys
    grid = times(way.path, way.steps, levels.t[0])
    x0 = units.scaled(x, moments(state))
    return editing.encode(way.plain(state, cond), way.path, x0, jnp.asarray(grid, dtype))

  def denoise(state, x_t, level, cond=None):
    return across(way.plain(state, cond), way.path)(x_t, level)

  more = {}
  if spec.levels is not None:
    more |= {"denoise": denoise, **completion(spec, hiding, fill)}
  if not (way.solver.random or way.solver.relaxations):
    more |= {"prior": prior, "decode": decode, "encode": encode}
  return draw, more
