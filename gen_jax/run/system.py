"""A config made real: its data, its program and the devices; and what has been trained of it.

The trainer, the measures, the modes and the command line all start from one of these two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax import config as configs
from gen_jax import data
from gen_jax.config import Experiment
from gen_jax.core import (
  CAPABILITIES,
  Array,
  Model,
  Program,
  PyTree,
  Spec,
  Stage,
  UserError,
  over_states,
  stream,
)
from gen_jax.data import Feed, Source
from gen_jax.run.folder import claim
from gen_jax.run.mesh import make_mesh


class System(NamedTuple):
  """A program with its settings, its data and the devices it runs on.

  spec, source: of the config's data, which the finished model is of.
  specs, sources: of each stage, whose `data` may override the config's.
  source is None and sources are () where a run is opened without its data.
  """

  program: Program
  experiment: Experiment
  mesh: Mesh
  spec: Spec
  specs: tuple[Spec, ...]
  source: Source | None = None
  sources: tuple[Source, ...] = ()

  @property
  def config(self) -> dict:
    return self.experiment.config

  @property
  def root(self) -> Array:
    """The key from which every stream of the run derives."""
    return jax.random.key(self.config["seed"])

  @property
  def lengths(self) -> list[int]:
    """Steps of each stage."""
    return stage_steps(self.program, self.experiment.train)

  @property
  def offsets(self) -> list[int]:
    """Total steps before each stage; the last entry is the total."""
    return [0, *np.cumsum(self.lengths).tolist()]

  @property
  def total(self) -> int:
    """Steps of all stages."""
    return sum(self.lengths)

  def feed(self, index: int) -> Feed:
    """How a stage reads its data."""
    given = self.program.stages[index].data or {}
    own = {k: v for k, v in given.items() if k in FEED}
    return dataclasses.replace(self.experiment.feed, **own)

  @property
  def digests(self) -> list[str]:
    """Of the config's data, then of each stage's."""
    return [source.digest for source in (self.source, *self.sources)]

  @property
  def sizes(self) -> dict[str, int]:
    """Examples of each split."""
    return {name: len(split) for name, split in self.source.splits.items()}

  def claim(self, workdir: Path, write: bool = True) -> str:
    """Makes the folder this system's, or refuses; see `folder.claim`."""
    specs = [self.spec, *self.specs]
    passes = any(stage.model.passes for stage in self.program.stages)
    return claim(workdir, self.config, specs, self.sizes, self.digests, passes=passes, write=write)

  def check_data(self, record: Mapping, workdir: Path) -> None:
    """Refuses data that are not those of the run, whatever their place; see `check_digests`."""
    check_digests(self.digests, record, workdir)

  def model(self, index: int) -> Model:
    """The system as it stands in a stage; its state is the list of the states so far."""
    return as_far_as(self.program, index)

  def seen(self, index: int) -> tuple[Spec, Source | None]:
    """Spec and source of what `model(index)` is of."""
    if index + 1 == len(self.program.stages):
      return self.spec, self.source
    return self.specs[index], self.sources[index] if self.sources else None


def check_digests(digests: Sequence[str], record: Mapping, workdir: Path) -> None:
  """Refuses data that are not those that a run folder records, as far as both are given.

  Raises:
    UserError: in one line.
  """
  if any(a != b for a, b in zip(digests, record["data"], strict=False)):
    raise UserError(
      f"the data differ from those of {workdir}: files have changed, come or gone since"
    )


FEED = tuple(f.name for f in dataclasses.fields(Feed))


class Trained(NamedTuple):
  """A system with the states of its stages so far: all of them, or up to one that goes on.

  step: total step that the states are of.
  """

  system: System
  states: list[PyTree]
  workdir: Path | None = None
  step: int = 0

  @property
  def stage(self) -> int:
    return len(self.states) - 1

  @property
  def model(self) -> Model:
    return self.system.model(self.stage)

  @property
  def spec(self) -> Spec:
    return self.system.seen(self.stage)[0]

  @property
  def source(self) -> Source | None:
    return self.system.seen(self.stage)[1]

  def key(self, name: str) -> Array:
    """The key of a named stream of the run."""
    return stream(self.system.root, name)


def as_far_as(program: Program, index: int) -> Model:
  """The model after stage `index`, whose state is the list of states so far: the program's own
  after the last stage, else what the stage says (`Stage.so_far`), or its own model."""
  stage = program.stages[index]
  if index + 1 == len(program.stages):
    return program.model
  return stage.so_far if stage.so_far is not None else of_last(stage)


def of_last(stage: Stage) -> Model:
  """A stage's own model, reading the last of the states. What a stage with a view models are not
  the data, so that of it only the terms of its view can be shown."""
  model, view = over_states(stage.model), stage.view
  if view is None:
    return model

  def evaluate(states, batch, keys):
    return model.evaluate(states, view(states[:-1], batch, jax.random.key(0)), keys)

  return model._replace(evaluate=evaluate, **dict.fromkeys(CAPABILITIES))


def stage_steps(program: Program, train: configs.Train) -> list[int]:
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


def system_of(
  program: Program, source: Source, experiment: Experiment, mesh: Mesh | None = None
) -> System:
  """A program on a source, each stage's overrides of its data applied."""
  opened: dict[str, Source] = {}

  def of_stage(stage):
    changes = {k: v for k, v in (stage.data or {}).items() if k not in FEED}
    if not changes:
      return source
    name = repr(sorted(changes.items()))
    if name not in opened:
      opened[name] = data.load(**{**experiment.data, **changes})
    return opened[name]

  sources = tuple(of_stage(stage) for stage in program.stages)
  for each in {id(s): s for s in (source, *sources)}.values():
    check_states_its_fields(each)
  specs = tuple(s.spec for s in sources)
  return System(program, experiment, mesh or make_mesh(), source.spec, specs, source, sources)


def check_states_its_fields(source: Source) -> None:
  """Refuses a source whose examples are not what its spec says: a saved run could not be read.

  Raises:
    ValueError: naming the field.
  """
  spec = {"x": source.spec.x, **source.spec.fields}
  example = source.splits["train"][0]
  if example.keys() != spec.keys():
    raise ValueError(f"{source.name} has fields {sorted(example)} and states {sorted(spec)}")
  for name, field in spec.items():
    if np.shape(example[name]) != tuple(field.shape):
      raise ValueError(
        f"{source.name}: {name} has shape {np.shape(example[name])}, and its spec {field.shape}"
      )
