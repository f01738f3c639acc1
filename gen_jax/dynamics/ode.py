"""Explicit Runge-Kutta methods on a fixed grid of times.

  x' = f(t, x),   k_i = f(t + c_i h, x + h sum_{j < i} a_ij k_j),   x(t + h) = x + h sum_i b_i k_i
                                       (Hairer, Norsett & Wanner 1993, Solving ODEs I, section II.1)

A fixed grid takes the same steps for every example, whatever its neighbours are, and costs what it
says: an adaptive one would couple the examples of a batch. The error is known by a finer grid.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array, PyTree

# (t scalar, x) -> dx/dt; x is an array or a tree of them
Field = Callable[[Array, PyTree], PyTree]


class Tableau(NamedTuple):
  """The coefficients of a method: nodes c, matrix a (row i has i entries), weights b."""

  c: tuple[float, ...]
  a: tuple[tuple[float, ...], ...]
  b: tuple[float, ...]


METHODS: dict[str, Tableau] = {
  "euler": Tableau((0.0,), ((),), (1.0,)),
  "heun": Tableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.5)),
  "midpoint": Tableau((0.0, 0.5), ((), (0.5,)), (0.0, 1.0)),
  "rk4": Tableau(
    (0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6)
  ),
}
Method = Literal[*METHODS]


def step(f: Field, t: Array, h: Array, x: PyTree, method: Method = "rk4") -> PyTree:
  """x(t + h), given x = x(t)."""
  c, a, b = METHODS[method]
  slopes: list[PyTree] = []

  def ahead(weights):
    """x + h sum_j weights_j k_j."""
    for w, k in zip(weights, slopes, strict=True):
      if w:
        yield jax.tree.map(lambda leaf, w=w: (w * h).astype(leaf.dtype) * leaf, k)

  def moved(weights):
    return jax.tree.map(lambda *leaves: sum(leaves), x, *ahead(weights))

  for node, row in zip(c, a, strict=True):
    slopes.append(f(t + node * h, moved(row)))
  return moved(b)


def integrate(
  f: Field,
  x: PyTree,
  grid: Array,
  *,
  method: Method = "rk4",
  path: bool = False,
  remat: bool = False,
) -> PyTree:
  """x at grid[-1], given x at grid[0]; one compiled loop.

  Args:
    f: the field.
    x: an array, or a tree of them.
    grid: times [S + 1] of S steps, rising or falling.
    method: one of METHODS.
    path: return x at every time of the grid, [S + 1, ...].
    remat: forget what a step computes and compute it again for the gradient: memory for the states
      at the grid alone.
  """
  real = jnp.result_type(*jax.tree.leaves(x))
  # Differences before the rounding: a fine grid in float64 stays even in float32.
  t, h = (jnp.asarray(column, real) for column in (grid[:-1], grid[1:] - grid[:-1]))

  def advance(x, at):
    x = step(f, *at, x, method)
    return x, x if path else None

  last, states = lax.scan(jax.checkpoint(advance) if remat else advance, x, (t, h))
  if not path:
    return last
  return jax.tree.map(lambda first, rest: jnp.concatenate([first[None], rest]), x, states)
