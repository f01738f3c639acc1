"""What is made of small pictures, beside the pictures that they were made of and the bicubic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import metrics
from gen_jax.core import as_integers, fold_each, stream
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System


class Triple(NamedTuple):
  """Y [n, H, W] in whole numbers of 16..235, without the border: wanted, made, bicubic."""

  wanted: np.ndarray
  made: np.ndarray
  bicubic: np.ndarray


def unfit(system: System) -> str:
  """It is of models that make pictures larger by a factor that their config says."""
  if "scale" not in system.config.get("model", {}):
    return "needs a model that enlarges pictures, whose config.model has a scale"
  size = min(system.spec.shape[:2]) - 2 * system.config["model"]["scale"]
  if size < metrics.SMALLEST:
    return (
      f"needs {metrics.SMALLEST} pixels or more within a border of the scale, and these pictures"
      f" have {size}: give a larger data.resolution"
    )
  return ""


def enlarged(scene: Scene) -> Callable:
  """(states, batch, keys) -> the picture, what is made of the small one, and its bicubic, of sizes
  that the scale divides and in the data's levels, rounded."""
  model, levels = scene.model, scene.spec.levels
  scale = scene.system.config["model"]["scale"]

  def terms(states, batch, keys):
    cond = scene.cond(batch)
    small = model.observe(states, batch["x"], keys, cond)
    made = model.transform(states, small, keys, cond)
    height, width = made.shape[1:3]
    bicubic = jax.image.resize(small.astype(made.dtype), made.shape, "cubic")
    assert (height, width) == tuple(scale * n for n in small.shape[1:3])
    whole = lambda x: as_integers(jnp.round(x), levels)
    return {"x": batch["x"][:, :height, :width], "made": whole(made), "bicubic": whole(bicubic)}

  return terms


def pictures(scene: Scene) -> Iterator[dict[str, np.ndarray]]:
  """{x, made, bicubic: [n, H, W, C]} of the split in parts of one size, in its order: whole images
  one by one where examples are patches of them."""
  if not scene.system.experiment.data.get("patch"):
    yield scene.terms(enlarged(scene))
    return
  make, key = jax.jit(enlarged(scene)), stream(scene.key, "evaluate")
  for i in range(len(scene.split)):
    batch = {name: np.asarray(value)[None] for name, value in scene.split.whole(i).items()}
    made = make(scene.states, batch, fold_each(key, jnp.array([i])))
    yield {name: np.asarray(value) for name, value in made.items()}


def triples(scene: Scene) -> Iterator[Triple]:
  """Of every picture of the split."""
  crop, top = scene.system.config["model"]["scale"], scene.spec.levels - 1

  def seen(x):
    y = metrics.luminance(x * (metrics.PEAK / top))
    return y[..., crop:-crop, crop:-crop]

  for part in pictures(scene):
    yield Triple(*(seen(part[name]) for name in ("x", "made", "bicubic")))


def mean(values: list[np.ndarray]) -> float:
  return float(np.mean(np.concatenate(values)))


@measure("psnr_y", "ssim_y", "detail_y", needs=("observe", "transform"), obstacle=unfit)
def superres(scene: Scene) -> dict[str, Record]:
  """Of Y of BT.601 in whole numbers, without a border of as many pixels as the scale, each the mean
  over images and beside that of the bicubic:

  psnr_y: in dB; of equal pictures it is put at 100.
  ssim_y: by a Gaussian window of 11 pixels, of those windows that lie within the picture.
  detail_y: the share of a picture's energy above half of what the small picture can hold, 1 / (4
    scale) cycles a pixel; `of_real` is that of the pictures themselves.
  """
  scale = scene.system.config["model"]["scale"]
  share = lambda y: metrics.detail(y, 1 / (4 * scale))
  found: dict[str, list[np.ndarray]] = {}

  def note(name, value):
    found.setdefault(name, []).append(value)

  for wanted, made, bicubic in triples(scene):
    for name, y in (("made", made), ("bicubic", bicubic)):
      note(f"psnr_{name}", metrics.psnr(y, wanted))
      note(f"ssim_{name}", metrics.ssim(y, wanted))
      note(f"detail_{name}", share(y))
    note("detail_real", share(wanted))
  value = {name: mean(values) for name, values in found.items()}
  facts = {"scale": scale, "crop": scale, "over": "Y of BT.601, means over images"}
  records = {
    f"{name}_y": scene.of_split(value[f"{name}_made"], bicubic=value[f"{name}_bicubic"], **facts)
    for name in ("psnr", "ssim", "detail")
  }
  records["detail_y"]["of_real"] = value["detail_real"]
  return records
