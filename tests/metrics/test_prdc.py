"""Precision, recall, density and coverage against loops, a worked example and published figures."""

import numpy as np
import pytest
from scipy.spatial import distance

from gen_jax import core
from gen_jax.metrics import prdc


def by_loops(real, fake, k):
  """The definitions, one example at a time."""

  def ball(points):
    return [sorted(distance.euclidean(p, q) for q in points)[k] for p in points]

  ball_real, ball_fake = ball(real), ball(fake)
  n, m = len(real), len(fake)
  d = [[distance.euclidean(r, f) for f in fake] for r in real]
  return {
    "precision": sum(any(d[i][j] < ball_real[i] for i in range(n)) for j in range(m)) / m,
    "recall": sum(any(d[i][j] < ball_fake[j] for j in range(m)) for i in range(n)) / n,
    "density": sum(d[i][j] < ball_real[i] for i in range(n) for j in range(m)) / (k * m),
    "coverage": sum(min(d[i]) < ball_real[i] for i in range(n)) / n,
  }


@pytest.mark.parametrize(("n", "m", "k"), [(30, 20, 3), (12, 40, 5), (6, 6, 1)])
def test_is_its_definition(rng, monkeypatch, n, m, k):
  real, fake = rng.standard_normal((n, 3)), rng.standard_normal((m, 3)) * 0.7 + 0.4
  expected = by_loops(real, fake, k)
  assert 0 < expected["recall"] < 1
  assert prdc.precision_recall_density_coverage(real, fake, k) == pytest.approx(expected)
  monkeypatch.setattr(prdc, "CHUNK_MIB", 500 / 2**20)  # a few rows
  assert prdc.precision_recall_density_coverage(real, fake, k) == pytest.approx(expected)


def test_on_a_line():
  # Radii, k=1: real 1, 1, 8; fake 3, 3, 90. Fake 0.5 is in the balls of reals 0 and 1, fake 3.5
  # in that of real 9; reals 0 and 1 are in the ball of fake 0.5, real 9 is in that of fake 93.5.
  real, fake = np.array([[0.0], [1], [9]]), np.array([[0.5], [3.5], [93.5]])
  value = prdc.precision_recall_density_coverage(real, fake, 1)
  assert value == pytest.approx(
    {"precision": 2 / 3, "recall": 1.0, "density": 1.0, "coverage": 1.0}
  )


def test_the_same_set_twice(rng):
  points = rng.standard_normal((200, 8))
  value = prdc.precision_recall_density_coverage(points, points, 5)
  assert value == {"precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0}


def test_sets_apart_and_a_lost_mode(rng):
  left, right = rng.standard_normal((2, 100, 2)) + np.array([0, 50.0])[:, None, None]
  value = prdc.precision_recall_density_coverage(left, right)
  assert value == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}
  again = rng.standard_normal((100, 2))
  value = prdc.precision_recall_density_coverage(np.concatenate([left, right]), again)
  assert value["precision"] > 0.9
  assert value["recall"] < 0.55
  assert value["coverage"] < 0.55


def test_translation_and_scale(rng):
  real, fake = rng.standard_normal((2, 60, 4))
  value = prdc.precision_recall_density_coverage(real, fake)
  assert prdc.precision_recall_density_coverage(real * 7, fake * 7) == value
  assert prdc.precision_recall_density_coverage(real + 1e8, fake + 1e8) == value


def test_published_figures(rng):
  # The test of the reference implementation: N(0, I) in 1000-D, 10k against 10k, k = 5.
  real, fake = rng.standard_normal((2, 10_000, 1000), np.float32)
  value = prdc.precision_recall_density_coverage(real, fake, 5)
  expected = {"precision": 0.477, "recall": 0.471, "density": 1.056, "coverage": 0.9735}
  assert value == pytest.approx(expected, abs=0.02)


def test_refusals(rng):
  points = rng.standard_normal((5, 2))
  for k in (0, 5):
    with pytest.raises(core.UserError, match=f"k={k}"):
      prdc.precision_recall_density_coverage(points, points, k)
  with pytest.raises(ValueError, match="NaN"):
    prdc.precision_recall_density_coverage(points * np.nan, points, 2)
