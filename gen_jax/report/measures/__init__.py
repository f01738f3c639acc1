"""The measures that a config can list, by kind; each is declared where it is written."""

from __future__ import annotations

from gen_jax.core import UserError
from gen_jax.report.measures import (
  codes,
  coverage,
  fairness,
  likelihood,
  samples,
  segmentation,
  translation,
)
from gen_jax.report.measures.table import MEASURES
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System
from gen_jax.schema import nearest

__all__ = [
  "MEASURES", "check", "codes", "coverage", "fairness", "likelihood", "samples", "segmentation",
  "take", "translation",
]  # fmt: skip


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


def take(names: tuple[str, ...], scene: Scene) -> dict[str, Record]:
  """All the named measures: figure -> record."""
  out: dict[str, Record] = {}
  for name in names:
    out |= MEASURES[name].take(scene)
  return out
