"""Codes of colours, against the definitions and what is known of their limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.colour import rgb_to_lab
from gen_jax.losses import colour


def drawn(n=2000, seed=0):
  """ab [n, 2] of sRGB colours."""
  rgb = np.random.default_rng(seed).uniform(size=(n, 3)).astype(np.float32)
  return rgb_to_lab(jnp.asarray(rgb))[:, 1:]


def test_bins_are_cells_that_srgb_hits_and_do_not_hang_on_rounding():
  bins = colour.bins()
  assert len(bins) == len(np.unique(bins, axis=0)) == 259
  assert not (bins % 10).any() and [0, 0] in bins.tolist()
  # Moved by far more than rounding, the same lattice falls into the same cells.
  channel = np.linspace(0, 1, colour.LATTICE)
  rgb = np.stack(np.meshgrid(channel, channel, channel), -1).reshape(-1, 3)
  ab = np.asarray(rgb_to_lab(jnp.asarray(rgb, jnp.float32)))[:, 1:]
  for shift in ([1e-3, 0], [-1e-3, 0], [0, 1e-3], [0, -1e-3]):
    np.testing.assert_array_equal(10 * np.unique(np.rint((ab + shift) / 10), axis=0), bins)


def test_the_bin_of_a_colour_is_the_nearest_one():
  ab = drawn()
  apart = ((np.asarray(ab)[:, None] - colour.bins()) ** 2).sum(-1)
  found = np.asarray(colour.nearest(ab))
  np.testing.assert_allclose(apart[np.arange(len(apart)), found], apart.min(1), atol=1e-2)
  assert int(colour.nearest(jnp.array([500.0, -500.0]))) < len(apart[0])


def test_soft_codes_follow_their_gaussian_and_have_their_colour_for_a_mean():
  ab = np.asarray(drawn())
  z = np.asarray(colour.soft_code(jnp.asarray(ab), 5.0))
  np.testing.assert_allclose(z.sum(1), 1, rtol=1e-5)
  one = [np.exp(-((a - b) ** 2).sum() / 50) for a in ab[:3] for b in colour.bins()]
  wanted = np.reshape(one, (3, -1))
  np.testing.assert_allclose(z[:3], wanted / wanted.sum(1, keepdims=True), atol=1e-5)
  assert np.abs(z @ colour.bins() - ab).max() < 5  # half a cell
  np.testing.assert_array_equal(z.argmax(1), colour.nearest(jnp.asarray(ab)))
  # The source's five nearest hold nearly all of it.
  assert np.sort(z, axis=1)[:, -5:].sum(1).min() > 0.85


def test_hard_codes_are_the_limit_of_narrow_ones():
  ab = drawn(200)
  hard = colour.soft_code(ab, 0)
  np.testing.assert_array_equal(hard.sum(1), 1)
  apart = np.sort(((np.asarray(ab)[:, None] - colour.bins()) ** 2).sum(-1), axis=1)
  clear = apart[:, 1] - apart[:, 0] > 5
  np.testing.assert_allclose(colour.soft_code(ab, 0.3)[clear], hard[clear], atol=1e-3)


@pytest.mark.parametrize("sigma", [0.0, 5.0])
def test_cross_entropy_is_least_at_the_code_itself(sigma):
  ab = drawn(50)
  code = np.asarray(colour.soft_code(ab, sigma))
  entropy = -np.sum(code * np.log(np.maximum(code, 1e-30)), axis=1)
  at = lambda logits: np.asarray(colour.cross_entropy(logits, ab, sigma))
  np.testing.assert_allclose(at(jnp.log(jnp.maximum(code, 1e-30))), entropy, atol=1e-4)
  np.testing.assert_allclose(at(jnp.zeros_like(code)), np.log(code.shape[1]), rtol=1e-5)
  gradient = jax.grad(lambda l: colour.cross_entropy(l, ab, sigma).sum())(jnp.zeros_like(code))
  np.testing.assert_allclose(gradient, 1 / code.shape[1] - code, atol=1e-5)


def test_weights_have_mean_one_and_are_none_without_rebalancing():
  prior = jnp.asarray([0.7, 0.2, 0.1, 0.0])
  np.testing.assert_allclose(colour.bin_weights(prior, 1.0), 1, rtol=1e-6)
  for share in (0.1, 0.5, 0.9):
    w = colour.bin_weights(prior, share)
    assert float((prior * w).sum()) == pytest.approx(1, rel=1e-6)
    assert (np.diff(w) > 0).all()
    # Of the weights' inverses, what they were mixed of.
    inverse = 1 / np.asarray(w)
    np.testing.assert_allclose(
      inverse / inverse.sum(), (1 - share) * np.asarray(prior) + share / 4, rtol=1e-5
    )


def test_the_annealed_mean_goes_from_the_mode_to_the_mean():
  logits = jax.random.normal(jax.random.key(0), (6, len(colour.bins())))
  share = np.exp(np.asarray(logits, np.float64))
  mean = (share @ colour.bins()) / share.sum(1, keepdims=True)
  np.testing.assert_allclose(colour.annealed_mean(logits, 1.0), mean, atol=1e-3)
  mode = colour.bins()[np.asarray(logits).argmax(1)]
  np.testing.assert_array_equal(colour.annealed_mean(logits, 0), mode)
  np.testing.assert_allclose(colour.annealed_mean(logits, 1e-3), mode, atol=1e-3)
  flat = colour.annealed_mean(logits, 1e6)
  np.testing.assert_allclose(flat, np.tile(colour.bins().mean(0), (6, 1)), atol=1e-2)
