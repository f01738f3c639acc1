"""Descending one loss without helping another (Zhang, Lemoine & Mitchell 2018, arXiv:1801.07593).

  direction = g_P - (g_P . u) u - alpha g_A,   u = g_A / |g_A|                              (eq. 1)

with the gradients of both losses with respect to the same parameters, all of them as one vector: a
projection of each array by itself is another direction, which depends on how they are divided.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gen_jax.core import Array, PyTree


def opposed(
  gradient: PyTree, adverse: PyTree, alpha: Array | float, project: bool = True
) -> PyTree:
  """The direction above, of gradients g_P = gradient and g_A = adverse of one structure.

  Without `project`, g_P - alpha g_A. Where g_A is 0 it is g_P.
  """
  p, back = ravel_pytree(gradient)
  a, _ = ravel_pytree(adverse)
  if project:
    norm = jnp.linalg.norm(a)
    u = a / jnp.maximum(norm, jnp.finfo(a.dtype).tiny)
    p = p - (p @ u) * u
  return back(p - alpha * a)
