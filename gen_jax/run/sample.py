"""Drawing samples: each from a key of its own, in chunks of one fixed size.

A compiled program's rounding may depend on its batch size; with one chunk size, the bytes of sample
i are the same whatever the number drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.core import Array, Model, PyTree, Spec, UserError, fold_each, stream
from gen_jax.data import Split
from gen_jax.run.mesh import put, replicated, split_over

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


def conditions(
  model: Model,
  spec: Spec,
  n: int,
  *,
  split: Split | None = None,
  label: int | None = None,
  spread: bool = False,
) -> dict[str, np.ndarray]:
  """What each of n samples is conditioned on, {} for an unconditional model.

  Entry i depends on i only: the fields of the split's example i % N, except that with a `label`
  every label is that one, and with `spread` (or without a split) label i is i % classes.

  Raises:
    UserError: for a label outside the classes, or given to a model that takes none; or if fields
      other than the label are needed and there is no split.
  """
  if label is not None:
    if "label" not in model.cond:
      raise UserError("--label is for class-conditional models, and this one takes no label")
    if not 0 <= label < spec.classes:
      raise UserError(f"--label must lie in 0..{spec.classes - 1}, the classes, not {label}")
  rows = np.arange(n)
  out = {}
  if "label" in model.cond and (label is not None or spread or split is None):
    labels = rows % spec.classes if label is None else np.full(n, label)
    out["label"] = labels.astype(np.int32)
  rest = [name for name in model.cond if name not in out]
  if rest and split is None:
    raise UserError(f"this model is conditioned on {', '.join(rest)}: they are read from the data")
  if rest:
    fields = split.take(rows % len(split))
    out |= {name: fields[name] for name in rest}
  return out


def sample_keys(seed: int) -> Array:
  """The key of the samples of a seed; sample i uses fold_in(., i)."""
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
  pieces, keys_of = [], jax.jit(fold_each, out_shardings=split_over(mesh, 0))
  for start in range(0, n, chunk):
    index = np.arange(start, start + chunk)
    rows = np.minimum(index, n - 1)
    part = put({name: v[rows] for name, v in cond.items()}, split_over(mesh, 0))
    pieces.append(np.asarray(drawer(states, keys_of(key, index), part)))
  return np.concatenate(pieces, axis=axis).take(np.arange(n), axis=axis)


def by_class(model: Model, spec: Spec, per_class: int = 10) -> tuple[int, np.ndarray, int]:
  """How to lay samples out in a grid: (how many, their order, columns).

  With labels i % classes, one row shows one class; else the grid is square.
  """
  if model.cond == ("label",) and spec.classes <= 20:
    n = per_class * spec.classes
    return n, np.arange(n).reshape(per_class, spec.classes).T.reshape(-1), per_class
  return 64, np.arange(64), 8
