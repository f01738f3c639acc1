"""Losses of label images, per example; a pixel of weight 0 does not count."""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Array


def pixel_weights(
  labels: Array, class_weights: Array, ignore: int = -1, border: Array | float = 0.0
) -> Array:
  """The weight of each pixel's class and its own, 0 where it is of no class (Ronneberger et al.
  2015, eq. 2).

  Args:
    labels: [B, H, W] integers.
    class_weights: [K], fixed: not those of a batch, so that an example's loss is its own.
    ignore: label of pixels that do not count. Nor do labels outside 0..K-1.
    border: [B, H, W], what a pixel weighs more than its class.

  Returns:
    [B, H, W].
  """
  chex.assert_rank([labels, class_weights], [3, 1])
  labels = labels.astype(jnp.int32)
  counts = (labels >= 0) & (labels < len(class_weights)) & (labels != ignore)
  return jnp.where(counts, class_weights[jnp.where(counts, labels, 0)] + border, 0)


def per_weight(value: Array, weight: Array) -> Array:
  """Means of value [B, H, W] by weight [B, H, W] over the pixels of each example: [B]; 0 where no
  pixel counts."""
  total = weight.sum((1, 2))
  return (weight * value).sum((1, 2)) / jnp.where(total > 0, total, 1)


def pixel_cross_entropy(logits: Array, labels: Array, weight: Array) -> Array:
  """- sum_p w(p) log softmax(logits(p))[y(p)] / sum_p w(p), nats a pixel (Ronneberger et al. 2015,
  eq. 1, as a mean).

  Args:
    logits: [B, H, W, K].
    labels: [B, H, W] integers.
    weight: [B, H, W], 0 where a label is outside 0..K-1.

  Returns:
    [B].
  """
  chex.assert_equal_shape([logits[..., 0], labels, weight])
  labels = jnp.where(weight > 0, labels.astype(jnp.int32), 0)
  nll = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
  return per_weight(nll, weight)


def soft_dice_error(logits: Array, labels: Array, weight: Array, epsilon: float = 1.0) -> Array:
  """1 - mean_c (2 sum_p w p_c g_c + epsilon) / (sum_p w p_c + sum_p w g_c + epsilon); g is one-hot.

  The sums are over the pixels of one example, and the denominator is without squares, unlike that
  of V-Net (Milletari et al. 2016). The mean is over all K classes; one that is neither there nor
  predicted has 1.

  Args:
    logits, labels, weight: as of `pixel_cross_entropy`.
    epsilon: in pixels.

  Returns:
    [B], in [0, 1).
  """
  chex.assert_equal_shape([logits[..., 0], labels, weight])
  p, w = jax.nn.softmax(logits, axis=-1), weight[..., None]
  g = jax.nn.one_hot(labels, logits.shape[-1], dtype=p.dtype)
  over = lambda x: (w * x).sum((1, 2))
  dice = (2 * over(p * g) + epsilon) / (over(p) + over(g) + epsilon)
  return 1 - dice.mean(-1)


LOSSES = {
  "cross_entropy": pixel_cross_entropy,
  "dice": soft_dice_error,
  "both": lambda *args: pixel_cross_entropy(*args) + soft_dice_error(*args),
}
