"""The projected direction: what it is orthogonal to, and that it is one of all weights."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gen_jax.learn.projection import opposed


def trees(seed=0):
  a, b = jax.random.normal(jax.random.key(seed), (2, 12))
  return a, b


def divided(v):
  """The same numbers as weights of another shape."""
  return {"w": v[:8].reshape(4, 2), "b": v[8:]}


def test_along_the_adversary_s_gradient_it_goes_alpha_against_it():
  p, a = trees()
  for alpha in (0.0, 0.5, 3.0):
    moved = opposed(p, a, alpha)
    u = a / jnp.linalg.norm(a)
    np.testing.assert_allclose(moved @ u, -alpha * jnp.linalg.norm(a), atol=1e-5)
    # Across it, it is the predictor's own gradient.
    np.testing.assert_allclose(moved - (moved @ u) * u, p - (p @ u) * u, atol=1e-5)


def test_it_does_not_depend_on_how_the_weights_are_divided_into_arrays():
  p, a = trees(1)
  whole = opposed(p, a, 0.7)
  parts, _ = ravel_pytree(opposed(divided(p), divided(a), 0.7))
  order = np.r_[8:12, 0:8]  # dicts are in the order of their keys
  np.testing.assert_allclose(parts, whole[order], rtol=1e-5)
  # A projection of each array by itself is another direction.
  each = jax.tree.map(lambda p, a: opposed(p, a, 0.7), divided(p), divided(a))
  assert np.abs(ravel_pytree(each)[0] - parts).max() > 0.05


def test_without_an_adversary_it_is_the_gradient_and_parallel_ones_cancel():
  p, a = trees(2)
  np.testing.assert_array_equal(opposed(p, jnp.zeros_like(a), 2.0), p)
  np.testing.assert_allclose(opposed(3 * a, a, 0.0), jnp.zeros(12), atol=1e-5)
  np.testing.assert_allclose(opposed(p, a, 2.0, project=False), p - 2 * a, rtol=1e-6)
