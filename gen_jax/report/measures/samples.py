"""Samples beside data: distances, fidelity, diversity, copies."""

from __future__ import annotations

from gen_jax import metrics
from gen_jax.core import permutation
from gen_jax.data import ArraySplit
from gen_jax.report.measures.table import measure, too_few
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

PAIRED = 4000  # examples of a set, whose distances to those of another are all taken


def fewer_than_two(system: System) -> str:
  """A covariance needs two examples."""
  split = system.experiment.evaluate.split
  return too_few(system, 2, "two examples or more of each set", split, "samples", "train")


@measure(
  "frechet_distance", "extractor_accuracy", needs=("sample",), fields=("label",),
  obstacle=fewer_than_two,
)  # fmt: skip
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


@measure("kernel_distance", needs=("sample",), fields=("label",), obstacle=fewer_than_two)
def kernel(scene: Scene) -> dict[str, Record]:
  """Squared kernel distance of samples to the real split, beside that of the training data. It is
  unbiased, so that figures of sets of other sizes may be compared with it."""
  f = scene.features
  distance, floor = (metrics.kernel_distance(f[name], f["real"]) for name in ("samples", "train"))
  facts = {"real_examples": len(f["real"]), "of_training_data": floor, **scene.extractor()}
  return {"kernel_distance": scene.record(distance, **facts)}


def too_few_neighbours(system: System) -> str:
  """An example needs a k-th neighbour besides itself."""
  evaluate = system.experiment.evaluate
  k = evaluate.neighbours
  what = f"more examples of each set than config.evaluate.neighbours={k}"
  found = too_few(system, k + 1, what, evaluate.split, "samples")
  return f"{found}, lower config.evaluate.neighbours" if found else ""


@measure(
  "precision", "recall", "density", "coverage", needs=("sample",), fields=("label",),
  obstacle=too_few_neighbours,
)  # fmt: skip
def prdc(scene: Scene) -> dict[str, Record]:
  """Precision, recall, density and coverage of the samples in the classifier's features."""
  f, k = scene.features, scene.settings.neighbours
  values = metrics.precision_recall_density_coverage(f["real"], f["samples"], k)
  facts = {"real_examples": len(f["real"]), "neighbours": k, **scene.extractor()}
  return {name: scene.record(value, **facts) for name, value in values.items()}


@measure("sample_accuracy", needs=("sample",), cond=("label",), fields=("label",))
def sample_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of real data reads a sample as the class that was asked for."""
  correct = scene.judge.predict(scene.samples["x"]) == scene.samples["label"]
  return {"sample_accuracy": scene.record(correct.mean(), **scene.extractor())}


@measure("trained_on_samples_accuracy", needs=("sample",), cond=("label",), fields=("label",))
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


def nothing_held_out(system: System) -> str:
  """Training examples lie at no distance from themselves."""
  inside = system.experiment.evaluate.split == "train"
  return "needs examples that were not learnt from: set config.evaluate.split" if inside else ""


@measure(
  "nearest_train_ratio", "nearer_than_held_out", needs=("sample",), obstacle=nothing_held_out
)
def memorisation(scene: Scene) -> dict[str, Record]:
  """How near samples lie to the training set: their median distance to it over that of held-out
  examples, and the share of them that lie as near as only the nearest 1% of held-out ones do."""
  as_pixels = lambda x: x.reshape(len(x), -1)
  sets = (scene.samples["x"], scene.real["x"], scene.train["x"])
  found = metrics.data_copying(*map(as_pixels, sets))
  facts = {"real_examples": len(scene.real["x"]), "distance": "Euclidean, pixels"}
  nearer = {"of_held_out": found.held_out_nearer, "radius": found.radius, **facts}
  if found.ratio is None:
    facts["why"] = "at least half of the held-out examples are in the training set too"
  return {
    "nearest_train_ratio": scene.record(found.ratio, **facts),
    "nearer_than_held_out": scene.record(found.nearer, **nearer),
  }


def uncounted(system: System) -> str:
  """One pass of a decoder, a GAN's generator or a flow is no count to compare."""
  solved = system.program.model.calls
  return "" if solved else "counts the calls of a solver, and none draws this model's samples"


@measure("function_evaluations", needs=("sample",), obstacle=uncounted)
def function_evaluations(scene: Scene) -> dict[str, Record]:
  """How often the network is asked for a sample; guidance asks it twice."""
  facts = {"says": "network calls a sample", **scene.system.config["sample"]}
  return {"function_evaluations": {"value": float(scene.model.calls), **facts}}


def no_vectors(system: System) -> str:
  """Distances of vectors, in the data's own units."""
  if len(system.spec.shape) != 1 or system.spec.levels is not None:
    return "is of vectors of real values"
  return fewer_than_two(system)


@measure("energy_distance", "sliced_wasserstein", needs=("sample",), obstacle=no_vectors)
def distances(scene: Scene) -> dict[str, Record]:
  """Energy distance and sliced Wasserstein-2 distance of as many samples and examples of the split,
  beside those of as many training examples; at most PAIRED of each."""
  sets = scene.samples["x"], scene.real["x"], scene.train["x"]
  n = min(PAIRED, *map(len, sets))
  samples, real, train = (x[permutation(len(x))[:n]] for x in sets)
  found = {}
  for function in (metrics.energy_distance, metrics.sliced_wasserstein):
    floor, value = function(train, real), function(samples, real)
    found[function.__name__] = scene.record(value, of_training_data=floor, compared=n)
  return found
