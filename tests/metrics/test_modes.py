"""Modes counted in planted samples."""

import math

import numpy as np
import pytest

from gen_jax.data import load
from gen_jax.metrics import mode_coverage

RING = load("toy2d:ring8")
CENTRES, DEVIATION = RING.notes["modes"], RING.notes["mode_deviation"]
rng = np.random.default_rng(0)


def planted(modes, n=400):
  """n samples of each of the named modes."""
  label = np.repeat(modes, n)
  return CENTRES[label] + DEVIATION * rng.standard_normal((len(label), 2))


def test_the_mixture_itself():
  found = mode_coverage(RING.splits["test"].arrays()["x"], CENTRES, DEVIATION)
  assert found.modes_covered == 8
  # Two dimensions: P(|x - centre| <= 3 sigma) = 1 - exp(-9/2).
  np.testing.assert_allclose(found.high_quality_share, 1 - math.exp(-4.5), atol=2e-3)
  assert 0 <= found.reverse_kl < 1e-3


@pytest.mark.parametrize("modes", [[3], [0, 4], [1, 2, 5, 7]])
def test_lost_modes_and_the_divergence_of_even_shares_on_the_others(modes):
  found = mode_coverage(CENTRES[np.repeat(modes, 50)], CENTRES, DEVIATION)
  assert found.modes_covered == len(modes) and found.high_quality_share == 1
  np.testing.assert_allclose(found.reverse_kl, math.log(8 / len(modes)), rtol=1e-9)


def test_the_divergence_of_uneven_shares():
  # 1/2, 1/4, 1/4 of eight modes: KL = 1/2 log 4 + 1/2 log 2.
  x = CENTRES[[0] * 4 + [1] * 2 + [2] * 2]
  np.testing.assert_allclose(mode_coverage(x, CENTRES, 0.01).reverse_kl, 1.5 * math.log(2))


def test_what_lies_between_modes_is_of_no_quality_and_counts_for_none():
  far = np.zeros((300, 2))
  found = mode_coverage(np.concatenate([CENTRES[[2] * 100], far]), CENTRES, DEVIATION)
  assert found.modes_covered == 1 and found.high_quality_share == 0.25
  assert mode_coverage(far, CENTRES, DEVIATION) == (0, 0.0, pytest.approx(math.log(8)))


def test_three_deviations_is_the_edge():
  step = np.array([[1.0, 0.0]])
  for scale, good in ((2.999, 1), (3.001, 0)):
    x = CENTRES[:1] + scale * DEVIATION * step
    assert mode_coverage(x, CENTRES, DEVIATION).high_quality_share == good


def test_the_labels_of_the_data_are_their_modes():
  x = planted([5], 10)
  assert mode_coverage(x, CENTRES[[5]], DEVIATION).modes_covered == 1
  data = RING.splits["validation"].arrays()
  nearest = np.linalg.norm(data["x"][:, None] - CENTRES, axis=-1).argmin(1)
  np.testing.assert_array_equal(nearest, data["label"])
