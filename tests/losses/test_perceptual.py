"""Losses in features: of the identity, of a linear net by its closed form, and of maps whose Gram
matrix is known."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.losses import perceptual as losses

RNG = np.random.default_rng(0)


def maps(n=3, size=(4, 5), channels=6):
  return RNG.normal(size=(n, *size, channels)).astype(np.float32)


def test_of_the_pixels_themselves_it_is_the_mean_squared_error():
  x, y = maps(channels=3), maps(channels=3)
  want = [np.mean((a - b) ** 2) for a, b in zip(x, y, strict=True)]
  np.testing.assert_allclose(losses.feature_error(x, y), want, rtol=1e-5)


def test_of_a_linear_net_the_gradient_is_that_of_least_squares():
  """2 A^T A (y - x) / F."""
  a, x, y = RNG.normal(size=(7, 5)), *RNG.normal(size=(2, 3, 5))
  with jax.enable_x64(True):
    loss = lambda y: losses.feature_error(y @ a.T, x @ a.T).sum()
    found = jax.grad(loss)(jnp.asarray(y))
  np.testing.assert_allclose(found, 2 * (y - x) @ a.T @ a / 7, rtol=1e-9)


def test_they_are_distances_of_each_example():
  x, y = maps(), maps()
  for error in (losses.feature_error, losses.style_error):
    np.testing.assert_allclose(error(x, y), error(y, x), rtol=1e-5)
    assert (error(x, y) > 0).all() and not np.asarray(error(x, x)).any()
    alone = [error(x[i : i + 1], y[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(error(x, y), alone, rtol=1e-5)


def test_the_gram_matrix_of_a_constant_map_is_the_outer_product_of_its_colour():
  colour = RNG.normal(size=(2, 1, 1, 6)).astype(np.float32)
  found = losses.gram(np.broadcast_to(colour, (2, 4, 5, 6)))
  want = [np.outer(c, c) / 6 for c in colour[:, 0, 0]]
  np.testing.assert_allclose(found, want, rtol=1e-5)


def test_style_is_blind_to_where_things_are():
  x, y = maps(), maps()
  moved = np.roll(x, (1, 2), (1, 2))[:, ::-1]
  np.testing.assert_allclose(losses.style_error(moved, x), 0, atol=1e-10)
  assert (losses.feature_error(moved, x) > 0.1).all()
  # The sum over all pairs of channels, by NumPy.
  grams = [np.tensordot(m, m, ((0, 1), (0, 1))) / m.size for m in (x[0], y[0])]
  np.testing.assert_allclose(
    losses.style_error(x, y)[0], ((grams[0] - grams[1]) ** 2).sum(), rtol=1e-4
  )


def test_vectors_have_features_and_no_style():
  a, b = [maps(), maps()[:, 0, 0]], [maps(), maps()[:, 0, 0]]
  np.testing.assert_allclose(
    losses.feature_errors(a, b), sum(map(losses.feature_error, a, b)), rtol=1e-6
  )
  np.testing.assert_allclose(losses.style_errors(a, b), losses.style_error(a[0], b[0]), rtol=1e-6)


def test_gradients_are_finite_where_nothing_differs_and_where_all_is_zero():
  for x in (maps(), np.zeros((2, 4, 5, 6), np.float32)):
    for error in (losses.feature_error, losses.style_error):
      slope = jax.grad(lambda y, error=error, x=x: error(y, x).sum())(jnp.asarray(x))
      np.testing.assert_allclose(slope, 0, atol=1e-8)
