"""The handwritten digits that come with scikit-learn (a part of UCI's optdigits)."""

from __future__ import annotations

import numpy as np

from gen_jax import core
from gen_jax.data import source


def load(*, validation: float, test: float, split_seed: int) -> source.Source:
  """1797 digits: x uint8 [8, 8, 1] in 0..16, label 0..9."""
  from sklearn import datasets

  bunch = datasets.load_digits()
  arrays = {
    "x": bunch.images.astype(np.uint8)[..., None],
    "label": bunch.target.astype(np.int32),
  }
  spec = core.Spec.of((8, 8, 1), levels=17, classes=10, names=tuple("0123456789"))
  chosen = source.hold_out(
    {"train": len(bunch.target)}, validation=validation, test=test, seed=split_seed
  )
  splits = {
    name: source.ArraySplit({k: v[indices] for k, v in arrays.items()})
    for name, (_, indices) in chosen.items()
  }
  return source.Source("digits", spec, splits)
