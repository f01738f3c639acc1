"""Small classifiers whose last hidden layer serves as a feature extractor."""

from __future__ import annotations

import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array, PyTree
from gen_jax.nets.conv import max_pool
from gen_jax.nets.dense import Dense


class Classifier(nn.Module):
  """x [B, H, W, C] or [B, D], scaled -> (logits [B, K], features [B, features]).

  For images pairs of 3x3 convolutions, halving the resolution after each pair down to 7 pixels or
  fewer; for vectors a hidden layer instead. Then one dense layer, whose activations are the
  features, and the logits.
  """

  classes: int
  width: int = 32
  features: int = 128
  dropout: float = 0.4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: Array, train: bool = False) -> tuple[Array, Array]:
    kwargs = {"dtype": self.dtype, "param_dtype": jnp.promote_types(self.dtype, jnp.float32)}
    if x.ndim == 4:
      width = self.width
      while True:
        for _ in range(2):
          x = self.seen(nn.relu(nn.Conv(width, (3, 3), **kwargs)(x)))
        x = max_pool(x)
        if min(x.shape[1:3]) <= 7:
          break
        width *= 2
      x = x.reshape(len(x), -1)
    else:
      x = self.seen(nn.relu(Dense(self.features, **kwargs)(x)))
    x = nn.Dropout(self.dropout, deterministic=not train)(x)
    features = self.seen(nn.relu(Dense(self.features, **kwargs)(x)))
    h = nn.Dropout(self.dropout, deterministic=not train)(features)
    return Dense(self.classes, **kwargs)(h), features

  def seen(self, x: Array) -> Array:
    """x, which `layers` can look at."""
    if not self.is_initializing():
      self.sow("layers", "each", x)
    return x


def layers(net: Classifier, params: PyTree, x: Array) -> tuple[Array, ...]:
  """The activations of every layer but the logits, in their order: maps [B, h, w, width], and last
  the features [B, features]."""
  _, kept = net.apply({"params": params}, x, mutable=["layers"])
  return kept["layers"]["each"]
