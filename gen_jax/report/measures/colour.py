"""Colours that a model gave back to pictures in grey, beside the real ones."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import metrics
from gen_jax.colour import rgb_to_lab
from gen_jax.core import as_integers, fold_each, unit
from gen_jax.report.measures.table import measure, translates
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

AT_ONCE = 256


def unfit(system: System) -> str:
  """Of RGB pictures, and of the same picture that is observed in grey."""
  shape, levels = system.spec.shape, system.spec.levels
  if found := translates(system):
    return found
  return "" if len(shape) == 3 and shape[-1] == 3 and levels else "needs RGB images with levels"


def colours_of(x: np.ndarray, levels: int) -> np.ndarray:
  """ab float64 [n H W, 2] of RGB [n, H, W, 3]."""
  convert = jax.jit(lambda x: rgb_to_lab(unit(x, levels))[..., 1:])
  parts = [np.asarray(convert(x[i : i + AT_ONCE])) for i in range(0, len(x), AT_ONCE)]
  return np.concatenate(parts).reshape(-1, 2).astype(np.float64)


def grey(scene: Scene, x: np.ndarray) -> np.ndarray:
  """What the model is given of x [n, H, W, 3]: [n, H, W, 3], in the data's levels."""
  observe, key = jax.jit(scene.model.observe), scene.trained.key("evaluate")
  made = []
  for start in range(0, len(x), AT_ONCE):
    part = x[start : start + AT_ONCE]
    made.append(observe(scene.states, part, fold_each(key, jnp.arange(len(part))), None))
  return np.concatenate([np.asarray(each) for each in made])


def parts_of_training(scene: Scene) -> Iterator[np.ndarray]:
  split = scene.source.splits["train"]
  for start in range(0, len(split), AT_ONCE):
    yield split.take(np.arange(start, min(start + AT_ONCE, len(split))))["x"]


@measure(
  "ab_rmse", "auc", "auc_rebalanced", "chroma_ratio", needs=("observe", "transform"), obstacle=unfit
)
def colour(scene: Scene) -> dict[str, Record]:
  """Distances in ab of pixels to their own colour, of pictures clipped to sRGB and rounded:

  ab_rmse: the root of the mean square; `mean_distance` beside it, and `cell_entropy`: that of the
    cell of 10 x 10 that a pixel's own colour is in, in nats.
  auc, auc_rebalanced: the area under the share of pixels within t = 0..150, in percent; all pixels
    alike, or all cells of 10 x 10.
  chroma_ratio: the mean length of ab over that of the real colours.

  Beside each, `of_grey`: of ab = 0; and `of_table`: of the mean ab that the training split has at
  the grey level that the model is given of a pixel.
  """
  levels = scene.spec.levels
  table = metrics.ColourTable(levels)
  for x in parts_of_training(scene):
    table.add(grey(scene, x)[..., 0].reshape(-1), colours_of(x, levels))
  real = colours_of(scene.real["x"], levels)
  weight = metrics.cell_weights(real)
  guesses = {
    "value": colours_of(np.asarray(scene.transformed), levels),
    "of_grey": np.zeros_like(real),
    "of_table": table(grey(scene, scene.real["x"])[..., 0].reshape(-1)),
  }
  found: dict[str, dict[str, float]] = {
    figure: {} for figure in ("ab_rmse", "auc", "auc_rebalanced", "chroma_ratio")
  }
  chroma = np.linalg.norm(real, axis=1).mean()
  for name, ab in guesses.items():
    distance = np.linalg.norm(ab - real, axis=1)
    found["ab_rmse"][name] = float((distance**2).mean() ** 0.5)
    found["auc"][name] = metrics.accumulated(distance)
    found["auc_rebalanced"][name] = metrics.accumulated(distance, weight)
    if chroma:
      found["chroma_ratio"][name] = float(np.linalg.norm(ab, axis=1).mean() / chroma)
    if name == "value":
      found["ab_rmse"]["mean_distance"] = float(distance.mean())
  found["ab_rmse"]["cell_entropy"] = metrics.cell_entropy(real)
  if not chroma:
    found["chroma_ratio"] = {"value": float("nan"), "why": "the split has no colours"}
  return {name: scene.of_split(f.pop("value"), **f) for name, f in found.items()}


@measure(
  "recoloured_accuracy", needs=("observe", "transform"), fields=("label",), obstacle=unfit
)  # fmt: skip
def recoloured_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of real pictures in colours reads x as its class when it is recoloured.

  Beside it: `of_grey`, what it reads in the picture that the model is given, and `of_real`.
  """
  real, label, read = scene.real["x"], scene.real["label"], scene.judge.predict
  recoloured = np.asarray(as_integers(np.rint(scene.transformed), scene.spec.levels))
  right = lambda x: float((read(x) == label).mean())
  facts = {"of_grey": right(grey(scene, real)), "of_real": right(real), **scene.extractor()}
  return {"recoloured_accuracy": scene.of_split(right(recoloured), **facts)}
