"""From a config to a system, with everything refused at once that can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gen_jax import config as configs
from gen_jax import data
from gen_jax.core import Array, PyTree, Stage, UserError
from gen_jax.run.states import batch_of_spec, batches_of, initialiser
from gen_jax.run.system import System, stage_steps, system_of
from gen_jax.run.waiting import waiting


def set_up(config: Mapping, mesh: Mesh | None = None) -> System:
  """Reads the data and builds the program; refuses everything that can be refused at once.

  Raises:
    UserError: in one line.
  """
  experiment = configs.parse(config)
  with waiting(f"reading {experiment.data['name']}"):
    source = data.load(**experiment.data)
  program = configs.build(experiment.config, source.spec)
  system = system_of(program, source, experiment, mesh)
  check_reads(system)
  check_passes(system)
  check_validation(system)
  stage_steps(program, experiment.train)
  return system


def check_reads(system: System) -> None:
  """Refuses feeds that the data cannot have, such as a flip of what is told left from right.

  Raises:
    UserError: in one line.
  """
  stages, model = system.program.stages, system.program.model
  reads = {name for each in (model, *(s.model for s in stages)) for name in each.cond}
  for i, spec in enumerate(system.specs):
    data.check_feed(system.feed(i), spec, reads)


def check_passes(system: System) -> None:
  """Refuses a stage that learns from whole passes, and whose batches run on into the next epoch.

  Raises:
    UserError: in one line.
  """
  for i, stage in enumerate(system.program.stages):
    if stage.model.passes and system.feed(i).remainder != "pad":
      raise UserError("this model learns from whole passes: set config.data.remainder=pad")


def check_validation(system: System) -> None:
  """Refuses validation without a split, and a config.train.best that the last stage's evaluation
  lacks, without computing anything.

  Raises:
    UserError: in one line.
  """
  train = system.experiment.train
  if train.validate_every and any("validation" not in s.splits for s in system.sources):
    raise UserError("config.train.validate_every needs a validation split: set data.validation")
  if not train.best:
    return
  found = terms_of_last(system)
  if train.best not in found:
    raise UserError(f"config.train.best={train.best!r} is no term of evaluation: one of {found}")


def terms_of_last(system: System) -> list[str]:
  """Names of the terms of the last stage's evaluation."""
  stage = system.program.stages[-1]

  def terms(states, batches, key, keys):
    return stage.model.evaluate(states[-1], seen_by_last(stage, states, batches, key), keys)

  return list(shapes_of(system, terms, 1))


def shapes_of_update(system: System) -> dict[str, jax.ShapeDtypeStruct]:
  """The metrics of an update of the last stage."""
  stage = system.program.stages[-1]

  def metrics(states, batches, key, keys):
    batch = seen_by_last(stage, states, batches, key)
    batch = jax.tree.map(lambda x: jnp.stack([x] * stage.model.microbatches), batch)
    return stage.model.update(states[-1], batch, keys[0], jnp.int32(0))[1]

  return shapes_of(system, metrics)


def shapes_of_codes(system: System) -> list[np.dtype]:
  """The types of the arrays that the finished model encodes an example as."""
  model = system.program.model

  def codes(states, batches, key, keys):
    batch = batches[-1]
    cond = {name: batch[name] for name in model.cond} or None
    return model.encode(states, batch["x"], None, cond)

  return [leaf.dtype for leaf in jax.tree.leaves(shapes_of(system, codes, 1))]


def seen_by_last(stage: Stage, states: list[PyTree], batches: Sequence[dict], key: Array) -> dict:
  """What the last stage sees of its batch."""
  batch = batches[-2]
  return batch if stage.view is None else stage.view(states[:-1], batch, jax.random.fold_in(key, 0))


def shapes_of(system: System, function: Callable[..., PyTree], batch_size: int | None = None):
  """Shapes and types of what a function gives of fresh states, without computing anything.

  Args:
    system: whose states.
    function: (states of all stages, batches, key, keys) -> pytree; the batches are those of the
      stages, and one of the data of the finished model.
    batch_size: of them, or None for those of training.
  """
  program = system.program
  batches = batches_of(system, batch_size)
  batches.append(batch_of_spec(system.spec, batch_size or system.experiment.feed.batch_size))
  key = jax.eval_shape(lambda: jax.random.key(0))
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), batch_size or 1))

  def of(key: Array, keys: Array, *batches):
    states: list[PyTree] = []
    for i, (each, batch) in enumerate(zip(program.stages, batches)):
      uses = [jax.random.fold_in(key, 2 * i + j) for j in (1, 2)]
      states = [*states, initialiser(each)(states, batch, *uses)]
    return function(states, batches, key, keys)

  return jax.eval_shape(of, key, keys, *batches)
