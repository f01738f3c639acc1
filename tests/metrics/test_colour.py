import numpy as np
import pytest

from gen_jax import metrics

RNG = np.random.default_rng(0)


def test_area_under_the_share_within_each_threshold():
  """Counted, threshold by threshold."""
  distance = RNG.uniform(0, 200, 300)
  weight = RNG.uniform(0, 1, 300)
  count = lambda w: 100 * np.mean([(w * (distance <= t)).sum() / w.sum() for t in range(151)])
  assert metrics.accumulated(distance) == pytest.approx(count(np.ones(300)))
  assert metrics.accumulated(distance, weight) == pytest.approx(count(weight))
  assert metrics.accumulated(np.zeros(3)) == 100 and metrics.accumulated(np.full(3, 151.0)) == 0


def test_weights_let_all_cells_count_alike():
  ab = np.array([[0, 0], [4, -4], [1, 2], [20, 0], [22, 4.9]])
  weight = metrics.cell_weights(ab)
  np.testing.assert_allclose(weight, [5 / 3, 5 / 3, 5 / 3, 5 / 2, 5 / 2])
  assert weight[:3].sum() == pytest.approx(weight[3:].sum())
  assert metrics.cell_entropy(ab) == pytest.approx(-0.6 * np.log(0.6) - 0.4 * np.log(0.4))
  assert metrics.cell_entropy(np.zeros((4, 2))) == 0


def test_a_table_holds_the_mean_of_each_level_and_of_all_for_one_it_has_not_seen():
  table = metrics.ColourTable(5)
  level, ab = RNG.integers(0, 4, 100), RNG.normal(size=(100, 2))
  table.add(level[:40], ab[:40])
  table.add(level[40:], ab[40:])
  for k in range(4):
    np.testing.assert_allclose(table(np.array([k]))[0], ab[level == k].mean(0))
  np.testing.assert_allclose(table(np.array([4, 4])), np.tile(ab.mean(0), (2, 1)))


def test_class_accuracy_is_the_mean_share_of_the_classes_that_occur():
  confusion = np.array([[3, 1, 0], [0, 0, 0], [2, 0, 6]])
  assert metrics.class_accuracy(confusion) == pytest.approx((3 / 4 + 6 / 8) / 2)
  assert np.isnan(metrics.class_accuracy(np.zeros((2, 2))))
