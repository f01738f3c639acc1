"""Elastic deformation against shifts, one-hot labels and the spread it is drawn from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gen_jax.data.elastic import displace, elastic


@pytest.fixture
def images():
  return np.random.default_rng(0).integers(0, 256, (3, 9, 7, 2)).astype(np.uint8)


def test_no_displacement_is_the_identity(images):
  nowhere = jnp.zeros((3, 9, 7, 2))
  np.testing.assert_array_equal(displace(images, nowhere), images)
  np.testing.assert_array_equal(displace(images[..., 0], nowhere), images[..., 0])


def test_a_constant_displacement_is_a_shift(images):
  by = jnp.broadcast_to(jnp.array([2.0, -1.0]), (3, 9, 7, 2))
  padded = np.pad(images, [(0, 0), (0, 2), (1, 0), (0, 0)], mode="edge")
  np.testing.assert_array_equal(displace(images, by), padded[:, 2:11, 0:7])


def test_equal_to_scipy(images):
  u = 2 * jax.random.normal(jax.random.key(0), (3, 9, 7, 2))
  at = np.stack(np.meshgrid(np.arange(9), np.arange(7), indexing="ij"), -1) + np.asarray(u)
  smooth = images.astype(np.float32)
  moved, labels = displace(jnp.asarray(smooth), u), displace(jnp.asarray(images[..., 1]), u)
  for i in range(3):
    where = np.moveaxis(at[i], -1, 0)
    for c in range(2):
      wanted = ndimage.map_coordinates(smooth[i, ..., c], where, order=1, mode="nearest")
      np.testing.assert_allclose(moved[i, ..., c], wanted, atol=1e-2)
    wanted = ndimage.map_coordinates(images[i, ..., 1], where, order=0, mode="nearest")
    np.testing.assert_array_equal(labels[i], wanted)


def test_images_and_labels_move_alike():
  """The class whose bilinear share is above 3/4 is at the nearest pixel, as its share is a quarter
  or more."""
  labels = jax.random.randint(jax.random.key(1), (4, 6, 6), 0, 3).repeat(5, 1).repeat(5, 2)
  moved = elastic(labels, jax.random.key(2))
  hot = elastic(jax.nn.one_hot(labels, 3), jax.random.key(2))
  assert (moved != labels).mean() > 0.02
  sure = hot.max(-1) > 0.75
  assert sure.mean() > 0.8
  np.testing.assert_array_equal(moved[sure], hot.argmax(-1)[sure])


def test_the_displacement_is_smooth_and_of_the_stated_spread():
  """Seen through an image whose values are its own coordinates."""
  size, n = 64, 600
  rows = jnp.broadcast_to(jnp.arange(float(size))[None, :, None, None], (n, size, size, 1))
  u = (elastic(rows, jax.random.key(0)) - rows)[..., 0]
  centre = u[:, size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1].mean((1, 2))
  assert abs(centre.mean()) < 4 * centre.std() / n**0.5
  np.testing.assert_allclose(centre.std(), 10 / 512 * size, rtol=0.1)
  inner = u[:, 16:-16, 16:-16]
  assert jnp.abs(jnp.diff(inner, axis=1)).max() < 0.5  # no fold: rows keep their order
