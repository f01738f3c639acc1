"""Translations between two domains: to their right answers where the data hold them, there and back
again, and as a classifier of the other domain reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gen_jax import config as configs
from gen_jax import metrics
from gen_jax.core import Array, Model, Spec, unit
from gen_jax.data import ArraySplit, Source, Split
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

OPPOSITE = {"x_to_y": "y_to_x", "y_to_x": "x_to_y"}
LABELS = {"x": "label", "y": "label_y"}


def direction_of(config: dict) -> str:
  """x_to_y, where neither the sampler nor the model has a direction."""
  for section in ("sample", "model"):
    if "direction" in config.get(section, {}):
      return config[section]["direction"]
  return "x_to_y"


def ends(scene: Scene) -> tuple[str, str]:
  """The field that is translated, and that it is translated to."""
  start, to = direction_of(scene.system.config).split("_to_")
  return start, to


def alike(scene: Scene) -> bool:
  """Whether x can stand for y as it is."""
  x, y = scene.spec.x, scene.spec.fields["y"]
  return x.shape == y.shape and x.levels == y.levels


def squared_error(a: Array, b: Array, levels: int) -> Array:
  """Mean squared difference in [0, 1] of each example: integers [B, ...] -> [B]."""
  return ((unit(a, levels) - unit(b, levels)) ** 2).mean(axis=tuple(range(1, a.ndim)))


def psnr(error: float) -> float:
  """-10 log10 of a mean squared error in [0, 1], in dB; that of an error of 0 is put at 100."""
  return float(-10 * np.log10(max(error, 1e-10)))


def of_domain(split: Split, name: str) -> Split:
  """The examples of a split that have this field, in their own number."""
  return next(part for part in split.parts() if name in part[0])


def translated(scene: Scene, split: Split, start: str) -> np.ndarray:
  """Every example of a split, translated."""
  made = lambda states, batch, keys: {
    "x": scene.model.transform(states, batch[start], keys, scene.cond(batch))
  }
  return scene.terms(made, of=split)["x"]


@measure("counterpart_error", needs=("transform",), fields=("y",), notes=("counterparts",))
def translation(scene: Scene) -> dict[str, Record]:
  """Mean squared error in [0, 1] of translations, rounded to the data's levels, to their right
  answers; beside it, where the two domains are alike, that of the input left as it is. `psnr` is
  -10 log10 of each, in dB."""
  start, to = ends(scene)
  levels = scene.spec.field(to).levels
  same = alike(scene)

  def terms(states, batch, keys):
    made = scene.model.transform(states, batch[start], keys, scene.cond(batch))
    out = {"made": squared_error(made, batch[to], levels)}
    return out | ({"input": squared_error(batch[start], batch[to], levels)} if same else {})

  found = {name: float(np.mean(value)) for name, value in scene.terms(terms).items()}
  error = found["made"]
  facts: dict[str, Any] = {"direction": f"{start}_to_{to}", "psnr": psnr(error)}
  if same:
    facts |= {"of_input": found["input"], "psnr_of_input": psnr(found["input"])}
  return {"counterpart_error": scene.of_split(error, **facts)}


def one_way(system: System) -> str:
  """Whether the model translates one way only."""
  turns = "direction" in system.config.get("sample", {})
  return "" if turns else "needs a model whose config.sample has a direction"


def opposite(scene: Scene) -> Model:
  """The model that translates the other way."""
  config = scene.system.config
  turned = {"sample": {"direction": OPPOSITE[config["sample"]["direction"]]}}
  return configs.build(configs.merge(config, turned), scene.spec).model


@measure(needs=("transform",), fields=("y",), obstacle=one_way)
def cycle(scene: Scene) -> dict[str, Record]:
  """Mean squared errors in [0, 1], each with its `psnr` in dB:

  cycle_error_rounded: of an example that is translated, rounded to the data's levels, and
    translated back. What a translation hides of its input in less than a level is lost.
  identity_error: of an example of the target domain that is translated, to itself; where the
    domains are alike.
  """
  start, to = ends(scene)
  back = opposite(scene)

  def terms_of(given: str, then: Callable) -> Callable:
    def terms(states, batch, keys):
      x, cond = batch[given], scene.cond(batch)
      made = then(states, scene.model.transform(states, x, keys, cond), keys, cond)
      return {"error": squared_error(made, x, scene.spec.field(given).levels)}

    return terms

  def record(given, then):
    split = of_domain(scene.split, given)
    error = float(np.mean(scene.terms(terms_of(given, then), of=split)["error"]))
    facts = {"direction": f"{start}_to_{to}", "psnr": psnr(error)}
    return scene.of_split(error, **facts) | {"examples": len(split)}

  records = {"cycle_error_rounded": record(start, back.transform)}
  if alike(scene):
    records["identity_error"] = record(to, lambda states, made, keys, cond: made)
  return records


@measure("translated_accuracy", needs=("transform",), fields=("y", "label", "label_y"))
def translated_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of the target domain's real training split reads a translation as the
  class of what was translated. Beside it: `of_input`, what it reads in the input left as it is,
  where the domains are alike; and its accuracy on its own domain."""
  start, to = ends(scene)
  judge = scene.train_judge(domain(scene.source, to), f"real {to}")
  split = of_domain(scene.split, start)
  examples = split.arrays()
  label = examples[LABELS[start]]
  made = translated(scene, split, start)
  facts = {
    "direction": f"{start}_to_{to}",
    "extractor": "classifier of the target domain's training split",
    "extractor_accuracy": round(judge.accuracy, 4),
  }
  if alike(scene):
    facts["of_input"] = float((judge.predict(examples[start]) == label).mean())
  record = scene.of_split((judge.predict(made) == label).mean(), **facts)
  return {"translated_accuracy": record | {"examples": len(split)}}


def domain(source: Source, name: str) -> Source:
  """One domain of a source as a source of its own, with its labels."""
  spec = Spec(source.spec.field(name), {"label": source.spec.fields[LABELS[name]]})
  splits: dict[str, Split] = {}
  for part, split in source.splits.items():
    arrays = of_domain(split, name).arrays()
    splits[part] = ArraySplit({"x": arrays[name], "label": arrays[LABELS[name]]})
  return Source(f"{source.name}:{name}", spec, splits, digest=source.digest)


@measure(
  "counterpart_iou", needs=("transform",), fields=("y",), notes=("counterparts", "mask")
)  # fmt: skip
def sprites(scene: Scene) -> dict[str, Record]:
  """The IoU of the masks of translated sprites with those of their right answers, as a ratio over
  the split; beside it that of the input left as it is, and what a translation should keep of place
  (the distance of centroids, in pixels), size (the ratio of areas) and colour (mean absolute
  difference inside, in [0, 1])."""
  start, to = ends(scene)
  mask, real = scene.source.notes["mask"], scene.real
  given, wanted = (real[name].astype(np.float64) / (scene.spec.levels - 1) for name in (start, to))
  made = translated(scene, scene.split, start)
  of = lambda x: mask(np.asarray(x))
  found = metrics.likeness(made / (scene.spec.levels - 1), wanted, of(made), of(real[to]))
  untouched = metrics.likeness(given, wanted, of(real[start]), of(real[to]))
  facts = found._asdict() | {"of_input": untouched.iou, "direction": f"{start}_to_{to}"}
  return {"counterpart_iou": scene.of_split(facts.pop("iou"), **facts)}
