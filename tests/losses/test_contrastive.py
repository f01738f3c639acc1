"""InfoNCE against closed forms, and against logistic losses and entropies of another derivation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import entropy

from gen_jax.losses import contrastive
from gen_jax.losses.contrastive import same_rows

info_nce = jax.jit(contrastive.info_nce)
NONE = lambda n: jnp.zeros((n, n), bool)


def unit(seed, n, size=5):
  x = np.random.default_rng(seed).normal(size=(n, size))
  return jnp.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), jnp.float32)


def test_orthonormal_pairs():
  n, s = 6, 3.0
  found = info_nce(jnp.eye(n), jnp.eye(n), s, NONE(n))
  np.testing.assert_allclose(found, np.log(1 + (n - 1) * np.exp(-s)), rtol=1e-6)
  # Vectors that say nothing leave the entropy of a choice among n.
  np.testing.assert_allclose(info_nce(*[jnp.ones((n, 1))] * 2, s, NONE(n)), np.log(n), rtol=1e-6)


def test_of_two_pairs_it_is_a_logistic_loss_of_margins():
  u, v, s = unit(0, 2), unit(1, 2), 4.0
  product = np.asarray(u @ v.T, np.float64)
  softplus = lambda a: np.logaddexp(0, a)
  for i, j in ((0, 1), (1, 0)):
    by_row, by_column = product[i, j] - product[i, i], product[j, i] - product[i, i]
    expected = (softplus(s * by_row) + softplus(s * by_column)) / 2
    np.testing.assert_allclose(info_nce(u, v, s, NONE(2))[i], expected, rtol=1e-5)


def test_it_is_the_divergence_of_right_answers_from_answers():
  n, s = 7, 2.5
  u, v = unit(2, n), unit(3, n)
  for part, (a, b) in enumerate(((u, v), (v, u))):
    weight = np.exp(s * np.asarray(a @ b.T, np.float64))
    divergence = entropy(np.eye(n), weight, axis=1)  # of the truth to the normalised answers
    other = np.exp(s * np.asarray(b @ a.T, np.float64))
    both = (divergence + entropy(np.eye(n), other, axis=1)) / 2
    np.testing.assert_allclose(info_nce(a, b, s, NONE(n)), both, rtol=1e-5, err_msg=str(part))


def test_right_answers_and_padding_are_no_negatives():
  u, v = unit(4, 5), unit(5, 5)
  captions = jnp.array([[1, 2], [3, 4], [1, 2], [5, 5], [6, 6]])
  same = same_rows(captions)
  assert np.argwhere(np.triu(same, 1)).tolist() == [[0, 2]]
  np.testing.assert_allclose(info_nce(u, v, 9.0, same_rows(jnp.zeros((5, 2)))), 0, atol=1e-6)
  # Example 0 has 1, 3 and 4 against it; without 4, which is padding, 1 and 3.
  found = info_nce(u, v, 2.0, same)[0]
  keep = np.array([0, 1, 3, 4])
  np.testing.assert_allclose(info_nce(u[keep], v[keep], 2.0, NONE(4))[0], found, rtol=1e-6)
  mask = jnp.array([1, 1, 1, 1, 0], bool)
  keep = keep[:3]
  expected = info_nce(u[keep], v[keep], 2.0, NONE(3))[0]
  np.testing.assert_allclose(info_nce(u, v, 2.0, same, mask)[0], expected, rtol=1e-6)
  slope = jax.grad(lambda v: info_nce(u, v, 2.0, same, mask)[:4].sum())(v)
  assert np.isfinite(slope).all() and not slope[4].any() and slope[:4].any()


@pytest.mark.parametrize("s", [1.0, 50.0])
def test_the_slope_by_the_temperature(s):
  u, v = unit(6, 4), unit(7, 4)
  total = lambda s: float(info_nce(u, v, s, NONE(4)).sum())
  slope = jax.grad(lambda s: info_nce(u, v, s, NONE(4)).sum())(s)
  np.testing.assert_allclose(slope, (total(s + 0.05) - total(s - 0.05)) / 0.1, rtol=1e-2, atol=1e-3)
