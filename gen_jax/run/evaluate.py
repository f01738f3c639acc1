"""Evaluating a model over a split, per example, with keys that belong to the examples."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.core import Array, PyTree, fold_each
from gen_jax.data import Split, passes
from gen_jax.run.mesh import put, replicated, split_over
from gen_jax.run.sample import chunk_size


def evaluator(evaluate: Callable, mesh: Mesh) -> Callable[[PyTree, dict, Array], dict]:
  """(states, batch, key) -> {term: [B]}, compiled once; example i uses fold_in(key, i)."""

  def run(states, batch, key):
    return evaluate(states, batch, fold_each(key, batch["index"]))

  copies = replicated(mesh)
  return jax.jit(run, in_shardings=(None, split_over(mesh, 0), copies), out_shardings=copies)


def terms(
  compiled: Callable,
  states: PyTree,
  split: Split,
  key: Array,
  *,
  batch_size: int,
  mesh: Mesh,
) -> dict[str, np.ndarray]:
  """{term: [N]} of every example of the split, in order, padding left out.

  Args:
    compiled: of `evaluator`.
    states: what it evaluates.
    split: the examples.
    key: of the randomness.
    batch_size: of one call.
    mesh: the devices.
  """
  pieces: dict[str, list[np.ndarray]] = {}
  for batch in passes(split, chunk_size(batch_size, mesh)):
    mask = batch["mask"]
    values = compiled(states, put(batch, split_over(mesh, 0)), key)
    for name, value in values.items():
      pieces.setdefault(name, []).append(np.asarray(value)[mask])
  return {name: np.concatenate(parts) for name, parts in pieces.items()}


def mean(values: np.ndarray) -> float:
  """The average over examples, in float64."""
  return float(np.mean(values, dtype=np.float64))
