"""Samples beside data: distances, fidelity, diversity, copies."""

from __future__ import annotations

import numpy as np

from gen_jax import metrics
from gen_jax.data import ArraySplit
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure(needs=("sample",), fields=("label",))
def frechet(scene: Scene) -> dict[str, Record]:
  """Frechet distance of samples to the real split, beside that of the training data to it."""
  f = scene.features
  distance = metrics.frechet_distance(f["samples"], f["real"])
  floor = metrics.frechet_distance(f["train"], f["real"])
  record = scene.record(
    distance, real_examples=len(f["real"]), of_training_data=floor, **scene.extractor()
  )
  tested = len(scene.source.splits["test"])
  accuracy = {"value": scene.judge.accuracy, "examples": tested, "split": "test"}
  return {"frechet_distance": record, "extractor_accuracy": accuracy}


@measure(needs=("sample",), fields=("label",))
def prdc(scene: Scene) -> dict[str, Record]:
  """Precision, recall, density and coverage of the samples in the classifier's features."""
  f, k = scene.features, scene.settings.neighbours
  values = metrics.precision_recall_density_coverage(f["real"], f["samples"], k)
  facts = {"real_examples": len(f["real"]), "neighbours": k, **scene.extractor()}
  return {name: scene.record(value, **facts) for name, value in values.items()}


@measure(needs=("sample",), cond=("label",), fields=("label",))
def sample_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of real data reads a sample as the class that was asked for."""
  correct = scene.judge.predict(scene.samples["x"]) == scene.samples["label"]
  return {"sample_accuracy": scene.record(correct.mean(), **scene.extractor())}


@measure(needs=("sample",), cond=("label",), fields=("label",))
def trained_on_samples(scene: Scene) -> dict[str, Record]:
  """Accuracy on the real split of a classifier that saw samples only."""
  splits = {"train": ArraySplit(scene.samples), "test": scene.source.splits[scene.settings.split]}
  judge = scene.train_judge(scene.source._replace(splits=splits), "samples")
  facts = {
    "examples": len(scene.real["x"]),
    "training_samples": len(scene.samples["x"]),
    "of_real_training_data": round(scene.judge.accuracy, 4),
  }
  return {"trained_on_samples_accuracy": {**scene.record(judge.accuracy), **facts}}


@measure(needs=("sample",))
def memorisation(scene: Scene) -> dict[str, Record]:
  """Median distance of samples to their nearest training example, over that of held-out ones."""
  as_pixels = lambda x: x.reshape(len(x), -1).astype(np.float32)
  sets = (scene.samples["x"], scene.real["x"], scene.train["x"])
  ratio = metrics.nearest_train_ratio(*map(as_pixels, sets))
  facts = {"real_examples": len(scene.real["x"]), "distance": "Euclidean, pixels"}
  return {"nearest_train_ratio": scene.record(ratio, **facts)}
