"""Vector quantisation (van den Oord, Vinyals & Kavukcuoglu 2017, arXiv:1711.00937).

  code       k(z) = argmin_k || z - e_k ||^2                                          (eq. 1, 2)
  forward    z_q = z + sg(e_k - z), whose gradient is that of z                      (section 3.2)
  loss       || sg(z) - e_k ||^2 + beta || z - sg(e_k) ||^2                           (eq. 3)
  average    N_k <- g N_k + (1 - g) n_k,  m_k <- g m_k + (1 - g) sum_k z,  e_k = m_k / N_k
                                                                                    (appendix A.1)

sg stops the gradient; n_k vectors of a batch have the code k, and sum_k z is their sum.

Shapes: z is [B, ..., D], one vector at each of an example's positions; the codebook is [K, D].
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array


def nearest(z: Array, codebook: Array) -> Array:
  """The code of each vector: z [..., D], codebook [K, D] -> [...] int32, the first where they tie.

  Not differentiable: arg min has no gradient.
  """
  # At full precision: a rounded product of accelerators would give other codes.
  product = jnp.einsum("...d,kd->...k", z, codebook, precision=lax.Precision.HIGHEST)
  return jnp.argmin((codebook**2).sum(-1) - 2 * product, axis=-1).astype(jnp.int32)


def straight_through(z: Array, e: Array) -> Array:
  """e, with the gradient of z."""
  return z + lax.stop_gradient(e - z)


def mean_square(x: Array) -> Array:
  """Mean of the squares of each example: [B, ...] -> [B]."""
  return (x**2).mean(axis=tuple(range(1, x.ndim)))


def codebook_loss(z: Array, e: Array) -> Array:
  """Moves the chosen entries e [B, ..., D] to z; a mean over positions and dimensions -> [B]."""
  return mean_square(lax.stop_gradient(z) - e)


def commitment_loss(z: Array, e: Array) -> Array:
  """Moves z [B, ..., D] to the chosen entries; a mean over positions and dimensions -> [B]."""
  return mean_square(z - lax.stop_gradient(e))


def at_positions(mask: Array | None, code: Array) -> Array:
  """mask [B] of examples -> [B, ...] of their vectors; True without a mask."""
  if mask is None:
    return jnp.ones(code.shape, bool)
  return jnp.broadcast_to(mask.reshape(-1, *[1] * (code.ndim - 1)), code.shape)


def assigned(z: Array, code: Array, size: int, mask: Array | None = None) -> tuple[Array, Array]:
  """n_k [K], how many vectors have each code, and sum_k z [K, D], their sum.

  Args:
    z: vectors [B, ..., D].
    code: of each, [B, ...].
    size: K.
    mask: [B], False for examples that do not count.
  """
  use = at_positions(mask, code).reshape(-1)
  z = jnp.where(use[:, None], z.reshape(-1, z.shape[-1]), 0)
  # A product, not a scatter: its sums have one order, and devices add up theirs.
  member = jax.nn.one_hot(code.reshape(-1), size, dtype=z.dtype) * use[:, None]
  return member.sum(0), jnp.einsum("nk,nd->kd", member, z, precision=lax.Precision.HIGHEST)


def average(
  codebook: Array, count: Array, n: Array, total: Array, decay: float
) -> tuple[Array, Array]:
  """One step of the moving averages: (codebook [K, D], N_k [K]) after a batch.

  With m_k = N_k e_k put in, the new e_k is e_k + (1 - g) (sum_k z - n_k e_k) / N_k, which leaves
  an entry without vectors exactly where it is.

  Args:
    codebook, count: e_k and N_k.
    n, total: n_k and sum_k z of the batch, of `assigned`.
    decay: g.
  """
  count = decay * count + (1 - decay) * n
  pull = (1 - decay) * (total - n[:, None] * codebook)
  return codebook + pull / jnp.maximum(count, jnp.finfo(count.dtype).tiny)[:, None], count


def entropy(count: Array) -> Array:
  """Entropy in nats of how often codes are used, count [K]; its exponential is the perplexity."""
  p = count / jnp.maximum(count.sum(), 1)
  return jax.scipy.special.entr(p).sum()


def choose(key: Array, weight: Array, size: int) -> Array:
  """`size` indices [size] of weight [N] >= 0, drawn without replacement in proportion to it.

  By Gumbel noise (Efraimidis & Spirakis 2006); where there are fewer than `size`, they repeat.
  """
  score = jnp.log(weight) + jax.random.gumbel(key, weight.shape, weight.dtype)
  chosen = lax.top_k(score, min(size, len(weight)))[1]
  return chosen[jnp.arange(size) % len(chosen)]


def restart(key: Array, codebook: Array, dead: Array, z: Array, use: Array) -> Array:
  """The codebook [K, D] with the dead entries, dead [K], set to vectors of z [N, D], use [N] True.

  Those far from every entry are likelier, in proportion to the squared distance, so that two
  entries do not come to stand in one place.
  """
  distance = ((z - codebook[nearest(z, codebook)]) ** 2).sum(-1)
  rows = choose(key, jnp.where(use, distance, 0), len(codebook))
  rank = jnp.cumsum(dead) - 1
  return jnp.where(dead[:, None], z[rows[rank]], codebook)
