"""Relaxed categorical variables: against the frequencies of draws, both limits, and Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.losses import gumbel

LOGITS = jnp.log(jnp.array([0.5, 0.2, 0.2, 0.1]))
NOISE = jax.random.gumbel(jax.random.key(0), (20_000, 4))


def test_the_largest_entry_has_the_probabilities_of_the_softmax_at_any_temperature():
  for temperature in (0.1, 1.0, 7.0):
    s = gumbel.relaxed(LOGITS, NOISE, temperature)
    np.testing.assert_allclose(s.sum(-1), 1, rtol=1e-5)
    count = np.bincount(s.argmax(-1), minlength=4)
    want = len(NOISE) * np.exp(LOGITS)
    assert ((count - want) ** 2 / want).sum() < 16.3  # chi square of 3 degrees, 0.1%


def test_it_is_one_hot_as_the_temperature_falls_and_even_as_it_rises():
  cold, hot = (gumbel.relaxed(LOGITS, NOISE, t) for t in (1e-4, 1e4))
  assert (cold.max(-1) > 0.999).mean() > 0.99
  np.testing.assert_allclose(hot.mean(0), 1 / 4, atol=1e-3)


def test_the_divergence_to_the_uniform_distribution():
  kl = lambda p: gumbel.uniform_kl(jnp.log(jnp.asarray(p)))
  np.testing.assert_allclose(kl([0.25] * 4), 0, atol=1e-6)
  np.testing.assert_allclose(kl([1.0, 1e-30, 1e-30, 1e-30]), np.log(4), rtol=1e-6)
  drawn = np.asarray(gumbel.relaxed(LOGITS, NOISE, 1.0).argmax(-1))
  each = np.asarray(LOGITS)[drawn] - np.log(1 / 4)  # log p - log q of draws of p
  error = 5 * each.std() / len(each) ** 0.5
  np.testing.assert_allclose(gumbel.uniform_kl(LOGITS + 3), each.mean(), atol=error)


def test_a_cosine_from_the_first_value_to_the_last():
  value = gumbel.cosine(jnp.array([0, 50, 100, 1000]), 1.0, 0.2, 100)
  np.testing.assert_allclose(value, [1, 0.6, 0.2, 0.2], rtol=1e-6)
