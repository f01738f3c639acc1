"""Colours against the usual tables and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import colour

PRIMARIES = {
  (1, 1, 1): (100, 0, 0),
  (0, 0, 0): (0, 0, 0),
  (1, 0, 0): (53.241, 80.092, 67.203),
  (0, 1, 0): (87.735, -86.183, 83.180),
  (0, 0, 1): (32.296, 79.186, -107.857),
  (1, 1, 0): (97.140, -21.555, 94.478),
  (1, 0, 1): (60.324, 98.233, -60.821),
  (0, 1, 1): (91.113, -48.091, -14.126),
}


@pytest.mark.parametrize("rgb, lab", PRIMARIES.items())
def test_primaries_are_where_tables_have_them(rgb, lab):
  np.testing.assert_allclose(colour.rgb_to_lab(jnp.array(rgb, jnp.float32)), lab, atol=0.02)


def test_there_and_back_is_the_same_colour():
  rgb = jax.random.uniform(jax.random.key(0), (4096, 3), jnp.float32)
  rgb = jnp.concatenate([rgb, rgb**8, jnp.eye(3), jnp.zeros((1, 3))])
  back = colour.lab_to_rgb(colour.rgb_to_lab(rgb))
  np.testing.assert_allclose(back, rgb, atol=2e-5)


def test_lightness_of_grey_rises_and_has_no_colour():
  grey = jnp.linspace(0, 1, 256)[:, None].repeat(3, axis=1)
  lab = np.asarray(colour.rgb_to_lab(grey))
  assert (np.diff(lab[:, 0]) > 0).all()
  np.testing.assert_allclose(lab[:, 1:], 0, atol=1e-3)


def test_slopes_are_finite_and_right_from_black_on():
  of = lambda rgb: colour.rgb_to_lab(rgb) @ jnp.array([1.0, 0.3, -0.2])
  assert np.isfinite(jax.grad(of)(jnp.zeros(3))).all()
  at, h = np.array([0.01, 0.6, 0.3], np.float32), 1e-3
  steps = h * np.eye(3, dtype=np.float32)
  numeric = [(of(jnp.asarray(at + d)) - of(jnp.asarray(at - d))) / (2 * h) for d in steps]
  np.testing.assert_allclose(jax.grad(of)(jnp.asarray(at)), numeric, rtol=0.02)
  back = jax.grad(lambda lab: colour.lab_to_rgb(lab).sum())
  assert np.isfinite(back(jnp.zeros(3))).all()


def test_luma_is_that_of_television():
  rgb = jnp.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], jnp.float32)
  np.testing.assert_allclose(colour.luma(rgb), [16, 235, 81.481, 144.553, 40.966], atol=1e-3)


def test_classes_are_read_from_their_colours_and_no_class_is_of_none():
  palette, count = colour.PALETTE, len(colour.PALETTE)
  labels = np.arange(count).reshape(3, 7).astype(np.uint8)
  painted = colour.paint(labels)
  assert painted.shape == (3, 7, 3) and painted.dtype == np.uint8
  np.testing.assert_array_equal(colour.classes_of(painted, count), labels)
  # A little off, and it is still the nearest.
  np.testing.assert_array_equal(colour.classes_of(painted.clip(4, 251) - 3, count), labels)
  assert (colour.paint(np.array([colour.NO_CLASS])) == 255).all()
  assert not (palette == 255).all(-1).any() and len(np.unique(palette, axis=0)) == count
