"""The linear map in LU form against the matrix that it stands for."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.flows.linear import lu


def matrix(params, size):
  """W, column by column."""
  return np.asarray(lu().forward(params, jnp.eye(size))[0]).T


def test_it_begins_as_a_rotation_of_the_key_s():
  with jax.enable_x64(True):
    x = jax.random.normal(jax.random.key(0), (3, 2, 5), jnp.float64)
    params, y = lu().init(jax.random.key(1), x)
    w = matrix(params, 5)
    np.testing.assert_allclose(w @ w.T, np.eye(5), atol=1e-12)
    np.testing.assert_allclose(y, x @ w.T, atol=1e-12)
    assert np.abs(w - matrix(lu().init(jax.random.key(2), x)[0], 5)).max() > 0.1
    same, y = lu(rotated=False).init(jax.random.key(1), x)
    np.testing.assert_array_equal(y, x)


def test_what_is_fixed_stays_whatever_is_done_to_it():
  with jax.enable_x64(True):
    x = jax.random.normal(jax.random.key(0), (4, 5), jnp.float64)
    params, _ = lu().init(jax.random.key(1), x)
    gradient = jax.grad(lambda p: (lu().forward(p, x)[0] ** 3).sum())(params)
    assert all((g == 0).all() for g in jax.tree.leaves(gradient["fixed"]))
    assert all((g != 0).any() for name, g in gradient.items() if name != "fixed")
    decayed = {**params, "fixed": jax.tree.map(lambda a: 0.3 * a, params["fixed"])}
    np.testing.assert_array_equal(matrix(decayed, 5), matrix(params, 5))
