"""Colours a, b as codes over the cells of a grid (Zhang, Isola & Efros 2016, arXiv:1603.08511).

  z    soft code of ab: the bins q by exp(-|ab - q|^2 / (2 sigma^2)), normalised      (section 2.2)
  w    weight of a bin: ((1 - lambda) p + lambda / Q)^-1, with E_p[w] = 1              (eq. 4)
  loss - w(q*) sum_q z_q log p_q,  q* the nearest bin                                  (eq. 2, 3)
  f_T  annealed mean: sum_q softmax(log p / T)_q q                                     (eq. 5)

The source keeps the five nearest bins of a code, for speed; here all have their weight. Its 313
bins are the content of a file; here they are the cells of the same grid that sRGB colours hit.
"""

from __future__ import annotations

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from gen_jax.colour import rgb_to_lab
from gen_jax.core import Array

SPACING = 10
REACH = 12  # cells from 0, each way, that any ab is in
LATTICE = 33  # values of each channel whose colours are looked at


@functools.cache
def bins() -> np.ndarray:
  """Centres float64 [Q, 2] of the cells of side SPACING, one of them about ab = 0, that a colour of
  a regular lattice of sRGB falls into, in the order of a, then b."""
  channel = np.linspace(0, 1, LATTICE)
  rgb = np.stack(np.meshgrid(channel, channel, channel), -1).reshape(-1, 3)
  with jax.ensure_compile_time_eval():
    ab = np.asarray(rgb_to_lab(jnp.asarray(rgb, jnp.float32)))[:, 1:]
  return SPACING * np.unique(np.rint(ab / SPACING), axis=0).astype(np.float64)


@functools.cache
def cells() -> np.ndarray:
  """Position among `bins` of the nearest one to the centre of each cell, int32 [N, N], cell (i, j)
  being that of a, b = SPACING (i - N // 2), SPACING (j - N // 2)."""
  side = 2 * REACH + 1
  grid = SPACING * (np.stack(np.indices((side, side)), -1) - REACH)
  apart = ((grid[:, :, None] - bins()) ** 2).sum(-1)
  return apart.argmin(-1).astype(np.int32)


def nearest(ab: Array) -> Array:
  """Position among `bins` of the bin of ab [..., 2]: int32 [...]. It is the nearest one, but where
  no colour of sRGB is."""
  chex.assert_axis_dimension(ab, -1, 2)
  at = jnp.clip(jnp.rint(ab / SPACING).astype(jnp.int32) + REACH, 0, 2 * REACH)
  return jnp.asarray(cells())[at[..., 0], at[..., 1]]


def soft_code(ab: Array, sigma: float) -> Array:
  """z [..., Q] of ab [..., 2] over the `bins`; one-hot where sigma is 0."""
  chex.assert_axis_dimension(ab, -1, 2)
  centres = jnp.asarray(bins(), ab.dtype)
  if not sigma:
    return jax.nn.one_hot(nearest(ab), len(centres), dtype=ab.dtype)
  # |ab|^2, the same for all bins, cancels.
  near = jnp.matmul(ab, centres.T, precision="highest") - (centres**2).sum(1) / 2
  return jax.nn.softmax(near / sigma**2, axis=-1)


def cross_entropy(logits: Array, ab: Array, sigma: float) -> Array:
  """- sum_q z_q log p_q [...] of logits [..., Q] of the `bins` for ab [..., 2], in nats."""
  if sigma:
    return optax.softmax_cross_entropy(logits, soft_code(ab, sigma))
  return optax.softmax_cross_entropy_with_integer_labels(logits, nearest(ab))


def bin_weights(prior: Array, uniform: float) -> Array:
  """w [Q] of bins of shares prior [Q]; uniform: lambda, 1 for equal weights."""
  w = 1 / ((1 - uniform) * prior + uniform / len(prior))
  return w / (prior * w).sum()


def annealed_mean(logits: Array, temperature: float) -> Array:
  """f_T [..., 2] of logits [..., Q] of the `bins`; the most probable of them at temperature 0."""
  centres = jnp.asarray(bins(), logits.dtype)
  if not temperature:
    return centres[logits.argmax(-1)]
  share = jax.nn.softmax(logits / temperature, axis=-1)
  return jnp.matmul(share, centres, precision="highest")
