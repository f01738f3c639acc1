"""Drawing samples: each from a key of its own, in chunks of one fixed size.

A compiled program's rounding may depend on its batch size; with one chunk size, the bytes of sample
i are the same whatever the number drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.core import Array, PyTree, fold_each, stream
from gen_jax.run.mesh import put, replicated, split_over
from gen_jax.schema import Seed, check

Drawer = Callable[[PyTree, Array, dict], Array]


def chunk_size(batch_size: int, mesh: Mesh) -> int:
  """batch_size, raised to a multiple of the devices."""
  return -(-batch_size // mesh.size) * mesh.size


def compiled(function: Callable, mesh: Mesh) -> Drawer:
  """(states, keys, cond) -> x, compiled once for the mesh; keys and cond are split over devices,
  and every device has the whole x in the end."""
  data = split_over(mesh, 0)
  return jax.jit(
    lambda states, keys, cond: function(states, keys, cond or None),
    in_shardings=(None, data, data),
    out_shardings=replicated(mesh),
  )


def sample_keys(seed: int) -> Array:
  """The key of the samples of a seed; sample i uses fold_in(., i).

  Raises:
    UserError: for a seed that is negative or longer than 32 bits.
  """
  check(Seed, seed, "seed")
  return stream(jax.random.key(seed), "sample")


def draw(
  drawer: Drawer,
  states: PyTree,
  key: Array,
  n: int,
  cond: Mapping[str, np.ndarray],
  *,
  chunk: int,
  mesh: Mesh,
  axis: int = 0,
) -> np.ndarray:
  """n samples on the host.

  Args:
    drawer: of `compiled`, with examples along `axis` of its result.
    states: of the finished model.
    key: sample i uses fold_in(key, i).
    n: how many.
    cond: {name: [n, ...]}.
    chunk: fixed number drawn at once, a multiple of the devices.
    mesh: the devices.
    axis: of the examples in the result.
  """
  drawn, keys_of = None, jax.jit(fold_each, out_shardings=split_over(mesh, 0))
  for start in range(0, n, chunk):
    index = np.arange(start, start + chunk)
    rows = np.minimum(index, n - 1)
    part = put({name: v[rows] for name, v in cond.items()}, split_over(mesh, 0))
    piece = np.moveaxis(np.asarray(drawer(states, keys_of(key, index), part)), axis, 0)
    if drawn is None:  # all of it at once: too much is told at the first chunk, not at the last
      drawn = np.empty((n, *piece.shape[1:]), piece.dtype)
    drawn[start : start + chunk] = piece[: n - start]
  return np.moveaxis(drawn, 0, axis)
