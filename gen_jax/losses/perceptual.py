"""Losses in the features of a network (Johnson, Alahi & Fei-Fei 2016, section 3.2), per example.

  feature   l_j = || phi_j(y) - phi_j(x) ||^2 / (H_j W_j C_j)       (eq. 2)
  style     s_j = || G_j(y) - G_j(x) ||_F^2,                        (eq. 4)
            G_j = sum over positions of phi_j phi_j^T / (H_j W_j C_j)   (eq. 3)

for the maps phi_j [B, H_j, W_j, C_j] of layer j, or vectors [B, F_j], which have no style.
"""

from __future__ import annotations

from collections.abc import Sequence

import chex
import jax.numpy as jnp

from gen_jax.core import Array


def feature_error(a: Array, b: Array) -> Array:
  """l_j [B] of features a, b [B, ...] of one layer: a mean over all but the examples."""
  chex.assert_equal_shape([a, b])
  return ((a - b) ** 2).mean(axis=tuple(range(1, a.ndim)))


def gram(a: Array) -> Array:
  """G_j [B, C, C] of a map [B, H, W, C]."""
  chex.assert_rank(a, 4)
  flat = a.reshape(len(a), -1, a.shape[-1])
  return jnp.einsum("bpc,bpd->bcd", flat, flat) / (flat.shape[1] * flat.shape[2])


def style_error(a: Array, b: Array) -> Array:
  """s_j [B] of maps a, b [B, H, W, C] of one layer."""
  return ((gram(a) - gram(b)) ** 2).sum((1, 2))


def feature_errors(a: Sequence[Array], b: Sequence[Array]) -> Array:
  """sum_j l_j [B] over layers."""
  return sum(feature_error(x, y) for x, y in zip(a, b, strict=True))


def style_errors(a: Sequence[Array], b: Sequence[Array]) -> Array:
  """sum_j s_j [B] over the layers that are maps."""
  return sum(style_error(x, y) for x, y in zip(a, b, strict=True) if x.ndim == 4)
