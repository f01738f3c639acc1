"""Two chains of steps between data and noise, of which the forward one may be learnt too.

  forward    x_{i+1} = x_i + f(x_i, t_i) h_i + g_i sqrt(h_i) eps_i,   h_i = t_{i+1} - t_i
  backward   x_i = x_{i+1} - [f(x_{i+1}, t_{i+1}) - g_{i+1}^2 s(x_{i+1}, t_{i+1})] h_i
                   + g_{i+1} sqrt(h_i) eps'_i
  bound      log p(x_0) >= E log w,  x_1..x_N of the forward chain,
             log w = log N(x_N; 0, I)
                     + sum_i [ |eps_i|^2 / 2 - |eps'_i|^2 / 2 - D log(g_{i+1} / g_i) ]

eps'_i is the noise that leads back from x_{i+1} to x_i. (DiffFlow: Zhang & Chen 2021,
arXiv:2110.07579, eq. 9, 10 and 14; the last term is 0 of the constant g of its experiments, and is
not in its authors' code.) With several draws the log of the mean of w is a tighter bound (Burda et
al. 2016, eq. 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from gen_jax.core import Array
from gen_jax.diffusion.path import module
from gen_jax.losses.likelihoods import gaussian, sum_dims

# (x [B, ...], t scalar) -> [B, ...]
Field = Callable[[Array, Array], Array]
# i -> standard normal [B, ...], of step i
Noise = Callable[[Array], Array]


class Grid(NamedTuple):
  """Times t [N + 1] from 0 to 1, and the strength g [N + 1] of the noise at them; float64."""

  t: np.ndarray
  g: np.ndarray

  def steps(self, dtype) -> Steps:
    """As the rows of N steps."""
    columns = self.t[:-1], self.t[1:], np.diff(self.t), self.g[:-1], self.g[1:]
    return Steps(np.arange(len(self.t) - 1), *(jnp.asarray(c, dtype) for c in columns))


class Steps(NamedTuple):
  """The index i of steps, t_i, t_{i+1}, h_i, g_i and g_{i+1}, each [N], or those of one step."""

  i: Array
  t: Array
  t_next: Array
  h: Array
  g: Array
  g_next: Array


def strength(noise: tuple[float, float], t: Array) -> Array:
  """g(t), from the first of `noise` at t = 0 to the second at 1 in equal steps of its logarithm."""
  first, last = map(math.log, noise)
  return module(t).exp(first + (last - first) * t)


def grid(steps: int, power: float, noise: tuple[float, float]) -> Grid:
  """t_i = (i / N)^power, with the strengths of the noise at these times."""
  t = np.linspace(0, 1, steps + 1) ** power
  return Grid(t, strength(noise, t))


def log_weight(
  drift: Field, score: Field, x: Array, noise: Noise, table: Grid, remat: bool = False
) -> Array:
  """log w [B] of x_0 = x [B, ...], in nats, one path of the forward chain for each.

  Args:
    drift, score: f and s.
    x: data, in the model's scale.
    noise: of the forward chain.
    table: the times.
    remat: compute the fields again for the gradient: memory for the path alone.
  """
  size, steps = x[0].size, table.steps(x.dtype)

  def step(carry, at):
    x, slope, total = carry
    eps, root = noise(at.i), jnp.sqrt(at.h)
    # f(x_{i+1}, t_{i+1}) is that of the way back, and of the next step on.
    then = x + slope * at.h + at.g * root * eps
    slope = drift(then, at.t_next)
    back = then - (slope - at.g_next**2 * score(then, at.t_next)) * at.h
    eps_back = (x - back) / (at.g_next * root)
    gained = sum_dims(eps**2 - eps_back**2) / 2 - size * jnp.log(at.g_next / at.g)
    return (then, slope, total + gained), None

  start = x, drift(x, steps.t[0]), jnp.zeros(x.shape[:1], x.dtype)
  (end, _, total), _ = lax.scan(jax.checkpoint(step) if remat else step, start, steps)
  return gaussian(end, jnp.zeros_like(end), jnp.ones((), x.dtype)) + total


def forward(drift: Field, x: Array, noise: Noise, table: Grid) -> Array:
  """The forward chain from x [B, ...]: [N + 1, B, ...], x first."""

  def step(x, at):
    then = x + drift(x, at.t) * at.h + at.g * jnp.sqrt(at.h) * noise(at.i)
    return then, then

  return jnp.concatenate([x[None], lax.scan(step, x, table.steps(x.dtype))[1]])


def backward(drift: Field, score: Field, x: Array, noise: Noise, table: Grid) -> Array:
  """The backward chain from noise x [B, ...]: [N + 1, B, ...], x first and x_0 last, which has the
  noise of its step as the bound has it."""

  def step(x, at):
    slope = drift(x, at.t_next) - at.g_next**2 * score(x, at.t_next)
    then = x - slope * at.h + at.g_next * jnp.sqrt(at.h) * noise(at.i)
    return then, then

  steps = table.steps(x.dtype)
  return jnp.concatenate([x[None], lax.scan(step, x, steps, reverse=True)[1][::-1]])


def bounds(log_w: Callable[[Array], Array], draws: int, size: int, dtype) -> tuple[Array, Array]:
  """The bound on -log p(x) as the mean over `draws` paths, and the tighter one of them together,
  each [B] nats.

  log_w: index of a draw -> log weights [B], B = size.
  """

  def draw(carry, i):
    total, mixed = carry
    value = log_w(i)
    return (total + value, jnp.logaddexp(mixed, value)), None

  start = jnp.zeros(size, dtype), jnp.full(size, -jnp.inf, dtype)
  (total, mixed), _ = lax.scan(draw, start, jnp.arange(draws))
  return -total / draws, math.log(draws) - mixed
