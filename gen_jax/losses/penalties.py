"""Penalties on a critic, per example; all but the last on its gradient at whole examples.

  wgan_gp   (||grad D(x')|| - 1)^2,  x' = a x + (1 - a) y,  a ~ U[0, 1]    (Gulrajani et al. 2017)
  dragan    (||grad D(x')|| - 1)^2,  x' = x + a u std(x) / 2,  a ~ U[0, 1], u ~ U[0, 1)^D
                                                                              (Kodali et al. 2017)
  r1        ||grad D(x)||^2 / 2                              (Mescheder et al. 2018, eq. 9, gamma 1)
  r2        ||grad D(y)||^2 / 2, of the y at hand            (Mescheder et al. 2018, eq. 10)
  drift     D(x)^2, against logits that wander off           (Karras et al. 2018, appendix A.1)

with a drawn once for each example. The norm is Euclidean, over everything but the batch axis: an
image has one norm, not one for each pixel, row or channel.

A critic here is a function x [B, ...] -> logit [B]. Where the i-th logit depends on x[i] only, the
gradient at x[i] is that of D(x[i]). A critic that sees several examples at once has another one:
a packed critic's example is the whole pack, with one norm; where logits of one batch depend on
each other (minibatch standard deviation, batch normalisation) it is d sum_j D_j / d x_i, as in the
sources: not the slope of one logit, and zero where the others cancel it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.schema import NonNegative

Critic = Callable[[Array], Array]


def squared_norm(critic: Critic, x: Array) -> Array:
  """||d sum_j critic(x)_j / d x_i||^2 [B], over all of an example of x [B, ...]."""

  def total(x):
    logits = critic(x)
    chex.assert_shape(logits, (len(x),))
    return logits.sum()

  return jnp.sum(jax.grad(total)(x).reshape(len(x), -1) ** 2, axis=-1)


def gradient_norm(critic: Critic, x: Array) -> Array:
  """||d sum_j critic(x)_j / d x_i|| [B]. Where it is 0, its own gradient is 0 and not NaN."""
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


def r2(critic: Critic, key: Array, real: Array, fake: Array, mask=None) -> Array:
  """norm^2 / 2 [B] at the fakes [B, ...]."""
  del key, real, mask
  return squared_norm(critic, fake) / 2


def drift(critic: Critic, key: Array, real: Array, fake: Array, mask=None) -> Array:
  """logit^2 [B] of the real examples [B, ...]."""
  del key, fake, mask
  return critic(real) ** 2


PENALTIES: Mapping[str, Callable[..., Array]] = {
  "wgan_gp": wgan_gp, "dragan": dragan, "r1": r1, "r2": r2, "drift": drift,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Penalties:
  """A weight for each entry of PENALTIES; one of weight 0 is not computed.

  wgan_gp, dragan: the sources' lambda, 10.
  r1, r2: gamma.
  drift: the source's epsilon, 0.001.
  """

  wgan_gp: NonNegative = 0.0
  dragan: NonNegative = 0.0
  r1: NonNegative = 0.0
  r2: NonNegative = 0.0
  drift: NonNegative = 0.0

  def active(self) -> dict[str, float]:
    """The weights that are not 0, by name."""
    return {name: weight for name, weight in dataclasses.asdict(self).items() if weight}

  def of_gradient(self) -> dict[str, float]:
    """Those of the gradient."""
    return {name: weight for name, weight in self.active().items() if name != "drift"}


def penalise(
  weights: Penalties, critic: Critic, key: Array, real: Array, fake: Array, mask=None
) -> tuple[Array, dict[str, Array]]:
  """Weighted sum [B] of the penalties, 0 where there are none, and each without its weight.

  Returns:
    [B] or a scalar 0, and {penalty_NAME: [B]}.
  """
  active = weights.active()
  keys = jax.random.split(key, len(active)) if len(active) > 1 else [key]
  found = {
    name: PENALTIES[name](critic, k, real, fake, mask)
    for k, name in zip(keys, active, strict=False)
  }
  total = sum((active[name] * value for name, value in found.items()), jnp.zeros((), real.dtype))
  return total, {f"penalty_{name}": value for name, value in found.items()}
