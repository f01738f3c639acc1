"""Which labels a probe learns from, and what it finds in codes that are known."""

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.metrics import balanced, linear_r2, probe_errors


@pytest.mark.parametrize("count", [10, 100, 1000])
def test_labels_are_as_many_of_each_class_whatever_their_order(rng, count):
  labels = np.repeat(np.arange(10), 130)
  for order in (np.arange(1300), np.arange(1300)[::-1], rng.permutation(1300)):
    chosen = balanced(labels[order], count)
    assert len(np.unique(chosen)) == count
    np.testing.assert_array_equal(np.bincount(labels[order][chosen]), [count // 10] * 10)


def test_a_class_that_is_too_small_gives_all_it_has():
  labels = np.array([0] * 50 + [1] * 3 + [2] * 40)
  np.testing.assert_array_equal(np.bincount(labels[balanced(labels, 33)]), [15, 3, 15])
  np.testing.assert_array_equal(np.sort(balanced(labels, 93)), np.arange(93))


def test_a_choice_is_spread_over_its_class():
  chosen = balanced(np.repeat([0, 1], 1000), 200)
  first = np.sort(chosen[chosen < 1000])
  assert first[0] < 100 and first[-1] > 900 and np.diff(first).max() > 15  # and not every tenth


def test_a_line_tells_two_classes_that_it_can_tell(rng):
  labels = np.arange(200) % 2
  codes = np.stack([labels + 0.1 * rng.standard_normal(200), rng.standard_normal(200)], 1)
  found = probe_errors(codes[:100], labels[:100], codes[100:], labels[100:])
  assert found.keys() == {"linear", "rbf_svm"} and max(found.values()) <= 0.02
  guess = probe_errors(codes[:100, 1:], labels[:100], codes[100:, 1:], labels[100:])
  assert 0.3 < guess["linear"] < 0.7


def test_refusals(rng):
  codes, one = rng.standard_normal((20, 2)), np.zeros(20, int)
  with pytest.raises(UserError, match="two classes or more"):
    probe_errors(codes, one, codes, one)
  with pytest.raises(UserError, match="the codes hold NaN"):
    probe_errors(codes * np.nan, np.arange(20) % 2, codes, one)


def test_of_what_is_a_line_and_noise_the_line_s_share_is_told(rng):
  codes = rng.standard_normal((4000, 3))
  line = codes @ [[1.0], [2.0], [-1.0]]
  targets = np.hstack([line, line + np.sqrt(6) * rng.standard_normal(line.shape), 0 * line])
  targets[:, 2] = rng.standard_normal(4000)
  np.testing.assert_allclose(linear_r2(codes, targets), [1, 0.5, 0], atol=0.03)
