"""States of a system's stages: how they begin, and their shapes without computing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.config import Layout
from gen_jax.core import Program, PyTree, Spec, Stage
from gen_jax.run.mesh import placed
from gen_jax.run.system import System

Batch = dict[str, jax.ShapeDtypeStruct]


def batch_of_spec(spec: Spec, batch_size: int) -> Batch:
  """The shapes of a batch of data of that spec: what loading a run needs instead of its data."""
  fields = {"x": (spec.shape, spec.x.dtype), "index": ((), np.int32)}
  fields |= {name: ((), np.bool_) for name in ("mask", "last")}
  fields |= {name: (field.shape, field.dtype) for name, field in spec.fields.items()}
  return {k: jax.ShapeDtypeStruct((batch_size, *shape), d) for k, (shape, d) in fields.items()}


def batches_of(system: System, batch_size: int | None = None) -> list[Batch]:
  """The shapes of a batch of every stage, of the size that training has or the one given."""
  return [
    batch_of_spec(spec, batch_size or system.feed(i).batch_size)
    for i, spec in enumerate(system.specs)
  ]


def initialiser(stage: Stage) -> Callable[..., PyTree]:
  """(previous states, batch, view key, init key) -> fresh state of the stage."""

  def init(previous, batch, view_key, key):
    if stage.view is not None:
      batch = stage.view(previous, batch, view_key)
    state = stage.model.init(key, batch)
    return state if stage.carry is None else stage.carry(previous, state)

  return init


def released(stage: Stage, previous: Sequence[PyTree]) -> list[PyTree]:
  """The earlier states that a stage keeps once it has begun; {} for those that it frees."""
  return [{} if i in stage.release else state for i, state in enumerate(previous)]


def abstract_states(
  program: Program, count: int, batches: Sequence[Batch], mesh: Mesh,
  layout: Layout = "replicated",
) -> list[PyTree]:  # fmt: skip
  """Shapes, types and placement of the states of the first `count` stages.

  Args:
    program: whose.
    count: how many.
    batches: the shapes of a batch of each stage.
    mesh, layout: where the arrays live.
  """
  states: list[PyTree] = []
  key = jax.eval_shape(lambda: jax.random.key(0))
  for stage, batch in zip(program.stages[:count], batches, strict=False):
    fresh = jax.eval_shape(initialiser(stage), states, batch, key, key)
    states = [*released(stage, states), fresh]
  return placed(states, mesh, layout)
