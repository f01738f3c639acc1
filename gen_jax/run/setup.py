"""From a config to a system, with everything refused at once that can be."""

from __future__ import annotations

from collections.abc import Mapping

import jax
from jax.sharding import Mesh

from gen_jax import config as configs
from gen_jax import data
from gen_jax.core import Array, PyTree, UserError
from gen_jax.run.states import batches_of, initialiser
from gen_jax.run.system import System, stage_steps, system_of


def set_up(config: Mapping, mesh: Mesh | None = None) -> System:
  """Reads the data and builds the program; refuses everything that can be refused at once.

  Raises:
    UserError: in one line.
  """
  experiment = configs.parse(config)
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
  program, batches = system.program, batches_of(system, 1)
  stage = program.stages[-1]
  key = jax.eval_shape(lambda: jax.random.key(0))
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))

  def terms(key: Array, keys: Array, *batches):
    states: list[PyTree] = []
    for i, (each, batch) in enumerate(zip(program.stages, batches, strict=True)):
      uses = [jax.random.fold_in(key, 2 * i + j) for j in (1, 2)]
      states = [*states, initialiser(each)(states, batch, *uses)]
    seen = batches[-1]
    if stage.view is not None:
      seen = stage.view(states[:-1], seen, jax.random.fold_in(key, 0))
    return stage.model.evaluate(states[-1], seen, keys)

  return list(jax.eval_shape(terms, key, keys, *batches))
