"""Stacked digits: three digits as the channels of a colour image, 1000 modes to count.

After stacked MNIST (Metz et al. 2017, Unrolled GANs, section 3.3.1), of scikit-learn's 8x8 digits.
"""

from __future__ import annotations

import numpy as np

from gen_jax import core
from gen_jax.data import digits, source

SIZES = {"train": 50_000, "validation": 2_000, "test": 10_000}


def load(*, validation: float, test: float, split_seed: int) -> source.Source:
  """x uint8 [8, 8, 3] in 0..16; label 100 a + 10 b + c of digits a, b, c in the channels.

  Triples are drawn with replacement from the digits of the same split, 50k for training, 2k for
  validation and 10k to test. `notes["channels"]` is the source of the digits themselves, of which a
  classifier reads each channel.
  """
  single = digits.load(validation=validation, test=test, split_seed=split_seed)
  splits = {}
  for stream, (name, size) in enumerate(SIZES.items()):
    if name in single.splits:
      arrays = single.splits[name].arrays()
      rows = np.random.default_rng([split_seed, stream]).integers(len(arrays["x"]), size=(size, 3))
      x = np.moveaxis(arrays["x"][rows][..., 0], 1, -1)
      label = (arrays["label"][rows] @ [100, 10, 1]).astype(np.int32)
      splits[name] = source.ArraySplit({"x": x, "label": label})
  spec = core.Spec.of((8, 8, 3), levels=17, classes=1000)
  return source.Source("stacked", spec, splits, {"channels": single})
