"""What a solver is: a step rule with a memory, from noise towards x_0."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gen_jax.core import Array, PyTree
from gen_jax.diffusion.algebra import Prediction
from gen_jax.diffusion.path import Level

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


def nothing(x: Array) -> tuple[()]:
  """The memory of a one-step method."""
  return ()
