"""Losses of label images against counts by hand and numerical differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from gen_jax.losses.segmentation import (
  LOSSES,
  per_weight,
  pixel_cross_entropy,
  pixel_weights,
  soft_dice_error,
)

LABELS = jnp.array([[[0, 0], [1, 1]], [[0, 1], [2, 255]]])
LOGITS = jax.random.normal(jax.random.key(0), (2, 2, 2, 3))
ONES = jnp.ones(3)


def test_weights_are_those_of_the_class_and_0_where_nothing_counts():
  weight = pixel_weights(LABELS, jnp.array([1.0, 2.0, 3.0]), ignore=0)
  np.testing.assert_array_equal(weight, [[[0, 0], [2, 2]], [[0, 2], [3, 0]]])


def test_a_pixel_of_no_class_has_no_border():
  border = jnp.full(LABELS.shape, 0.5)
  weight = pixel_weights(LABELS, jnp.array([1.0, 2.0, 3.0]), ignore=0, border=border)
  np.testing.assert_array_equal(weight, [[[0, 0], [2.5, 2.5]], [[0, 2.5], [3.5, 0]]])


def test_cross_entropy_of_even_logits_is_log_k_whatever_the_weights():
  weight = pixel_weights(LABELS, jnp.array([1.0, 2.0, 3.0]))
  loss = pixel_cross_entropy(jnp.zeros((2, 2, 2, 3)), LABELS, weight)
  np.testing.assert_allclose(loss, np.log([3, 3]), rtol=1e-6)


def test_cross_entropy_is_the_weighted_mean_of_log_p():
  weight = np.asarray(pixel_weights(LABELS, jnp.array([1.0, 2.0, 3.0])))
  p = np.exp(np.asarray(LOGITS, np.float64))
  p /= p.sum(-1, keepdims=True)
  second = [(w, p[1, i, j, k]) for (i, j, k, w) in ((0, 0, 0, 1), (0, 1, 1, 2), (1, 0, 2, 3))]
  wanted = -sum(w * np.log(q) for w, q in second) / 6
  np.testing.assert_allclose(pixel_cross_entropy(LOGITS, LABELS, weight)[1], wanted, rtol=1e-5)


def test_dice_of_certain_masks_counted_by_hand():
  """Truth 0 0 / 1 1, given 0 1 / 1 1: class 0 has 2 / 3, class 1 has 4 / 5; class 2 is nowhere."""
  given = jnp.array([[[0, 1], [1, 1]]])
  logits = 100 * jax.nn.one_hot(given, 3)
  weight = jnp.ones((1, 2, 2))
  error = soft_dice_error(logits, LABELS[:1], weight, epsilon=1e-9)
  np.testing.assert_allclose(error, [1 - (2 / 3 + 4 / 5 + 1) / 3], atol=1e-5)
  np.testing.assert_allclose(
    soft_dice_error(100 * jax.nn.one_hot(LABELS[:1], 3), LABELS[:1], weight), [0], atol=1e-6
  )


@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name):
  weight = pixel_weights(LABELS, jnp.array([1.0, 2.0, 3.0]))
  loss = lambda logits: LOSSES[name](logits, LABELS, weight).sum()
  check_grads(loss, (LOGITS,), order=1, modes=["rev"], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("name", LOSSES)
def test_an_example_is_its_own_and_ignored_pixels_do_not_matter(name):
  weight = pixel_weights(LABELS, ONES)
  both = LOSSES[name](LOGITS, LABELS, weight)
  alone = [LOSSES[name](LOGITS[i : i + 1], LABELS[i : i + 1], weight[i : i + 1]) for i in (0, 1)]
  np.testing.assert_allclose(both, jnp.concatenate(alone), rtol=1e-6)
  other = LOGITS.at[1, 1, 1].set(jnp.array([7.0, -7.0, 3.0]))
  np.testing.assert_allclose(LOSSES[name](other, LABELS, weight), both, rtol=1e-6)


def test_where_no_pixel_counts_the_loss_and_its_gradient_are_finite():
  nothing = jnp.full((1, 2, 2), 255)
  weight = pixel_weights(nothing, ONES)
  value, slope = jax.value_and_grad(lambda x: LOSSES["both"](x, nothing, weight).sum())(LOGITS[:1])
  assert value == 0 and not slope.any()
  assert per_weight(jnp.ones((1, 2, 2)), weight) == 0
