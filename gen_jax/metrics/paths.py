"""Paths between codes, and how fast what they decode to changes along them.

Shoemake 1985 and White 2016 (arXiv:1609.04468) for the sphere; Karras et al. 2019
(arXiv:1812.04948), section 4.1, for the length of paths.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array

Path = Callable[[Array, Array, Array], Array]


def lerp(a: Array, b: Array, t: Array) -> Array:
  """The point at t in [0, 1] of the line between vectors a, b [Z]."""
  return (1 - t) * a + t * b


def slerp(a: Array, b: Array, t: Array) -> Array:
  """Spherical interpolation of vectors a, b [Z] at t in [0, 1].

  The norm goes linearly from one to the other; parallel vectors are interpolated linearly.
  """
  na, nb = jnp.linalg.norm(a), jnp.linalg.norm(b)
  cosine = jnp.clip(a @ b / jnp.maximum(na * nb, 1e-12), -1, 1)
  angle = jnp.arccos(cosine)
  sine = jnp.sin(angle)
  along = (jnp.sin((1 - t) * angle) * a / na + jnp.sin(t * angle) * b / nb) / sine
  return jnp.where(sine < 1e-6, lerp(a, b, t), along * ((1 - t) * na + t * nb))


def squared_speed(
  decode: Callable[[Array], Array], path: Path, a: Array, b: Array, t: Array
) -> Array:
  """|| d decode(path(a, b, t)) / dt ||^2 [n], of pairs a, b [n, Z] at t [n].

  Its mean is the path length of Karras et al. 2019 under the squared distance of what is decoded,
  by the exact derivative in place of a difference quotient.

  decode: [n, Z] -> [n, ...], each row of its own.
  """
  chex.assert_equal_shape([a, b])
  along = lambda t: decode(jax.vmap(path)(a, b, t))
  # By reverse mode twice, as not every network can be differentiated forwards (`nets.conv`).
  y, pull = jax.vjp(along, t)
  _, push = jax.vjp(lambda v: pull(v)[0], jnp.zeros_like(y))
  (velocity,) = push(jnp.ones_like(t))
  return (velocity.reshape(len(t), -1) ** 2).sum(-1)
