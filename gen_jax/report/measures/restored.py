"""What a classifier reads in restored examples."""

from __future__ import annotations

import numpy as np

from gen_jax.core import as_integers
from gen_jax.report.measures.table import measure, translates
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System


def unfit(system: System) -> str:
  """The class is that of x, and the classifier reads integers."""
  if found := translates(system):
    return found
  return "" if system.spec.levels else "needs data with levels"


@measure("restored_accuracy", needs=("transform",), fields=("label",), obstacle=unfit)
def restored_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of real data reads x as its class when it is restored, rounded to the
  data's levels. The classifier is no part of the model, whatever that learnt from.

  Beside it: `of_real`, the same of x itself; and `feature_error`, the mean squared distance of
  restored x to x in the classifier's last hidden layer, over the variance there.
  """
  real, label = scene.real["x"], scene.real["label"]
  restored = np.asarray(as_integers(np.rint(scene.transformed), scene.spec.levels))
  read = scene.judge.predict
  far, near = scene.judge.features(restored), scene.judge.features(real)
  variance = near.var(axis=0, dtype=np.float64).sum()
  distance = ((far - near) ** 2).sum(axis=1, dtype=np.float64).mean()
  facts = {
    "of_real": float((read(real) == label).mean()),
    "feature_error": float(distance / variance) if variance else None,
    **scene.extractor(),
  }
  return {"restored_accuracy": scene.of_split((read(restored) == label).mean(), **facts)}
