"""What happens after actions: against an enumeration of all their sequences, and chi-square."""

import itertools

import numpy as np
from scipy import stats

from gen_jax import data, metrics


def test_the_best_guess_without_the_actions_by_all_their_sequences():
  notes = data.load("maze", resolution=8, frames=4, clips=1).notes
  chances, start = notes["chances"], np.arange(0, 140, 7)
  found = metrics.likeliest(notes["simulate"], chances, start, 3, at_once=6)
  wanted = []
  for steps in (1, 2, 3):
    ways = np.array(list(itertools.product(range(4), repeat=steps)))
    p = chances[ways].prod(1)
    ends = [notes["simulate"](np.full(len(ways), pose), ways)[:, -1] for pose in start]
    wanted.append([np.bincount(end, p).max() for end in ends])
  np.testing.assert_allclose(found, np.transpose(wanted), rtol=1e-12)


def test_the_best_guess_of_a_sprite_in_the_middle():
  """Each of the 8 actions leads elsewhere. Of the 64 ways of two, 7 lead back: left and right in
  two orders, up and down, grow and shrink likewise, and staying twice; 2 at most lead elsewhere."""
  notes = data.load("moving", resolution=8, frames=2, clips=1).notes
  middle = np.array([[1, 2, 1, 3, 4, 4]])
  found = metrics.likeliest(notes["simulate"], notes["chances"], middle, 2)
  np.testing.assert_allclose(found, [[1 / 8, 7 / 64]])
  # In the corner, at the smallest: left, up, shrink and stay are one.
  corner = np.array([[1, 2, 0, 3, 0, 0]])
  assert metrics.likeliest(notes["simulate"], notes["chances"], corner, 1) == 4 / 8


def test_other_actions_are_drawn_as_the_rest_are():
  chances, rng = np.array([0.5, 0.2, 0.2, 0.1, 0.0]), np.random.default_rng(0)
  for own in range(4):
    found = metrics.others(rng, np.full((50, 40), own), chances)
    count = np.bincount(found.ravel(), minlength=5)
    assert count[own] == count[4] == 0
    rest = np.setdiff1d(np.arange(4), own)
    wanted = chances[rest] / chances[rest].sum() * found.size
    assert stats.chisquare(count[rest], wanted).pvalue > 1e-3
