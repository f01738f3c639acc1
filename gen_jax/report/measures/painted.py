"""Translations between photographs and label images in colours, by the classes of their pixels."""

from __future__ import annotations

import numpy as np

from gen_jax import metrics
from gen_jax.colour import classes_of
from gen_jax.report.measures.table import measure
from gen_jax.report.measures.translation import Way, each_way, translated, ways
from gen_jax.report.scene import Record, Scene

FIGURES = ("translated_iou", "translated_pixel_accuracy", "translated_class_accuracy")


def place_prior(segmentation: np.ndarray, classes: int) -> np.ndarray:
  """The class [H, W] that most label images [n, H, W] have at each place."""
  counts = np.stack([(segmentation == k).sum(0) for k in range(classes)])
  return counts.argmax(0)


@measure(*FIGURES, needs=("transform",), fields=("y", "segmentation"), notes=("painted",))
def painted(scene: Scene) -> dict[str, Record]:
  """Whether pixels of a translation are of the classes that they should be: mean IoU, the share of
  pixels, and the mean share over the classes that occur, ratios of counts over the whole split.

  A painted label image has the classes whose colours are nearest. A photograph has those that a
  U-Net reads, which learnt from real photographs: the FCN score of Isola et al. 2017 (section 4.1);
  beside it `of_real`, what the same net reads in the real ones. `of_place`: of the most frequent
  class at each place in the training split.
  """
  scores = {way.name: scored(scene, way) for way in ways(scene)}
  out: dict[str, Record] = {}
  for figure in FIGURES:
    out |= each_way(scene, figure, lambda way, figure=figure: scores[way.name][figure])
  return out


def scored(scene: Scene, way: Way) -> dict[str, Record]:
  """The figures of one way."""
  classes = scene.spec.fields["segmentation"].levels
  truth = scene.real["segmentation"]
  made = np.asarray(translated(scene, way, scene.split))
  prior = place_prior(scene.train["segmentation"], classes)
  read = (lambda x: classes_of(x, classes)) if way.to == "y" else scene.segmenter
  found = {"value": read(made), "of_place": np.broadcast_to(prior, truth.shape)}
  if way.to == "x":
    found["of_real"] = read(scene.real["x"])
  out: dict[str, dict[str, float]] = {figure: {} for figure in FIGURES}
  for name, predicted in found.items():
    counted = metrics.confusion_matrix(truth, predicted, classes)
    agreed = metrics.agreement(counted)
    values = agreed.mean_iou, agreed.pixel_accuracy, metrics.class_accuracy(counted)
    for figure, value in zip(FIGURES, values, strict=True):
      out[figure][name] = value
  return {
    figure: scene.of_split(facts.pop("value"), **facts, over="all pixels of the split")
    for figure, facts in out.items()
  }
