"""The shares of classes among samples, for a judge whose reading is known."""

import types

import numpy as np
import pytest

from gen_jax.core import Spec
from gen_jax.run import measures


def scene_of(samples, real, classes):
  judge = measures.Judge(lambda x: x[:, 0], None, 0.9)
  record = lambda value, **facts: {"value": float(value), **facts}
  return types.SimpleNamespace(
    source=types.SimpleNamespace(spec=Spec((1,), classes=classes)), judge=judge, record=record,
    samples={"x": np.array(samples)[:, None]}, real={"x": np.array(real)[:, None]},
    extractor=lambda: {},
  )  # fmt: skip


@pytest.mark.parametrize(
  "samples,smallest,entropy",
  [
    ([0, 1, 2, 3], 0.25, np.log(4)),
    ([0, 0, 1, 1, 2, 2], 0, np.log(3)),  # class 3 is lost
    ([2, 2, 2], 0, 0),
    ([0, 0, 0, 0, 0, 1, 2, 3], 0.125, 5 / 8 * np.log(8 / 5) + 3 / 8 * np.log(8)),
  ],
)
def test_class_shares(samples, smallest, entropy):
  found = measures.class_shares(scene_of(samples, [0, 1, 2, 3, 3, 3, 3, 3], 4))
  assert found["smallest_class_share"]["value"] == smallest
  np.testing.assert_allclose(found["class_share_entropy"]["value"], entropy, atol=1e-12)
  assert found["smallest_class_share"]["of_real_data"] == 0.125
  assert set(found) == set(measures.MEASURES["class_shares"].keys)
