"""Diversity within classes of planted samples."""

import numpy as np
from scipy.spatial.distance import pdist

from gen_jax.metrics.diversity import diversity_within_classes, mean_pairwise_distance

rng = np.random.default_rng(0)
REAL, LABEL = rng.normal(size=(60, 2, 3)), np.arange(60) % 3


def test_mean_pairwise_distance_is_scipy_s():
  x = rng.normal(size=(700, 5))
  np.testing.assert_allclose(mean_pairwise_distance(x), pdist(x).mean(), rtol=1e-9)


def test_real_data_have_1_copies_of_one_example_0_and_half_the_scale_one_half():
  assert diversity_within_classes(REAL, LABEL, REAL, LABEL) == 1
  assert diversity_within_classes(REAL[LABEL], LABEL, REAL, LABEL) < 1e-6
  half = diversity_within_classes(REAL / 2 + 7, LABEL, REAL, LABEL)
  np.testing.assert_allclose(half, 0.5)


def test_a_class_that_is_lost_counts_as_0():
  kept = LABEL < 2
  found = diversity_within_classes(REAL[kept], LABEL[kept], REAL, LABEL)
  np.testing.assert_allclose(found, 2 / 3)
