"""Translations between two domains: to their right answers where the data hold them, there and back
again, and as a classifier of the other domain reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gen_jax import config as configs
from gen_jax import metrics
from gen_jax.core import Array, Model, Spec, unit
from gen_jax.data import ArraySplit, Source, Split
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

LABELS = {"x": "label", "y": "label_y"}


class Way(NamedTuple):
  """A direction of translation: the model that goes it, and the fields it goes from and to."""

  model: Model
  start: str
  to: str

  @property
  def name(self) -> str:
    return f"{self.start}_to_{self.to}"


def ways(scene: Scene) -> list[Way]:
  """The way that the model goes; and where the config's sampler says which, the other way too."""
  start = scene.model.given
  to = {"x": "y", "y": "x"}[start]
  first = Way(scene.model, start, to)
  if "direction" not in scene.system.config.get("sample", {}):
    return [first]
  return [first, Way(opposite(scene, f"{to}_to_{start}"), to, start)]


def opposite(scene: Scene, direction: str) -> Model:
  """The model that translates that way."""
  config = configs.merge(scene.system.config, {"sample": {"direction": direction}})
  return configs.build(config, scene.spec).model


def each_way(scene: Scene, figure: str, take: Callable[[Way], Record]) -> dict[str, Record]:
  """A figure of the way that the config says, with that of the other way in it, if there is one."""
  found = [take(way) | {"direction": way.name} for way in ways(scene)]
  return {figure: found[0] | ({"other_way": found[1]} if len(found) > 1 else {})}


def alike(scene: Scene) -> bool:
  """Whether x can stand for y as it is."""
  x, y = scene.spec.x, scene.spec.fields["y"]
  return x.shape == y.shape and x.levels == y.levels


def squared_error(a: Array, b: Array, levels: int) -> Array:
  """Mean squared difference in [0, 1] of each example: integers [B, ...] -> [B]."""
  return ((unit(a, levels) - unit(b, levels)) ** 2).mean(axis=tuple(range(1, a.ndim)))


def psnr(error: float) -> float:
  """-10 log10 of a mean squared error in [0, 1], in dB; that of an error of 0 is put at 100."""
  return float(metrics.decibels(error))


def of_domain(split: Split, name: str) -> Split:
  """The examples of a split that have this field, in their own number."""
  return next(part for part in split.parts() if name in part[0])


def translated(scene: Scene, way: Way, split: Split) -> np.ndarray:
  """Every example of a split, translated."""
  made = lambda states, batch, keys: {
    "x": way.model.transform(states, batch[way.start], keys, scene.cond(batch))
  }
  return scene.terms(made, of=split)["x"]


def mean_error(scene: Scene, error: Callable, split: Split) -> float:
  """The mean over a split of (states, batch, keys, cond) -> [B]."""
  terms = lambda states, batch, keys: {"error": error(states, batch, keys, scene.cond(batch))}
  return float(np.mean(scene.terms(terms, of=split)["error"]))


def of(split: Split, scene: Scene, value: float, **facts) -> Record:
  """A figure over all examples of one domain of the split."""
  return scene.of_split(value, **facts) | {"examples": len(split)}


@measure("counterpart_error", needs=("transform",), fields=("y",), notes=("counterparts",))
def translation(scene: Scene) -> dict[str, Record]:
  """Mean squared error in [0, 1] of translations, rounded to the data's levels, to their right
  answers; beside it, where the two domains are alike, that of the input left as it is. `psnr` is
  -10 log10 of each, in dB."""

  def take(way):
    levels = scene.spec.field(way.to).levels

    def made(states, batch, keys, cond):
      x = way.model.transform(states, batch[way.start], keys, cond)
      return squared_error(x, batch[way.to], levels)

    error = mean_error(scene, made, scene.split)
    facts = {"psnr": psnr(error)}
    if alike(scene):
      untouched = lambda states, batch, *rest: squared_error(batch["x"], batch["y"], levels)
      facts["of_input"] = mean_error(scene, untouched, scene.split)
      facts["psnr_of_input"] = psnr(facts["of_input"])
    return scene.of_split(error, **facts)

  return each_way(scene, "counterpart_error", take)


