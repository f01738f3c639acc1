"""The average velocity of the probability flow between two times, for samples in a step or two.

On straight paths z_t = (1 - t) x_0 + t eps, whose velocity is v = eps - x_0:

  average   u(z_t, r, t) = 1 / (t - r) int_r^t v(z_s, s) ds
  identity  u = v - (t - r) du/dt,   du/dt = v d_z u + d_t u
  loss      || u - sg(v - (t - r) du/dt) ||^2,   divided by sg(|| . ||^2 + c)^p
  sample    z_r = z_t - (t - r) u(z_t, r, t)

(MeanFlow: Geng et al. 2025, arXiv:2505.13447, eq. 3, 6, 9 to 12, 22.) In du/dt v may be that of the
example's own x_0 and eps, or what the network says of it, u(z_t, t, t) (improved MeanFlow: Geng et
al. 2025, arXiv:2512.02012). With r = t it is flow matching.

The same average is learnt without a derivative where t - r is a power of 1/2, as one step that does
what two of half its length do (shortcut models: Frans et al. 2024, arXiv:2410.12557, eq. 3 to 5):

  halves    u(z_t, r, t) = (u(z_t, m, t) + u(z_m, r, m)) / 2,   m half way,   z_m by a step to it
  loss      || u - sg(the right side) ||^2,   and || u - v ||^2 where r = t
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array
from gen_jax.diffusion.algebra import corrupt, expand
from gen_jax.losses.diffusion import squared_error

# (z_t [B, ...], r [B], t [B]) -> [B, ...]
Average = Callable[[Array, Array, Array], Array]
Tangent = Literal["example", "network"]


def time_pairs(key: Array, count: int, share: float, dtype=jnp.float32) -> tuple[Array, Array]:
  """(r, t) [count] each, r <= t: the smaller and the larger of two uniform times in that share of
  the pairs, each by chance, and both the larger in the others."""
  time_key, share_key = jax.random.split(key)
  both = jax.random.uniform(time_key, (2, count), dtype)
  r, t = both.min(axis=0), both.max(axis=0)
  return jnp.where(jax.random.bernoulli(share_key, share, (count,)), r, t), t


def loss(
  u: Average, x0: Array, eps: Array, r: Array, t: Array, *, tangent: Tangent = "example",
  power: float = 0.0, floor: float = 1e-3,
) -> Array:  # fmt: skip
  """The loss [B] of x0, eps [B, ...] between times r <= t [B]; a mean over the dimensions.

  tangent: whose velocity du/dt is taken along.
  power, floor: p and c of the adaptive weight.
  """
  z, velocity = corrupt(x0, eps, 1 - t, t), eps - x0
  along = velocity if tangent == "example" else lax.stop_gradient(u(z, t, t))
  tangents = along, jnp.zeros_like(r), jnp.ones_like(t)
  value, slope = jax.jvp(u, (z, r, t), tangents)
  target = lax.stop_gradient(velocity - expand(t - r, z) * slope)
  error = squared_error(value, target)
  return error * (lax.stop_gradient(error) + floor) ** -power if power else error


def halved_times(
  key: Array, count: int, share: float, dtype=jnp.float32, *, halvings: int
) -> tuple[Array, Array]:
  """(r, t) [count] each: in that share of the pairs, each by chance, t - r = d is 1, 1/2, 1/4, ...,
  2^(1 - halvings), and t a multiple of d; in the others r = t are uniform."""
  length_key, place_key, share_key, time_key = jax.random.split(key, 4)
  parts = 2.0 ** jax.random.randint(length_key, (count,), 0, halvings).astype(dtype)
  t = jnp.ceil(jax.random.uniform(place_key, (count,), dtype, 1e-6, 1) * parts) / parts
  either = jax.random.bernoulli(share_key, share, (count,))
  plain = jax.random.uniform(time_key, (count,), dtype)
  return jnp.where(either, t - 1 / parts, plain), jnp.where(either, t, plain)


def shortcut_loss(
  u: Average, x0: Array, eps: Array, r: Array, t: Array, *, smallest: float
) -> Array:
  """The loss [B] of x0, eps [B, ...] between times r <= t [B]; a mean over the dimensions.

  smallest: t - r of the shortest steps: their halves are taken with the velocity, u at r = t.
  """
  z, velocity, m = corrupt(x0, eps, 1 - t, t), eps - x0, (r + t) / 2
  end = lambda r, t: jnp.where(t - r < smallest, t, r)
  first = u(z, end(m, t), t)
  z_m = z - expand(t - m, z) * first
  both = (first + u(z_m, end(r, m), m)) / 2
  target = jnp.where(expand(r < t, z), both, velocity)
  return squared_error(u(z, r, t), lax.stop_gradient(target))


def sample(u: Average, z: Array, steps: int) -> Array:
  """The states [steps + 1, n, ...] from noise z [n, ...] to samples, in equal steps of time."""
  times = jnp.linspace(1, 0, steps + 1, dtype=z.dtype)

  def step(z, at):
    t, r = (jnp.broadcast_to(time, z.shape[:1]) for time in at)
    z = z - expand(t - r, z) * u(z, r, t)
    return z, z

  return jnp.concatenate([z[None], lax.scan(step, z, (times[:-1], times[1:]))[1]])
