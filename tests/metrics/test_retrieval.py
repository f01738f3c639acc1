"""Retrieval of captions, counted where it is known."""

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.metrics import rank_1, told_from_neighbours, top_caption

RNG = np.random.default_rng(0)
V = RNG.normal(size=(300, 16))
V /= np.linalg.norm(V, axis=1, keepdims=True)
CAPTIONS = np.arange(300)[:, None]


def test_captions_that_are_found_and_not_found():
  found, share = top_caption(V, V, CAPTIONS)
  assert found.all() and np.allclose(share, 1 / 100)
  assert not top_caption(-V, V, CAPTIONS)[0].any()
  found, share = top_caption(RNG.normal(size=V.shape), V, CAPTIONS, candidates=5)
  assert np.allclose(share, 1 / 5) and abs(found.mean() - 1 / 5) < 0.08
  assert np.allclose(top_caption(V[:7], V[:7], CAPTIONS[:7])[1], 1 / 7)


def test_a_tie_is_no_answer():
  same = np.ones((300, 2))
  assert not top_caption(same, same, CAPTIONS)[0].any()


def test_equal_captions_are_right():
  captions = CAPTIONS % 2
  # Each picture looks like another one's caption, of the same words or of others.
  for shift, right in ((2, 1.0), (1, 0.0)):
    moved = np.roll(np.eye(300), shift, axis=0)
    found, share = top_caption(moved, np.eye(300), captions, candidates=300)
    assert found.mean() == right and np.allclose(share, 1 / 2)


def test_captions_that_differ_in_one_word_are_told_apart_or_not():
  # Two words of three and of four; v says the first alone, or both.
  words = np.stack(np.meshgrid(range(3), range(4), indexing="ij"), -1).reshape(-1, 2)
  captions = words[RNG.integers(12, size=200)]
  both = np.concatenate([np.eye(3)[captions[:, 0]], np.eye(4)[captions[:, 1]]], 1)
  found, chance = told_from_neighbours(both, both, captions)
  assert found.all() and np.allclose(chance, 1 / 6)  # itself, two others of the first, three
  first = np.eye(3)[captions[:, 0]]
  assert not told_from_neighbours(first, first, captions)[0].any()  # ties
  assert top_caption(first, first, captions)[0].mean() < 0.1
  noise = RNG.normal(size=(12, 16))[captions @ [4, 1]]
  found, _ = told_from_neighbours(RNG.normal(size=(200, 16)), noise, captions)
  assert abs(found.mean() - 1 / 6) < 0.09


def test_captions_without_neighbours_are_not_asked():
  alone = np.array([[0, 0], [1, 1], [1, 1]])
  found, chance = told_from_neighbours(np.eye(3), np.eye(3), alone)
  assert found.all() and (chance == 1).all()


def test_refuses_what_is_not_finite():
  with pytest.raises(UserError, match="finite"):
    told_from_neighbours(np.full((3, 2), np.nan), np.ones((3, 2)), CAPTIONS[:3])
  with pytest.raises(UserError, match="finite"):
    top_caption(np.full((3, 2), np.nan), np.ones((3, 2)), CAPTIONS[:3])


def test_persons_are_found_again_by_the_angle_between_codes():
  gallery, there = np.array([[1.0, 0], [0, 1], [-1, -1]]), np.array([4, 7, 7])
  query = np.array([[5.0, 1], [0.1, 9], [-3, -2], [2, 3]])  # nearest: 0, 1, 2, 1
  assert rank_1(query, np.array([4, 7, 7, 4]), gallery, there) == 3 / 4
  assert rank_1(100 * query, np.array([7, 4, 4, 7]), gallery, there) == 1 / 4
  with pytest.raises(UserError, match="codes of persons"):
    rank_1(query * np.nan, there[:1], gallery, there)
