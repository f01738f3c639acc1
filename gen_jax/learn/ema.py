"""Exponential moving average of parameters."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gen_jax.core import Array, PyTree


def decay_at(decay: float, step: Array) -> Array:
  """The decay used at `step`: min(decay, (1 + step) / (10 + step)).

  Early averages forget the initial weights quickly; with decay 0.9999 the ramp ends after 90k
  steps (TensorFlow's `ExponentialMovingAverage(num_updates=step)`).
  """
  return jnp.minimum(decay, (1.0 + step) / (10.0 + step))


def update(average: PyTree, params: PyTree, decay: float, step: Array) -> PyTree:
  """average <- d average + (1 - d) params, leaf by leaf, d = decay_at(decay, step)."""
  d = decay_at(decay, step)
  return jax.tree.map(lambda a, p: (p + d * (a - p)).astype(a.dtype), average, params)
