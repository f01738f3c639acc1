"""Noise on sentences: what stays, and how far words move; and the loss of their words."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.losses.sentences import noisy, word_nll

PAD, BOS, EOS = range(3)
WORDS = np.arange(10, 17)
SENTENCE = np.array([BOS, *WORDS, EOS, PAD, PAD], np.int32)


def draws(drop, shuffle, n=2000):
  keys = jax.random.split(jax.random.key(0), n)
  return np.asarray(jax.vmap(lambda k: noisy(k, SENTENCE, drop, shuffle, PAD, EOS))(keys))


def test_without_dropping_words_only_move_and_by_at_most_k():
  for k in (0, 1, 3):
    found = draws(0.0, k)
    assert (found[:, 0] == BOS).all() and (found[:, 8] == EOS).all() and (found[:, 9:] == PAD).all()
    np.testing.assert_array_equal(np.sort(found[:, 1:8]), np.broadcast_to(WORDS, (2000, 7)))
    moved = np.abs(found[:, 1:8] - WORDS)
    assert moved.max() == k


def test_words_are_dropped_as_often_as_said_and_one_stays():
  found = draws(0.3, 0)
  word = found >= 10
  assert abs(word.sum(1).mean() - 0.7 * 7) < 0.1
  assert (np.diff(found, axis=1)[word[:, 1:] & word[:, :-1]] > 0).all()  # in their order
  ends = (found == EOS).argmax(1)
  assert (word.sum(1) == ends - 1).all()  # <eos> comes right behind them
  assert (draws(1.0, 3) >= 10).sum(1).tolist() == [1] * 2000


def test_every_word_of_an_undecided_model_costs_log_v_and_padding_nothing():
  tokens = np.stack([SENTENCE, np.array([BOS, 10, EOS] + [PAD] * 8, np.int32)])
  found = word_nll(jnp.zeros((2, 10, 20)), tokens, PAD)
  np.testing.assert_allclose(found, np.log(20), rtol=1e-6)
  # Only the logits before words and <eos> matter.
  noise = np.zeros((2, 10, 20), np.float32)
  noise[0, 8:], noise[1, 2:] = 5 * np.arange(20), -3 * np.arange(20)
  np.testing.assert_array_equal(word_nll(jnp.asarray(noise), tokens, PAD), found)
  assert word_nll(jnp.zeros((1, 10, 20)), np.zeros((1, 11), np.int32), PAD)[0] == 0
