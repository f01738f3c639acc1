"""What share of the data samples cover: classes, modes, the health of a game."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import entr

from gen_jax import metrics
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.setup import shapes_of_update
from gen_jax.run.system import System


@measure(
  "smallest_class_share", "class_share_entropy", "class_diversity", needs=("sample",),
  fields=("label",),
)  # fmt: skip
def class_shares(scene: Scene) -> dict[str, Record]:
  """How evenly samples fall on the classes that a classifier of real data reads in them: the
  smallest share, and the entropy of the shares in nats. A mode that was lost is a share near 0.
  Besides, how far apart samples of a class lie from each other, over how far real ones do."""
  classes = scene.spec.classes
  read = {"samples": scene.samples["x"], "real": scene.real["x"]}
  label = {name: scene.judge.predict(x) for name, x in read.items()}

  def shares(name):
    return np.bincount(label[name], minlength=classes) / len(label[name])

  entropy = lambda p: float(entr(p).sum())
  drawn, real = shares("samples"), shares("real")
  facts = {"real_examples": len(scene.real["x"]), "classes": classes, **scene.extractor()}
  of_real = lambda value: facts | {"of_real_data": float(value)}
  diversity = metrics.diversity_within_classes(
    read["samples"], label["samples"], read["real"], label["real"]
  )
  return {
    "smallest_class_share": scene.record(drawn.min(), **of_real(real.min()), shares=drawn.tolist()),
    "class_share_entropy": scene.record(entropy(drawn), **of_real(entropy(real))),
    "class_diversity": scene.record(diversity, distance="Euclidean, data's units", **facts),
  }


@measure(*metrics.Modes._fields, needs=("sample",), notes=("modes", "mode_deviation"))
def modes(scene: Scene) -> dict[str, Record]:
  """How many of the modes of the mixture that the data are from the samples cover, what share of
  the samples lies within three standard deviations of one, and how unevenly they cover them."""
  notes = scene.source.notes
  found = metrics.mode_coverage(scene.samples["x"], notes["modes"], notes["mode_deviation"])
  real = metrics.mode_coverage(scene.real["x"], notes["modes"], notes["mode_deviation"])
  of_real = real._asdict()
  return {
    name: scene.record(value, of_real_data=of_real[name], modes=len(notes["modes"]))
    for name, value in found._asdict().items()
  }


def no_test_of_channels(system: System) -> str:
  """The classifier of channels is tested on what it did not learn from."""
  there = "test" in system.source.notes["channels"].splits
  return "" if there else "needs a test split, and there is none: set data.test"


@measure(
  "channel_modes", "channel_reverse_kl", needs=("sample",), notes=("channels",),
  obstacle=no_test_of_channels,
)  # fmt: skip
def channel_modes(scene: Scene) -> dict[str, Record]:
  """How many combinations of classes occur that a classifier of single channels reads in those of
  the samples, and in nats the divergence of their shares q from even ones, KL(q || uniform)."""
  single = scene.source.notes["channels"]
  judge, classes = scene.train_judge(single, "real"), single.spec.classes

  def shares(x):
    read = [judge.predict(x[..., c : c + 1]) for c in range(x.shape[-1])]
    code = np.ravel_multi_index(read, (classes,) * len(read))
    return np.unique(code, return_counts=True)[1] / len(code)

  modes = classes ** scene.spec.shape[-1]
  divergence = lambda q: float(np.log(modes) + (q * np.log(q)).sum())
  drawn, real = shares(scene.samples["x"]), shares(scene.real["x"])
  facts = {"modes": modes, "real_examples": len(scene.real["x"])}
  facts |= {"extractor_accuracy": round(judge.accuracy, 4)}
  return {
    "channel_modes": scene.record(len(drawn), of_real_data=len(real), **facts),
    "channel_reverse_kl": scene.record(divergence(drawn), of_real_data=divergence(real), **facts),
  }


def no_game(system: System) -> str:
  """The verdict rests on what a critic gives real and fake examples."""
  game = "critic_on_real" in shapes_of_update(system)
  return "" if game else "is of adversarial games, and this model has no critic"


def kind_of(scene: Scene) -> Callable[[np.ndarray], np.ndarray] | None:
  """x -> the mode or class that it is nearest to or read as; None where the data have neither."""
  notes = scene.source.notes
  if "modes" in notes:
    return lambda x: metrics.nearest_indices(x, notes["modes"], 1)[:, 0]
  if scene.spec.classes > 1 and "test" in scene.source.splits:
    return scene.judge.predict
  return None


@measure("health", needs=("sample",), obstacle=no_game)
def health(scene: Scene) -> dict[str, Record]:
  """Whether an adversarial game looks healthy, in words: 1 if so, else 0."""
  drawn, kind, kinds = scene.samples["x"], kind_of(scene), None
  if kind is not None and np.isfinite(drawn).all():
    kinds = metrics.Kinds(kind(drawn), kind(scene.real["x"]))
  found = metrics.game_health(scene.rows, drawn, scene.train["x"], kinds)
  says = {"says": f"{found.verdict}: {found.why}", **found.figures}
  return {"health": scene.record(found.verdict == "healthy", **says, verdict=found.verdict)}
