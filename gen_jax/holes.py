"""Holes in images: boxes, the mean over a hole, its harmonic extension, and Poisson blending (Perez
et al. 2003).

With N_p the neighbours of a pixel p that are in the image, above, below, left and right, the
harmonic extension of v into a hole is u with

  |N_p| u_p - sum_{q in N_p, hidden} u_q = sum_{q in N_p, known} v_q     for every hidden p

so that u_p is the mean of its neighbours; the border of the image is free. Blending g into v
minimises int |grad f - grad g|^2 over the hole, with f = v around it (eq. 3), so that f - g is
harmonic:

  f = g + harmonic extension of (v - g)
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

Array = jax.Array


def boxes(keys: Array, height: int, width: int, low: int, high: int) -> Array:
  """A box somewhere in an image for each of keys [B]: bool [B, height, width].

  Its height and width are uniform in low..high, and its place is among those where it is whole.
  """

  def along(key, size):
    """bool [size]"""
    length_key, place_key = jax.random.split(key)
    length = jax.random.randint(length_key, (), low, high + 1)
    first = jax.random.randint(place_key, (), 0, size - length + 1)
    places = jnp.arange(size)
    return (places >= first) & (places < first + length)

  def box(key):
    rows, columns = jax.random.split(key)
    return along(rows, height)[:, None] & along(columns, width)

  return jax.vmap(box)(keys)


def over_hole(value: Array, hole: Array) -> Array:
  """The mean [B] over the hole [B, H, W] of value [B, H, W, C]; 0 without one."""
  chex.assert_rank([value, hole], [4, 3])
  chex.assert_equal_shape_prefix([value, hole], 3)
  total = jnp.where(hole[..., None], value, 0).sum(axis=(1, 2, 3))
  return total / (value.shape[-1] * jnp.maximum(hole.sum(axis=(1, 2)), 1))


def over_neighbours(x: Array) -> Array:
  """The sum over each pixel's neighbours in the image: [H, W] -> [H, W]."""
  x = jnp.pad(x, 1)
  return x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]


def solve(v: Array, hole: Array) -> Array:
  """u [H, W], 0 outside the hole: the harmonic extension of v [H, W] into hole [H, W], bool.

  By conjugate gradients, of which a hole n pixels wide needs some 5 n steps to rounding, and twice
  that at the border; a second solve, for what is left, mends the rounding of the first.
  """
  count = over_neighbours(jnp.ones_like(v))
  laplace = lambda u: jnp.where(hole, count * u - over_neighbours(u), 0)
  b = jnp.where(hole, over_neighbours(jnp.where(hole, 0, v)), 0)
  tol, most = 2 * jnp.finfo(v.dtype).eps, 16 * max(v.shape)
  u = jnp.zeros_like(v)
  for _ in range(2):
    u += cg(laplace, b - laplace(u), tol=tol, maxiter=most)[0]
  return u


def harmonic(v: Array, hole: Array) -> Array:
  """v [B, H, W, C] with its harmonic extension where hole [B, H, W] is True; 0 there if nothing of
  an image is known."""
  chex.assert_rank([v, hole], [4, 3])
  chex.assert_equal_shape_prefix([v, hole], 3)
  real = v.astype(jnp.promote_types(v.dtype, jnp.float32))
  of_channels = jax.vmap(solve, in_axes=(-1, None), out_axes=-1)
  return jnp.where(hole[..., None], jax.vmap(of_channels)(real, hole), real)


def blend(g: Array, v: Array, hole: Array) -> Array:
  """v [B, H, W, C], in its hole [B, H, W] g [B, H, W, C] with the offset that makes it fit."""
  chex.assert_equal_shape([g, v])
  hidden = hole[..., None]
  return jnp.where(hidden, g + harmonic(jnp.where(hidden, 0, v - g), hole), v)
