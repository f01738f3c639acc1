"""Consistency models: f(x_t, t) is where the probability flow through x_t ends, at t = 0.

On the path x_t = x_0 + t eps (`path.edm`):

  loss    w(t) ( sqrt(|| f(x_t, t) - sg f(x_r, r) ||^2 + c^2) - c ),   w = 1 / (t - r)
          x_t and x_r with the same x_0 and eps;  f(x, 0) = x
  r       = t (1 - n(t) / 2^a), at least 0,   n(t) = 1 + 8 / (1 + e^t),   a = 1, 2, ... in training
  sample  x = f(T z, T);  and again x = f(x + t z, t) for further t, each a call of the network

With r = 0 it is a denoiser's loss; as r comes near to t it holds f constant along the flow. (ECT:
Geng et al. 2024, arXiv:2406.14548, eq. 12 to 15; sampling: Song et al. 2023, arXiv:2303.01469,
algorithm 1; the pseudo-Huber distance: Song & Dhariwal 2023, arXiv:2310.14189)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array, fold_all
from gen_jax.diffusion.algebra import expand
from gen_jax.losses.likelihoods import sum_dims

# (x_t [B, ...], t [B]) -> [B, ...]
Consistency = Callable[[Array, Array], Array]


def nearer(t: Array, a: Array) -> Array:
  """r of times t, in the stage a of training."""
  return t * jnp.maximum(1 - (1 + 8 * jax.nn.sigmoid(-t)) * 2.0 ** -jnp.asarray(a, t.dtype), 0)


def loss(f: Consistency, x0: Array, eps: Array, t: Array, r: Array, c: float) -> Array:
  """The loss [B] of x0, eps [B, ...] at times t > r [B]; what f is at r = 0 is not asked."""
  at = lambda t: x0 + expand(t, x0) * eps
  inside = jnp.where(r > 0, r, t)
  target = jnp.where(expand(r, x0) > 0, f(at(inside), inside), x0)
  difference = f(at(t), t) - lax.stop_gradient(target)
  return (jnp.sqrt(sum_dims(difference**2) + c**2) - c) / (t - r)


def sample(
  f: Consistency, keys: Array, shape: tuple[int, ...], times: Sequence[float], dtype=jnp.float32
) -> Array:
  """Samples after each call of the network, noise first: [len(times) + 1, n, *shape].

  Args:
    f: the model.
    keys: [n].
    shape: of an example.
    times: the largest noise, and those that are added again after it.
  """
  normal = lambda i: jax.vmap(lambda k: jax.random.normal(k, shape, dtype))(fold_all(keys, i))
  x, frames = jnp.zeros((keys.shape[0], *shape), dtype), []
  for i, t in enumerate(times):
    noisy = x + t * normal(i)
    frames += [] if frames else [noisy]
    x = f(noisy, jnp.full(keys.shape[0], t, dtype))
    frames.append(x)
  return jnp.stack(frames)
