"""Which word of one language is which of another, from vectors of both.

procrustes   W = argmin over orthogonal W of sum_k |x_k W - y_k|^2 = U V^T,
             U S V^T = sum_k x_k y_k^T                             (Schoenemann 1966)
csls         2 cos(x, y) - r(x) - r(y), r the mean cosine of the k nearest neighbours in the
             other language                          (Conneau et al. 2018, arXiv:1710.04087, eq. 3)
mutual       pairs each of whose words is the best of the other's
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from gen_jax.core import Array

matmul = functools.partial(jnp.matmul, precision="highest")
EMPTY = 1e-6  # of the largest singular value: below it a direction is rounding noise


def settled(score: Array) -> Array:
  """Scores on a grid of eps^{1/2}: equals, as words used alike are, are equal whatever the order of
  the sums they come from, and the first of them is chosen."""
  grid = jnp.finfo(score.dtype).eps ** 0.5
  return jnp.round(score / grid) * grid


def unit(x: Array) -> Array:
  """Rows of x [V, F] at length 1; those of zeros stay."""
  return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def normalised(x: Array, there: Array) -> Array:
  """Rows of x [V, F] at length 1, about their mean, and at length 1 again (Artetxe et al. 2018,
  arXiv:1805.06297, section 3.1); zeros where `there` [V] is False."""
  x = jnp.where(there[:, None], unit(x), 0)
  mean = x.sum(0) / jnp.maximum(there.sum(), 1)
  return unit(jnp.where(there[:, None], x - mean, 0))


def procrustes(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
  """(U, V) [F, F], with which x U and y V are in one space: W = U V^T.

  The first columns are those in which the two agree most; columns are zeros where the pairs say
  nothing.

  Args:
    x, y: [P, F], of pairs.
    weight: [P].
  """
  u, s, vt = jnp.linalg.svd(matmul((weight[:, None] * x).T, y))
  # Of either sign of a pair of columns the one whose largest entry is positive.
  sign = jnp.where(jnp.take_along_axis(u, jnp.abs(u).argmax(0)[None], 0) < 0, -1, 1)
  sign = jnp.where(s > EMPTY * s[0], sign, 0)
  return u * sign, vt.T * sign


def csls(x: Array, y: Array, k: int, there: tuple[Array, Array]) -> Array:
  """csls [V, V'] of unit vectors x [V, F] and y [V', F]; words that are not there [V], [V'] are
  nobody's neighbours."""
  cosine = matmul(x, y.T)
  near = lambda c, known: jax.lax.top_k(jnp.where(known, c, -1), min(k, c.shape[1]))[0].mean(1)
  return 2 * cosine - near(cosine, there[1])[:, None] - near(cosine.T, there[0])


def mutual(score: Array, there: tuple[Array, Array]) -> tuple[Array, Array]:
  """(the best of the other language for each word [V], whether it thinks so too and both are
  there [V]) of scores [V, V'].

  The first of equals is the best, so that mutual pairs are one to one.
  """
  masked = jnp.where(there[0][:, None] & there[1], settled(score), -jnp.inf)
  forward, backward = masked.argmax(1), masked.argmax(0)
  agree = backward[forward] == jnp.arange(len(score))
  return forward, agree & there[0] & there[1][forward]
