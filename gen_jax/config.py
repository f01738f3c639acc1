"""Configs: completed from the signatures they fill, checked against them, and told apart by digest.

The signature of a builder is the schema of `config.model`, its dataclass-typed options `sample` and
`likelihood` those of the groups of the same names; `data.load` and `Pipeline` describe
`config.data`; `Train` and `Evaluate` the rest. A config file names what differs from the defaults.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import inspect
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import MinLen
from ml_collections import ConfigDict

from gen_jax import data as sources
from gen_jax.core import Field, Program, Spec, UserError
from gen_jax.data import Feed
from gen_jax.schema import (
  BUILDER,
  OPTIONS,
  Count,
  Natural,
  NonNegative,
  Seed,
  as_dict,
  complete,
  convert,
  merge,
  nearest,
  parameters,
)

Layout = Literal["replicated", "sharded"]


@dataclasses.dataclass(frozen=True)
class Train:
  """How long, and what happens on the way. A `..._every` of 0 means never (but at the end).

  steps: length of the run; for a program of several stages, a tuple with one entry for each.
  steps_per_call: steps in one dispatch; divides every other number here.
  log_every: steps that one row of metrics.jsonl averages over.
  validate_every: evaluate on the validation split.
  sample_every: draw a grid of samples.
  checkpoint_every: save.
  keep: newest checkpoints kept; the best is kept besides.
  best: the validation term of the last stage whose lowest value is the best checkpoint; empty for
    none.
  layout: of parameters and optimiser state over the devices: replicated, or sharded, where each
    device keeps a slice of every large array.
  on_nonfinite: what a loss that is not finite leads to: stop, or rollback to the last checkpoint,
    to go on from there with other batches and keys.
  """

  steps: Count | Annotated[tuple[Count, ...], MinLen(1)] = 1000
  steps_per_call: Count = 1
  log_every: Natural = 50
  validate_every: Natural = 0
  sample_every: Natural = 0
  checkpoint_every: Natural = 500
  keep: Count = 2
  best: str = ""
  layout: Layout = "replicated"
  on_nonfinite: Literal["stop", "rollback"] = "stop"


@dataclasses.dataclass(frozen=True)
class Evaluate:
  """How the measures are taken.

  split: of the real data.
  samples: how many are drawn.
  batch_size: of evaluation, and the fixed chunk in which samples are drawn.
  neighbours: k of precision, recall, density and coverage.
  classifier_steps: training length of the classifiers that measures need.
  rival_steps: the same of a player's rival, for the duality gap.
  proximal_steps: of the critic near to the one that was trained, for each of them.
  proximal_weight: lambda, how near: 0 lets it go where it will.
  """

  split: str = "test"
  samples: Count = 1000
  batch_size: Count = 128
  neighbours: Count = 5
  classifier_steps: Count = 600
  rival_steps: Count = 300
  proximal_steps: Count = 10
  proximal_weight: NonNegative = 0.1


GROUPS = ("model", "data", "train", "sample", "likelihood", "evaluate")
# What a config consists of: name -> (annotation, default).
FIELDS: dict[str, tuple[Any, Any]] = {
  "builder": (str, inspect.Parameter.empty),
  "seed": (Seed, 0),
  "measures": (tuple[str, ...], ()),
  **{name: (dict, {}) for name in GROUPS},
}
# What a config is told from another by, and the fields of `data` in it that say where the data are
# or how they are read, not what they are: a digest of the data says that.
IDENTITY = ("builder", "model", "data", "seed")
WHERE = ("path", "data_dir", "resident", "threads", "batch_size")


def resolve(builder: str) -> Callable[..., Program]:
  """The function of a dotted name such as gen_jax.models.ddpm.build.

  Raises:
    UserError: if there is no such module or function.
  """
  module, _, name = builder.rpartition(".")
  try:
    return getattr(importlib.import_module(module), name)
  except (ImportError, AttributeError, ValueError) as error:
    raise UserError(f"config.builder={builder!r} cannot be imported: {error}") from error


def check_registered(config: Any, where: Any, allow: Sequence[str] = ()) -> None:
  """Refuses a config that a file holds and whose builder is neither one of gen_jax.models nor
  allowed by name. Decided before anything is imported: a run folder is data, not code.

  Raises:
    UserError: naming the builder.
  """
  builder = config.get("builder") if isinstance(config, Mapping) else None
  if not isinstance(builder, str):
    raise UserError(f"{where} names no builder: it is not the record of a run of this program")
  if builder in allow:
    return
  *package, module, name = ["", "", *builder.split(".")]
  known = package == ["", "", "gen_jax", "models"] and module.isidentifier()
  if known and (Path(__file__).parent / "models" / f"{module}.py").is_file():
    found = getattr(importlib.import_module(f"gen_jax.models.{module}"), name, None)
    if getattr(found, BUILDER, False):
      return
  raise UserError(
    f"{where} names the builder {builder!r}, which is none of gen_jax.models: give the --config"
    " that the run was made with, or name it in gen_jax.load(..., builders=[...])"
  )


def schema(builder: Callable) -> dict[str, dict[str, tuple[Any, Any]]]:
  """group -> {field: (annotation, default)} of a config for that builder."""
  of_builder = parameters(builder)
  groups = {"model": {k: v for k, v in of_builder.items() if k not in OPTIONS}}
  groups["data"] = {
    "name": (str, inspect.Parameter.empty),
    **parameters(sources.load),
    **parameters(Feed),
  }
  groups["train"], groups["evaluate"] = parameters(Train), parameters(Evaluate)
  for option in OPTIONS:
    groups[option] = parameters(of_builder[option][0]) if option in of_builder else {}
  return groups


def experiment(
  builder: str, *, seed: int = 0, measures: tuple[str, ...] = (), **groups
) -> ConfigDict:
  """A complete config: every field that the builder, the data and the trainer know, by its default
  where `groups` does not say otherwise.

  Args:
    builder: dotted name of a function (spec, **hyperparameters) -> Program.
    seed: of everything random in the run, data splits aside (`data.split_seed`).
    measures: names of the measures that evaluation takes.
    **groups: dicts `model`, `data`, `train`, `sample`, `likelihood` and `evaluate`.

  Raises:
    UserError: for a group or field that does not exist, or a value of the wrong type.
  """
  for name in groups:
    if name not in GROUPS:
      raise UserError(f"config.{name} does not exist{nearest(name, GROUPS)}")
  known = schema(resolve(builder))
  filled = {name: as_dict(complete(known[name], groups.get(name, {}), name)) for name in GROUPS}
  given = {"builder": builder, "seed": seed, "measures": measures, **filled}
  return ConfigDict(complete(FIELDS, given, ""))


def variant(name: str, variants: Mapping[str, Mapping]) -> Mapping:
  """The variant of that name.

  Raises:
    UserError: if there is none, naming the nearest.
  """
  if name not in variants:
    raise UserError(f"no variant {name!r} in this config{nearest(name, variants)}")
  return variants[name]


# What the `tiny` variants of all configs have in common.
TINY = dict(
  train=dict(
    steps=8, steps_per_call=1, log_every=2, validate_every=4, sample_every=8, checkpoint_every=4
  ),
  evaluate=dict(samples=40, batch_size=40, classifier_steps=20, rival_steps=10, proximal_steps=2),
)


def tiny(base: Mapping, *changes: Mapping) -> dict:
  """base so short that it trains, validates, samples and is measured in seconds, with changes."""
  return merge(base, TINY, *changes)


class Experiment(typing.NamedTuple):
  """A checked config in its typed parts."""

  config: dict
  data: dict
  feed: Feed
  train: Train
  evaluate: Evaluate


def parse(config: Mapping) -> Experiment:
  """Checks a config (a ConfigDict after overrides, or one read from JSON) against its schema.

  Raises:
    UserError: see `complete`; or if the intervals of `train` do not fit each other.
  """
  given = as_dict(config.to_dict() if isinstance(config, ConfigDict) else config)
  given = complete(FIELDS, given, "")
  known = schema(resolve(given["builder"]))
  groups = {name: complete(known[name], given[name], name) for name in GROUPS}
  feed = {name: groups["data"][name] for name in parameters(Feed)}
  data = {name: value for name, value in groups["data"].items() if name not in feed}
  train = Train(**groups["train"])
  check_intervals(train)
  evaluate = Evaluate(**groups["evaluate"])
  checked = {**given, **{name: as_dict(group) for name, group in groups.items()}}
  return Experiment(checked, data, Feed(**feed), train, evaluate)


def check_intervals(train: Train) -> None:
  """Refuses intervals that `steps_per_call` does not divide: they would ask for half a dispatch."""
  steps = train.steps if isinstance(train.steps, tuple) else (train.steps,)
  named = [("steps", n) for n in steps] + [
    (f"{what}_every", getattr(train, f"{what}_every"))
    for what in ("log", "validate", "sample", "checkpoint")
  ]
  for name, n in named:
    if n % train.steps_per_call:
      raise UserError(
        f"config.train.steps_per_call={train.steps_per_call} must divide config.train.{name}={n}"
      )


def build(config: Mapping, spec: Spec) -> Program:
  """The Program that a complete config describes, for data of that spec.

  Raises:
    UserError: if the builder refuses a hyperparameter.
  """
  builder = resolve(config["builder"])
  known = schema(builder)
  options = {}
  for name in OPTIONS:
    if name in parameters(builder):
      options[name] = convert(config[name], parameters(builder)[name][0], name)
  return builder(spec, **complete(known["model"], config["model"], "model"), **options)


def identity(config: Mapping) -> list:
  """What makes a complete config itself: the model with its optimiser, the data, the seed.

  Not the run's length, logging, sampling or evaluation, nor where the data lie, nor how many
  examples a batch has, which may change where a run goes on with other devices.
  """
  data = {k: v for k, v in config["data"].items() if k not in WHERE}
  if sources.is_path(data["other"]):
    data["other"] = "a folder"
  what = {**config, "data": data, "model": placeless(config["model"])}
  return json.loads(json.dumps([what[name] for name in IDENTITY], default=list))


def placeless(group: Mapping) -> dict:
  """A group of a config without the paths in it, beside each of which stands a digest."""
  of = lambda v: placeless(v) if isinstance(v, Mapping) else v
  return {k: of(v) for k, v in group.items() if not (k == "path" and "sha256" in group)}


def spec_record(spec: Spec) -> dict:
  """A spec as JSON holds it; `read_spec` is its inverse."""
  fields = {name: field._asdict() for name, field in spec.fields.items()}
  return {"x": spec.x._asdict(), "fields": fields}


def read_spec(record: Any) -> Spec:
  """The Spec of a record that `spec_record` made, before or after JSON.

  Raises:
    UserError: if it is none.
  """

  def field(given):
    kinds = {"shape": list, "levels": int | None, "names": list, "aligned": bool}
    given = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    if given.keys() != kinds.keys() or not all(isinstance(given[k], kinds[k]) for k in kinds):
      raise ValueError
    sized = all(type(n) is int and n >= 0 for n in given["shape"])
    if not sized or not all(isinstance(n, str) for n in given["names"]):
      raise ValueError
    return Field(tuple(given["shape"]), given["levels"], tuple(given["names"]), given["aligned"])

  try:
    return Spec(field(record["x"]), {name: field(f) for name, f in record["fields"].items()})
  except (ValueError, TypeError, KeyError, AttributeError):
    raise UserError("the spec of the data in config.json is none: the run folder is damaged") from (
      None
    )


def fingerprint(
  config: Mapping, specs: Sequence[Spec], sizes: Mapping[str, int], digests: Sequence[str]
) -> str:
  """A digest of what a checkpoint depends on: the config's identity, and what the data of each
  stage are."""
  what = [*identity(config), [spec_record(spec) for spec in specs], dict(sizes), [*digests]]
  text = json.dumps(what, sort_keys=True, default=list)
  return hashlib.sha256(text.encode()).hexdigest()[:16]
