"""Augmentations against every image that they may return, enumerated in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.core import UserError
from gen_jax.data import augment

N = 2000
IMAGE = np.arange(16 * 8 * 2, dtype=np.uint8).reshape(16, 8, 2)  # no two pixels alike


def seen(function, images):
  """Which of `images` each of N augmented copies of IMAGE is."""
  x = np.asarray(jax.jit(function)(jnp.asarray(np.tile(IMAGE, (N, 1, 1, 1))), jax.random.key(0)))
  assert x.shape == (N, *IMAGE.shape) and x.dtype == IMAGE.dtype
  equal = (x[:, None] == np.stack(images)[None]).all(axis=(2, 3, 4))
  assert (equal.sum(axis=1) == 1).all()
  return np.bincount(equal.argmax(axis=1), minlength=len(images))


def test_flip_mirrors_half_of_the_images():
  counts = seen(augment.flip, [IMAGE, np.fliplr(IMAGE)])
  assert stats.chisquare(counts).pvalue > 1e-3


def test_shift_moves_by_every_offset_up_to_an_eighth_alike():
  padded = np.pad(IMAGE, [(2, 2), (1, 1), (0, 0)], mode="edge")
  windows = [padded[i : i + 16, j : j + 8] for i, j in itertools.product(range(5), range(3))]
  counts = seen(augment.shift, windows)
  assert stats.chisquare(counts).pvalue > 1e-3


def test_augmentations_are_made_in_turn_with_keys_of_their_own():
  both = seen(lambda x, key: augment.augment(x, key, ("flip", "flip")), [IMAGE, np.fliplr(IMAGE)])
  assert stats.chisquare(both).pvalue > 1e-3  # one coin for both would undo every flip
  x = jnp.asarray(IMAGE[None])
  assert augment.augment(x, jax.random.key(0), ()) is x


def test_refusals():
  augment.check((), (2,))
  augment.check(("shift", "flip"), (8, 8, 1))
  with pytest.raises(UserError, match="'rotate' is not known: any of flip, shift"):
    augment.check(("flip", "rotate"), (8, 8, 1))
  with pytest.raises(UserError, match="for images, not for data of shape \\(2,\\)"):
    augment.check(("flip",), (2,))
