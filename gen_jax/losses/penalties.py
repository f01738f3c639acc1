"""Penalties on the gradient of a critic with respect to whole examples, per example.

  wgan_gp   (||grad D(x')|| - 1)^2,  x' = a x + (1 - a) y,  a ~ U[0, 1]    (Gulrajani et al. 2017)
  dragan    (||grad D(x')|| - 1)^2,  x' = x + a u std(x) / 2,  a ~ U[0, 1], u ~ U[0, 1)^D
                                                                              (Kodali et al. 2017)
  r1        ||grad D(x)||^2 / 2                              (Mescheder et al. 2018, eq. 9, gamma 1)

with a drawn once for each example. The norm is Euclidean, over everything but the batch axis: an
image has one norm, not one for each pixel, row or channel.

A critic here is a function x [B, ...] -> logit [B] whose i-th logit depends on x[i] only; batch
normalisation breaks that, and its critic cannot be penalised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array

Critic = Callable[[Array], Array]


def squared_norm(critic: Critic, x: Array) -> Array:
  """||d critic(x)_i / d x_i||^2 [B], over all of an example of x [B, ...]."""

  def total(x):
    logits = critic(x)
    chex.assert_shape(logits, (len(x),))
    return logits.sum()

  return jnp.sum(jax.grad(total)(x).reshape(len(x), -1) ** 2, axis=-1)


def gradient_norm(critic: Critic, x: Array) -> Array:
  """||d critic(x)_i / d x_i|| [B]. Where it is 0, its own gradient is 0 and not NaN."""
  square = squared_norm(critic, x)
  positive = square > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def share(key: Array, x: Array) -> Array:
  """a ~ U[0, 1) for each example of x [B, ...]: [B, 1, ...]."""
  return jax.random.uniform(key, (len(x), *[1] * (x.ndim - 1)), x.dtype)


def interpolate(key: Array, real: Array, fake: Array) -> Array:
  """A point [B, ...] on the line between each real example and its fake partner."""
  chex.assert_equal_shape([real, fake])
  a = share(key, real)
  return a * real + (1 - a) * fake


def perturb(key: Array, real: Array, mask: Array | None = None) -> Array:
  """A point [B, ...] near each real example, up to half a standard deviation of the batch above.

  The standard deviation is one number, over all values of the examples with mask [B] True.
  """
  a_key, u_key = jax.random.split(key)
  where = None if mask is None else mask.reshape(-1, *[1] * (real.ndim - 1))
  u = jax.random.uniform(u_key, real.shape, real.dtype)
  return real + share(a_key, real) * 0.5 * real.std(where=where) * u


def wgan_gp(critic: Critic, key: Array, real: Array, fake: Array, mask=None) -> Array:
  """(norm - 1)^2 [B] on the line between real and fake [B, ...]."""
  del mask
  return (gradient_norm(critic, interpolate(key, real, fake)) - 1) ** 2


def dragan(critic: Critic, key: Array, real: Array, fake: Array, mask=None) -> Array:
  """(norm - 1)^2 [B] near the real examples [B, ...] that mask [B] says are no padding."""
  del fake
  return (gradient_norm(critic, perturb(key, real, mask)) - 1) ** 2


def r1(critic: Critic, key: Array, real: Array, fake: Array, mask=None) -> Array:
  """norm^2 / 2 [B] at the real examples [B, ...]."""
  del key, fake, mask
  return squared_norm(critic, real) / 2


PENALTIES: Mapping[str, Callable[..., Array]] = {"wgan_gp": wgan_gp, "dragan": dragan, "r1": r1}
