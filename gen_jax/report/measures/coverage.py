"""What share of the data samples cover: classes, modes, the health of a game."""

from __future__ import annotations

import numpy as np
from scipy.special import entr

from gen_jax import metrics
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure(needs=("sample",), fields=("label",))
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


@measure(needs=("sample",), notes=("modes", "mode_deviation"))
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


@measure(needs=("sample",), notes=("channels",))
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


@measure(needs=("sample",))
def health(scene: Scene) -> dict[str, Record]:
  """Whether an adversarial game looks healthy, in words: 1 if so, else 0."""
  found = metrics.game_health(scene.rows, scene.samples["x"], scene.train["x"])
  says = {"says": f"{found.verdict}: {found.why}", **found.figures}
  return {"health": scene.record(found.verdict == "healthy", **says, verdict=found.verdict)}
