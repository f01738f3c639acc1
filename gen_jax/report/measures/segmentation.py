"""Label images, predicted beside true. Whole images are measured, where patches are learnt from."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import numpy as np

from gen_jax import metrics
from gen_jax.core import Array
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.report.tiles import tiled
from gen_jax.run.system import System

THRESHOLDS = np.linspace(0.05, 0.95, 19)


def label_images(
  scene: Scene, read: Callable[[Array], Array]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """(true labels [H, W], what is read in the logits) of every image of the split.

  Args:
    scene: of a model that predicts pixels.
    read: logits [B, H, W, K] -> [B, H, W].
  """
  predict, split = scene.model.predict, scene.split
  if not scene.system.experiment.data.get("patch"):
    made = lambda states, batch, keys: {"read": read(predict(states, batch["x"]))}
    yield from zip(scene.real["segmentation"], scene.terms(made)["read"], strict=True)
    return
  make = jax.jit(lambda states, x: read(predict(states, x)))
  one = lambda x: np.asarray(make(scene.states, x[None]))[0]
  stride, context = scene.model.stride, scene.model.context
  for i in range(len(split)):
    example = split.whole(i)
    height, width = example["segmentation"].shape
    more = [(0, -n % stride) for n in (height, width)]
    x = np.pad(example["x"], (*more, (0, 0)), mode="edge")
    found = one(x) if context is None else tiled(one, x, context)
    yield example["segmentation"], found[:height, :width]


def ignored(scene: Scene) -> int:
  """The model's label of pixels that do not count, -1 for none."""
  return scene.system.config.get("model", {}).get("ignore", -1)


@measure(
  "mean_iou", "dice", "pixel_accuracy", "foreground_iou", needs=("predict",),
  fields=("segmentation",),
)  # fmt: skip
def segmentation(scene: Scene) -> dict[str, Record]:
  """Mean IoU and Dice over the classes that occur, pixel accuracy, and the IoU of the foreground.

  Ratios of counts over the pixels of the whole split, not means over images. Pixels of the model's
  `ignore` label are left out.
  """
  field = scene.spec.fields["segmentation"]
  counted = np.zeros((field.levels, field.levels), np.int64)
  for truth, predicted in label_images(scene, lambda logits: logits.argmax(-1)):
    counted += metrics.confusion_matrix(truth, predicted, field.levels, ignored(scene))
  found = metrics.agreement(counted)
  names = field.names or tuple(map(str, range(field.levels)))
  pixels = {"pixels": int(counted.sum()), "over": "all pixels of the split"}
  of_class = {f"iou_{n}": float(v) for n, v in zip(names, found.iou, strict=True) if v == v}
  dice = {f"dice_{n}": 2 * v / (1 + v) for n, v in zip(names, found.iou.tolist()) if v == v}

  def record(value, **facts):
    missing = {} if value == value else {"why": "no pixel of the split is counted in it"}
    return scene.of_split(value, **pixels, **facts, **missing)

  return {
    "mean_iou": record(found.mean_iou, **of_class),
    "dice": record(found.dice, **dice),
    "pixel_accuracy": record(found.pixel_accuracy),
    "foreground_iou": record(found.foreground_iou),
  }


def not_of_two(system: System) -> str:
  """Class 1 is a region, class 0 a border."""
  levels = system.spec.fields["segmentation"].levels
  return "" if levels == 2 else f"is of borders and regions, two classes, and these have {levels}"


@measure(
  "rand_score", "information_score", needs=("predict",), fields=("segmentation",),
  obstacle=not_of_two,
)  # fmt: skip
def regions(scene: Scene) -> dict[str, Record]:
  """Rand and information scores of the regions that pixels of class 1 make up, over the pixels of
  true regions: means over images, at the threshold of p(class 1) that is best for each
  (`threshold`; `at_half` is the score at 1/2). `of_one_region`: of all pixels as one region."""
  scores, whole = [], []
  for truth, p in label_images(scene, lambda logits: jax.nn.softmax(logits)[..., 1]):
    truth = truth == 1
    scores.append([metrics.region_scores(truth, p > t) for t in THRESHOLDS])
    whole.append(metrics.region_scores(truth, np.ones_like(truth)))
  table, one = (np.nanmean(np.array(v, np.float64), axis=0) for v in (scores, whole))

  def record(i):
    best = int(table[:, i].argmax())
    facts = {"threshold": float(THRESHOLDS[best]), "at_half": float(table[9, i])}
    return scene.of_split(table[best, i], of_one_region=float(one[i]), **facts)

  return {"rand_score": record(0), "information_score": record(1)}
