"""Nearest distances against a k-d tree and known geometry."""

import numpy as np
import pytest
from scipy.spatial import KDTree

from gen_jax import core
from gen_jax.metrics import memorisation


@pytest.mark.parametrize("offset", [0, 1e8])
def test_is_the_nearest(rng, offset):
  query, reference = rng.standard_normal((300, 6)), rng.standard_normal((1000, 6))
  expected, _ = KDTree(reference).query(query)
  value = memorisation.nearest_distance(query + offset, reference + offset)
  np.testing.assert_allclose(value, expected, rtol=1e-9 + 1e-14 * offset)


def test_a_copy_is_at_zero(rng):
  reference = rng.standard_normal((500, 64)) + 5
  assert not memorisation.nearest_distance(reference[::7], reference).any()


def test_bytes_do_not_wrap():
  query, reference = np.array([[0, 255]], np.uint8), np.array([[255, 0], [0, 0]], np.uint8)
  np.testing.assert_array_equal(memorisation.nearest_distance(query, reference), [255])


def test_ratio(rng):
  train, held_out, samples = rng.standard_normal((3, 1000, 5))
  assert memorisation.nearest_train_ratio(train[::2], held_out, train) == 0
  fresh = memorisation.nearest_train_ratio(samples, held_out, train)
  assert fresh == pytest.approx(1, abs=0.1)
  near = memorisation.nearest_train_ratio(train + 1e-3, held_out, train)
  unseen = np.median(KDTree(train).query(held_out)[0])
  assert near == pytest.approx(1e-3 * 5**0.5 / unseen)
  scaled = memorisation.nearest_train_ratio(9 * samples, 9 * held_out, 9 * train)
  assert scaled == pytest.approx(fresh)


def test_refusals(rng):
  points = rng.standard_normal((5, 2))
  with pytest.raises(core.UserError, match="held-out"):
    memorisation.nearest_train_ratio(points, points, points)
  with pytest.raises(ValueError, match="empty"):
    memorisation.nearest_distance(points, points[:0])
  with pytest.raises(ValueError, match="NaN"):
    memorisation.nearest_distance(points * np.nan, points)
