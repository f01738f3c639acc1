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
  ratio = lambda *sets: memorisation.data_copying(*sets).ratio
  assert ratio(train[::2], held_out, train) == 0
  fresh = ratio(samples, held_out, train)
  assert fresh == pytest.approx(1, abs=0.1)
  near = ratio(train + 1e-3, held_out, train)
  unseen = np.median(KDTree(train).query(held_out)[0])
  assert near == pytest.approx(1e-3 * 5**0.5 / unseen)
  scaled = ratio(9 * samples, 9 * held_out, 9 * train)
  assert scaled == pytest.approx(fresh)


@pytest.mark.parametrize("offset", [0.0, 1e-3])
def test_copies_are_seen_that_are_fewer_than_half(rng, offset):
  train, held_out, samples = rng.standard_normal((3, 1000, 5))
  none = memorisation.data_copying(samples, held_out, train)
  assert none.nearer == pytest.approx(0.01, abs=0.01)
  assert none.held_out_nearer == pytest.approx(0.01, abs=2e-3)
  samples[:400] = train[:400] + offset
  some = memorisation.data_copying(samples, held_out, train)
  assert some.ratio > 0.7  # the median does not
  assert some.nearer == pytest.approx(0.4 + 0.6 * none.nearer, abs=0.01)


def test_data_that_repeat_themselves_are_no_copies(rng):
  train, held_out, samples = rng.standard_normal((3, 1000, 5))
  for each in (held_out, samples):
    each[:300] = train[:300]  # as many of either
  found = memorisation.data_copying(samples, held_out, train)
  assert found.radius == 0 and found.nearer == found.held_out_nearer == 0.3
  samples[:700] = train[:700]
  found = memorisation.data_copying(samples, held_out, train)
  assert (found.nearer, found.held_out_nearer) == (0.7, 0.3)
  held_out[:600] = train[:600]
  assert memorisation.data_copying(samples, held_out, train).ratio is None


def test_few_held_out_examples_say_how_many_of_them_are_as_near(rng):
  train, samples = rng.standard_normal((2, 500, 5))
  found = memorisation.data_copying(samples, rng.standard_normal((4, 5)), train)
  assert found.held_out_nearer == 0.25 and found.radius > 0


def test_refusals(rng):
  points = rng.standard_normal((5, 2))
  with pytest.raises(ValueError, match="empty"):
    memorisation.nearest_distance(points, points[:0])
  with pytest.raises(core.UserError, match="NaN"):
    memorisation.nearest_distance(points * np.nan, points)
