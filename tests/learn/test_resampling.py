"""Weights of rare codes against numpy, and what they must come to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.learn import resampling

RULES = ("product", "max", "tempered")
ALL = jnp.ones(4000, bool)


def weighed(z, rule, use=ALL, count=10, alpha=1e-3, **how):
  bins = resampling.bins_of(z, z.mean(0), z.std(0), count)
  q = resampling.relative(resampling.histogram(bins, use.astype(z.dtype), count))
  return bins, np.exp(np.asarray(resampling.log_weights(bins, q, use, rule, alpha, **how)))


def normal(dims, n=4000):
  return jnp.asarray(np.random.default_rng(0).normal(size=(n, dims)), jnp.float32)


def test_histogram_is_numpy_s_with_open_ends():
  z = normal(3)
  bins = resampling.bins_of(z, z.mean(0), z.std(0), 10)
  ours = resampling.histogram(bins, jnp.ones(len(z)), 10)
  at = (np.asarray(z) - np.asarray(z).mean(0)) / np.asarray(z).std(0)
  edges = np.linspace(-4, 4, 11)
  edges[[0, -1]] = -np.inf, np.inf
  for row, values in zip(np.asarray(ours), at.T, strict=True):
    assert np.abs(row - np.histogram(values, edges)[0]).max() <= 1  # an edge, in float32
  np.testing.assert_allclose(resampling.relative(ours).mean(1), 1, rtol=1e-5)
  np.testing.assert_array_equal(resampling.relative(jnp.zeros((2, 5))), 1)


@pytest.mark.parametrize("rule", RULES)
def test_even_codes_are_weighed_alike_and_a_bin_twice_as_full_half_as_much(rule):
  bins = jnp.repeat(jnp.arange(10), 8)[:, None]
  even = resampling.relative(resampling.histogram(bins, jnp.ones(80), 10))
  w = jnp.exp(resampling.log_weights(bins, even, jnp.ones(80, bool), rule, 1e-6))
  np.testing.assert_allclose(w / w.sum(), 1 / 80, rtol=1e-4)
  doubled = jnp.concatenate([bins, bins[:8]])
  q = resampling.relative(resampling.histogram(doubled, jnp.ones(88), 10))
  use = jnp.ones(88, bool)
  w = np.exp(np.asarray(resampling.log_weights(doubled, q, use, rule, 1e-6, share=0.1)))
  np.testing.assert_allclose(w[[0, 80]] / w[10], 0.5, rtol=1e-3)
  np.testing.assert_allclose(w[[*range(8), *range(80, 88)]].sum(), w[8:16].sum(), rtol=1e-3)


def test_effective_size_is_the_ratio_of_sums_and_tempered_holds_it():
  z = normal(5)
  for rule in RULES:
    _, w = weighed(z, rule)
    size = resampling.effective_size(jnp.log(w))
    np.testing.assert_allclose(size, w.sum() ** 2 / (w.astype(np.float64) ** 2).sum(), rtol=1e-3)
  np.testing.assert_allclose(size, 1000, rtol=0.01)  # a quarter
  _, product = weighed(z, "product")
  _, free = weighed(z, "tempered", share=1e-6)
  np.testing.assert_allclose(free, product, rtol=1e-4)
  assert resampling.effective_size(jnp.log(product)) < 150  # 108 of 10,000 in five dimensions


def test_drawn_codes_of_one_latent_are_spread_evenly():
  z = normal(1)
  bins, w = weighed(z, "product", alpha=1e-6)
  log_w = jnp.log(w)
  index = resampling.draw(jax.random.key(0), log_w, ALL, 4000)
  filled = np.unique(np.asarray(bins))
  count = np.bincount(np.asarray(bins)[np.asarray(index), 0], minlength=10)[filled]
  assert stats.chisquare(count).pvalue > 1e-3
  some = jnp.arange(4000) < 7
  index = resampling.draw(jax.random.key(1), jnp.full(4000, -jnp.inf), some, 700)
  assert stats.chisquare(np.bincount(np.asarray(index), minlength=7)).pvalue > 1e-3


@pytest.mark.parametrize("rule", ("none", *RULES))
def test_what_is_not_in_use_does_not_count(rule):
  z, use = normal(2, 40), jnp.arange(40) < 30
  bins, w = weighed(z, rule, use)
  assert (w[30:] == 0).all()
  _, alone = weighed(z[:30], rule, use[:30])
  moved = z.at[30:].add(0.01)
  q = resampling.relative(resampling.histogram(bins, use.astype(z.dtype), 10))
  of = lambda z: resampling.log_weights(bins, q, use, rule, 1e-3)
  np.testing.assert_array_equal(of(z)[:30], of(moved)[:30])
  nothing = resampling.log_weights(bins, q, jnp.zeros(40, bool), rule, 1e-3)
  assert (nothing == -jnp.inf).all()
