"""The kernel distance against sums over pairs, and against moments."""

import math
import tracemalloc

import numpy as np
import pytest

from gen_jax import core, metrics

RNG = np.random.default_rng(0)


def test_of_pairs_one_by_one():
  a, b = RNG.standard_normal((5, 3)), RNG.standard_normal((4, 3)) + 1
  k = lambda x, y: (sum(u * v for u, v in zip(x, y)) / 3 + 1) ** 3
  within = lambda s: np.mean(
    [k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]
  )
  across = np.mean([k(x, y) for x in a for y in b])
  expected = within(a) + within(b) - 2 * across
  assert metrics.kernel_distance(a, b) == pytest.approx(expected, rel=1e-12)


def test_of_many_it_is_the_distance_of_three_moments():
  """(a.b / F + 1)^3 is the product of all moments of order 0 to 3, binomially weighted."""
  n, f = 20000, 2
  a, b = RNG.standard_normal((n, f)), 0.5 * RNG.standard_normal((n, f)) + 0.7
  total = 0.0
  for order, letters in ((1, "ni"), (2, "ni,nj"), (3, "ni,nj,nk")):
    sums = (np.einsum(f"{letters}->{'ijk'[:order]}", *[x] * order) for x in (a, b))
    apart = np.subtract(*sums) / n
    total += math.comb(3, order) / f**order * (apart**2).sum()
  assert metrics.kernel_distance(a[:4000], b[:4000]) == pytest.approx(total, rel=0.1)


def test_many_examples_need_no_matrix_of_all_pairs():
  a, b = RNG.standard_normal((2, 5000, 3))
  tracemalloc.start()
  metrics.kernel_distance(a, b)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 5000 * 5000 * 8 / 2


def test_of_one_distribution_it_is_zero_on_average():
  draws = [metrics.kernel_distance(*RNG.standard_normal((2, 30, 4))) for _ in range(400)]
  assert abs(np.mean(draws)) < 3 * np.std(draws) / 20
  assert min(draws) < 0 < max(draws)


def test_refusals():
  with pytest.raises(core.UserError, match="two examples or more, not 1"):
    metrics.kernel_distance(np.ones((1, 2)), np.ones((3, 2)))
  with pytest.raises(core.UserError):
    metrics.kernel_distance(np.full((2, 2), np.nan), np.ones((3, 2)))
