"""The measures that a config can list, by kind; each is declared where it is written."""

from __future__ import annotations

import math

from gen_jax.core import UserError
from gen_jax.report.figure import of_what
from gen_jax.report.measures import (
  checkerboard,
  codes,
  colour,
  coverage,
  duality,
  fairness,
  holes,
  likelihood,
  painted,
  paths,
  restored,
  retrieval,
  samples,
  segmentation,
  sentences,
  sprites,
  superres,
  translation,
  video,
)
from gen_jax.report.measures.table import MEASURES
from gen_jax.report.scene import Record, Scene
from gen_jax.run.files import jsonable
from gen_jax.run.system import System
from gen_jax.run.waiting import waiting
from gen_jax.schema import nearest

__all__ = [
  "MEASURES",
  "check",
  "checkerboard",
  "codes",
  "colour",
  "coverage",
  "duality",
  "fairness",
  "holes",
  "likelihood",
  "line",
  "painted",
  "paths",
  "restored",
  "retrieval",
  "samples",
  "segmentation",
  "sentences",
  "sprites",
  "superres",
  "take",
  "translation",
  "video",
]


def check(system: System) -> None:
  """Refuses measures that do not exist, or that the model or the data cannot serve.

  Raises:
    UserError: in one line.
  """
  names, source, model = system.config["measures"], system.source, system.program.model
  split = system.experiment.evaluate.split
  if names and split not in source.splits:
    raise UserError(
      f"config.evaluate.split={split!r} is no split of {source.name}{nearest(split, source.splits)}"
    )
  for name in names:
    if name not in MEASURES:
      raise UserError(f"config.measures: no measure {name!r}{nearest(name, MEASURES)}")
    measure = MEASURES[name]
    for capability in measure.needs:
      if getattr(model, capability) is None:
        raise UserError(f"the measure {name} needs a model with {capability}, and this has none")
    for field in measure.cond:
      if field not in model.cond:
        raise UserError(f"the measure {name} needs a model conditioned on {field}")
    for field in measure.fields:
      if field not in system.spec.fields or (field == "label" and system.spec.classes < 2):
        called = "labels" if field == "label" else field
        raise UserError(f"the measure {name} needs data with {called}, and {source.name} has none")
    if "label" in measure.fields and "test" not in source.splits:
      raise UserError(f"the measure {name} needs a test split, and there is none: set data.test")
    for field in measure.settings:
      if not system.experiment.data[field]:
        raise UserError(f"the measure {name} needs a setting: set config.data.{field}")
    for note in measure.notes:
      if note not in source.notes:
        raise UserError(f"the measure {name} needs data with known {note}, unlike {source.name}")
    if found := measure.obstacle(system):
      raise UserError(f"the measure {name} {found} (or take it out of config.measures)")


def take(names: tuple[str, ...], scene: Scene) -> dict[str, Record]:
  """All the named measures: figure -> record, which JSON can hold.

  A figure that cannot be taken of these data or samples has the value None, and says why.
  """
  out: dict[str, Record] = {}
  for name in names:
    measure = MEASURES[name]
    try:
      with waiting(f"measuring {name}"):
        taken = measure.take(scene)
    except UserError as error:
      missing = {"value": None, "why": str(error), "split": scene.settings.split}
      taken = dict.fromkeys(measure.figures or (name,), missing)
    out |= {figure: finite_record(record) for figure, record in taken.items()}
  return out


def finite_record(record: Record) -> Record:
  """The record as JSON holds it; where its value is not finite, it is None and says why."""
  clean, value = jsonable(record), record["value"]
  if value is not None and not math.isfinite(value):
    clean = {"why": f"it came to {value}", **clean, "value": None}
  return clean


def line(figure: str, record: Record) -> str:
  """A figure in one line: what it came to, or why it is missing."""
  if record["value"] is None:
    return f"{figure:30s} {'-':>10s}   {of_what(record)}"
  says = of_what({k: v for k, v in record.items() if k != "examples" or "says" not in record})
  return f"{figure:30s} {record['value']:10.4f}   {says}"
