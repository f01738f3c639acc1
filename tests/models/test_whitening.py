"""Vectors of known moments become white; padding and old batches count as they should."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.learn import ema
from gen_jax.models.whitening import FLOOR, followed, no_moments, no_whitening, white, zca

RNG = np.random.default_rng(0)
MIX = RNG.normal(size=(3, 3)) @ np.diag([1.0, 0.3, 0.1])


def drawn(n):
  return jnp.asarray(RNG.normal(size=(n, 3)) @ MIX + [1.0, -2.0, 0.5])


def moments_of(v):
  """Those of one batch, after as many of the same that nothing of the start is left."""
  found = no_moments(3, v.dtype)
  for count in range(20):
    found = followed(found, v, None, count)
  return found


def test_moments_are_averages_that_forget_and_leave_padding_out():
  a, b = drawn(8), drawn(8)
  mask = jnp.arange(8) < 5
  found = followed(moments_of(a), b.at[5:].set(jnp.nan), mask, 10**6)
  old, new = ema.STATISTICS, 1 - ema.STATISTICS
  np.testing.assert_allclose(found["mean"], old * a.mean(0) + new * b[:5].mean(0), rtol=1e-5)
  second = old * a.T @ a / 8 + new * b[:5].T @ b[:5] / 5
  np.testing.assert_allclose(found["second"], second, rtol=1e-5)


def test_white_vectors_have_equal_variances_and_no_covariance():
  v = drawn(4000)
  by = zca(moments_of(v))
  found = np.asarray(white(v, by))
  np.testing.assert_allclose(found.mean(0), 0, atol=1e-3)
  variance, axes = np.linalg.eigh(np.cov(np.asarray(v).T, bias=True))
  expected = (axes * (variance / (variance + FLOOR * variance.mean()))) @ axes.T
  np.testing.assert_allclose(found.T @ found / len(found), expected, atol=2e-3)
  np.testing.assert_allclose(by["matrix"], by["matrix"].T, rtol=1e-5)


def test_what_never_varies_stays_still():
  v = drawn(500).at[:, 2].set(0.5)
  by = zca(moments_of(v))
  assert jnp.abs(white(v, by)[:, 2]).max() < 0.02
  np.testing.assert_array_equal(white(v, no_whitening(3, v.dtype)), v)


def test_no_gradient_flows_through_the_moments():
  slope = jax.grad(lambda v: followed(no_moments(3, v.dtype), v, None, 0)["second"].sum())(drawn(4))
  assert not slope.any()
