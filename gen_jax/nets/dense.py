"""Dense layers of whatever has its features last, as products of two matrices.

XLA on CPU takes up to twice as long for the gradients of a product whose rows have several axes.
"""

from __future__ import annotations

from flax import linen as nn

from gen_jax.core import Array


def rows(x: Array) -> Array:
  """[..., K] -> [N, K]."""
  return x.reshape(-1, x.shape[-1])


def product(x: Array, w: Array) -> Array:
  """x [..., K] w [K, F] -> [..., F]."""
  return (rows(x) @ w).reshape(*x.shape[:-1], w.shape[-1])


class Dense(nn.Dense):
  """x [..., K] -> x W + b, [..., features]; its options are those of flax's."""

  @nn.compact
  def __call__(self, x: Array) -> Array:
    return super().__call__(rows(x)).reshape(*x.shape[:-1], self.features)
