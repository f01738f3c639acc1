"""States of a program's stages: how they begin, and their shapes without computing anything."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax.config import Train
from gen_jax.core import Array, Program, PyTree, Spec, Stage, UserError
from gen_jax.data import Source, passes
from gen_jax.run.mesh import Layout, placed

Batch = dict[str, jax.ShapeDtypeStruct]


def root_key(seed: int) -> Array:
  """The key from which every stream of a run derives."""
  return jax.random.key(seed)


def stage_steps(program: Program, train: Train) -> list[int]:
  """Length of each stage: its own, or else config.train.steps, one number or one for each.

  Raises:
    UserError: if the number of lengths is not the number of stages, or a length is not made of
      whole dispatches.
  """
  stages = program.stages
  given = train.steps if isinstance(train.steps, tuple) else (train.steps,) * len(stages)
  if len(given) != len(stages):
    raise UserError(
      f"config.train.steps has {len(given)} lengths, and this program {len(stages)} stages"
    )
  steps = [n if s.steps is None else s.steps for s, n in zip(stages, given, strict=True)]
  if any(n % train.steps_per_call for n in steps):
    raise UserError(
      f"config.train.steps_per_call={train.steps_per_call} must divide the lengths of the stages,"
      f" {', '.join(map(str, steps))} steps"
    )
  return steps


def batch_of_spec(spec: Spec, batch_size: int) -> Batch:
  """The shapes of a batch of data of that spec: what loading a run needs instead of its data."""
  real = np.float32 if spec.levels is None else np.min_scalar_type(spec.levels - 1)
  fields = {"x": (spec.shape, real), "index": ((), np.int32)}
  fields |= {name: ((), np.bool_) for name in ("mask", "last")}
  fields |= {name: (field.shape, field.dtype) for name, field in spec.fields.items()}
  return {k: jax.ShapeDtypeStruct((batch_size, *shape), d) for k, (shape, d) in fields.items()}


def batch_of_source(source: Source, batch_size: int) -> Batch:
  """The shapes of a batch of a source's training split, with every field it has."""
  batch = next(passes(source.splits["train"], 1))
  return {k: jax.ShapeDtypeStruct((batch_size, *v.shape[1:]), v.dtype) for k, v in batch.items()}


def initialiser(stage: Stage) -> Callable[..., PyTree]:
  """(previous states, batch, view key, init key) -> fresh state of the stage."""

  def init(previous, batch, view_key, key):
    if stage.view is not None:
      batch = stage.view(previous, batch, view_key)
    state = stage.model.init(key, batch)
    return state if stage.carry is None else stage.carry(previous, state)

  return init


def abstract_states(
  program: Program, count: int, batch: Batch, mesh: Mesh, layout: Layout = "replicated"
) -> list[PyTree]:
  """Shapes, types and placement of the states of the first `count` stages."""
  states: list[PyTree] = []
  key = jax.eval_shape(lambda: jax.random.key(0))
  for stage in program.stages[:count]:
    states.append(jax.eval_shape(initialiser(stage), states, batch, key, key))
  return placed(states, mesh, layout)


def check_passes(program: Program, remainder: str) -> None:
  """Refuses a stage that learns from whole passes, and whose batches run on into the next epoch.

  Raises:
    UserError: in one line.
  """
  for stage in program.stages:
    if stage.model.passes and (stage.data or {}).get("remainder", remainder) != "pad":
      raise UserError("this model learns from whole passes: set config.data.remainder=pad")


def check_validation(program: Program, source: Source, train: Train) -> None:
  """Refuses validation without a split, and a config.train.best that the last stage's evaluation
  lacks, without computing anything.

  Raises:
    UserError: in one line.
  """
  if train.validate_every and "validation" not in source.splits:
    raise UserError("config.train.validate_every needs a validation split: set data.validation")
  if not (best := train.best):
    return
  stage, batch = program.stages[-1], batch_of_source(source, 1)
  key = jax.eval_shape(lambda: jax.random.key(0))
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))

  def terms(batch, key, keys):
    states: list[PyTree] = []
    for i, each in enumerate(program.stages):
      uses = [jax.random.fold_in(key, 2 * i + j) for j in (1, 2)]
      states.append(initialiser(each)(states, batch, *uses))
    seen = batch
    if stage.view is not None:
      seen = stage.view(states[:-1], batch, jax.random.fold_in(key, 0))
    return stage.model.evaluate(states[-1], seen, keys)

  found = jax.eval_shape(terms, batch, key, keys)
  if best not in found:
    raise UserError(f"config.train.best={best!r} is no term of evaluation: one of {list(found)}")
