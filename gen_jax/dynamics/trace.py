"""The divergence of a field, exactly or by Hutchinson's estimate, and what it does to a density.

  exact        div f = sum_d e_d^T (df/dx) e_d
  Hutchinson   div f = E[v^T (df/dx) v],  E[v v^T] = I
                                   (FFJORD: Grathwohl et al. 2019, arXiv:1810.01367, eq. 7)
  density      x' = f(t, x):  d/dt log p(x(t), t) = -div f(t, x(t))
                                   (Chen et al. 2018, arXiv:1806.07366, theorem 1)

A field treats the examples of a batch apart: row i of f(x) depends on row i of x alone.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.dynamics.ode import Field


def rademacher(keys: Array, shape: tuple[int, ...], count: int, dtype=jnp.float32) -> Array:
  """Signs v [count, B, *shape], those of example i from its own of keys [B].

  Of all v with E[v v^T] = I they give Hutchinson's estimate the smallest variance. They are drawn
  once for a whole solution: drawn anew at every step, they make the field another one.
  """
  draw = lambda key: jax.random.rademacher(key, (count, *shape), dtype)
  return jnp.moveaxis(jax.vmap(draw)(keys), 0, 1)


def divergence(
  f: Callable[[Array], Array], x: Array, probes: Array | None = None
) -> tuple[Array, Array]:
  """f(x) [B, ...], and its divergence [B].

  Args:
    f: x [B, ...] -> [B, ...].
    x: where.
    probes: v [P, B, ...] of Hutchinson's estimate, a mean over P; None for the exact divergence,
      which takes one derivative for each of the dimensions of an example.
  """
  if probes is None:
    size = x[0].size
    basis = jnp.eye(size, dtype=x.dtype).reshape(size, 1, *x.shape[1:])
    directions, weight = jnp.broadcast_to(basis, (size, *x.shape)), 1.0
  else:
    directions, weight = probes, 1 / len(probes)
  along = jax.vmap(lambda v: jax.jvp(f, (x,), (v,)), out_axes=(None, 0))
  y, slopes = along(directions)
  each = (directions * slopes).sum(axis=(0, *range(2, directions.ndim)))
  return y, weight * each


def with_divergence(f: Field, probes: Array | None = None) -> Field:
  """The field of (x [B, ...], l [B]) with l' = div f(t, x).

  Along a solution from t_0 to t_1, log p(x(t_0), t_0) = log p(x(t_1), t_1) + l(t_1) - l(t_0).
  """

  def both(t, state):
    x, _ = state
    return divergence(lambda x: f(t, x), x, probes)

  return both