def one_way(system: System) -> str:
  """Whether the model translates one way only."""
  turns = "direction" in system.config.get("sample", {})
  return "" if turns else "needs a model whose config.sample has a direction"


@measure(needs=("transform",), fields=("y",), obstacle=one_way)
def cycle(scene: Scene) -> dict[str, Record]:
  """Mean squared errors in [0, 1], each with its `psnr` in dB:

  cycle_error_rounded: of an example that is translated, rounded to the data's levels, and
    translated back. What a translation hides of its input in less than a level is lost.
  identity_error: of an example of the target domain that is translated, to itself; where the
    domains are alike.
  """
  first, *others = ways(scene)
  leads_to = {way.to: way for way in (first, *others)}

  def error_of(domain: str, then: Callable, way: Way) -> Record:
    levels, split = scene.spec.field(domain).levels, of_domain(scene.split, domain)

    def error(states, batch, keys, cond):
      x = batch[domain]
      made = way.model.transform(states, x, keys, cond)
      return squared_error(then(states, made, keys, cond), x, levels)

    value = mean_error(scene, error, split)
    return of(split, scene, value, psnr=psnr(value))

  there_and_back = lambda way: error_of(way.start, leads_to[way.start].model.transform, way)
  kept = lambda way: error_of(way.to, lambda states, made, keys, cond: made, way)
  records = each_way(scene, "cycle_error_rounded", there_and_back)
  return records | (each_way(scene, "identity_error", kept) if alike(scene) else {})


@measure("translated_accuracy", needs=("transform",), fields=("y", "label", "label_y"))
def translated_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of the target domain's real training split reads a translation as the
  class of what was translated. Beside it: `of_input`, what it reads in the input left as it is,
  where the domains are alike; and its accuracy on its own domain."""

  def take(way):
    judge = scene.train_judge(domain(scene.source, way.to), f"real {way.to}")
    split = of_domain(scene.split, way.start)
    examples = split.arrays()
    label = examples[LABELS[way.start]]
    made = translated(scene, way, split)
    facts: dict[str, Any] = {
      "extractor": "classifier of the target domain's training split",
      "extractor_accuracy": round(judge.accuracy, 4),
    }
    if alike(scene):
      facts["of_input"] = float((judge.predict(examples[way.start]) == label).mean())
    return of(split, scene, (judge.predict(made) == label).mean(), **facts)

  return each_way(scene, "translated_accuracy", take)


def domain(source: Source, name: str) -> Source:
  """One domain of a source as a source of its own, with its labels."""
  spec = Spec(source.spec.field(name), {"label": source.spec.fields[LABELS[name]]})
  splits: dict[str, Split] = {}
  for part, split in source.splits.items():
    arrays = of_domain(split, name).arrays()
    splits[part] = ArraySplit({"x": arrays[name], "label": arrays[LABELS[name]]})
  return Source(f"{source.name}:{name}", spec, splits, digest=source.digest)


@measure("counterpart_iou", needs=("transform",), fields=("y",), notes=("counterparts", "mask"))
def sprite_counterparts(scene: Scene) -> dict[str, Record]:
  """The IoU of the masks of translated sprites with those of their right answers, as a ratio over
  the split; beside it that of the input left as it is, and what a translation should keep of place
  (the distance of centroids, in pixels), size (the ratio of areas) and colour (mean absolute
  difference inside, in [0, 1])."""
  mask, real, scale = scene.source.notes["mask"], scene.real, scene.spec.levels - 1
  bright = lambda x: np.asarray(x, np.float64) / scale

  def compared(x, y):
    return metrics.likeness(bright(x), bright(y), mask(np.asarray(x)), mask(np.asarray(y)))

  def take(way):
    facts = compared(translated(scene, way, scene.split), real[way.to])._asdict()
    untouched = compared(real[way.start], real[way.to]).iou
    return scene.of_split(facts.pop("iou"), of_input=untouched, **facts)

  return each_way(scene, "counterpart_iou", take)
