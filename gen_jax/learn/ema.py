"""Exponential moving average of parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gen_jax.core import Array, PyTree

STATISTICS = 0.99  # decay of the running statistics of batch normalisation


def decay_at(decay: float, count: Array) -> Array:
  """The decay of an average that has seen `count` updates: min(decay, (1 + count) / (10 + count)).

  Early averages forget the initial weights quickly; with decay 0.9999 the ramp ends after 90k
  updates (TensorFlow's `ExponentialMovingAverage(num_updates=count)`).
  """
  return jnp.minimum(decay, (1.0 + count) / (10.0 + count))


def update(average: PyTree, params: PyTree, decay: float, count: Array) -> PyTree:
  """average <- d average + (1 - d) params, leaf by leaf, d = decay_at(decay, count).

  count: the updates that this average has seen, over all stages; kept beside it, in the state.
  """
  d = decay_at(decay, count)
  return jax.tree.map(lambda a, p: (p + d * (a - p)).astype(a.dtype), average, params)
