"""DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095): the flow in lambda = log alpha / sigma.

  x_s = sigma_s / sigma_t x_t + alpha_s int_0^h e^(v - h) x_0(lambda_t + v) dv

holds exactly, h = lambda_s - lambda_t; a method says what x_0(lambda) is between the times at
which the network is asked.

  dpmpp_2m    x_0 = D = x_0 + h / (2 h') (x_0 - x_0'), where ' is the step before; D = x_0 in the
              first step and in the last, where sigma_s = 0               (2M, algorithm 2)
  dpmpp_3m    the parabola through the last three predictions; the first two steps have orders 1
              and 2                                                       (3M, appendix B)
  dpmpp_3s    three intervals of the grid are one step, of a parabola through predictions at its own
              three times: nothing of the step before is used             (3S, appendix B)
  sde_2m      x_s = sigma_s / sigma_t e^-h x_t + alpha_s (1 - e^-2h) D
              + sigma_s sqrt(1 - e^-2h) noise                             (SDE-2M, section 5)
              with D = x_0 it is ancestral small
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax.numpy as jnp
import numpy as np

from gen_jax.diffusion.algebra import Variance
from gen_jax.diffusion.path import Level
from gen_jax.diffusion.solver import Solver


def lengths(levels: Level) -> np.ndarray:
  """h [S] of every step, infinite where it starts without data or ends without noise."""
  with np.errstate(divide="ignore"):
    return np.diff(np.log(levels.alpha) - np.log(levels.sigma))


def second_order(h: np.ndarray) -> np.ndarray:
  """h / (2 h') of every step; 0, which is first order, of the first one and of infinite ones."""
  before = np.concatenate([[np.inf], h[:-1]])
  return np.where(np.isfinite(h), h, 0) / (2 * before)


def dpmpp_2m(variance: Variance, eta: float) -> Solver:
  """The second-order multistep method; its memory is the x_0 predicted in the step before."""

  def table(levels):
    a, s, h = levels.alpha, levels.sigma, lengths(levels)
    return s[1:] / s[:-1], -a[1:] * np.expm1(-h), second_order(h)

  def step(x, before, p, row, noise):
    keep, pull, ahead = row
    return keep * x + pull * (p.x0 + ahead * (p.x0 - before)), p.x0

  return Solver(table, jnp.zeros_like, step, False)


def sde_2m(variance: Variance, eta: float) -> Solver:
  """dpmpp_2m for the reverse SDE instead of its probability flow."""

  def table(levels):
    a, s, h = levels.alpha, levels.sigma, lengths(levels)
    share = -np.expm1(-2 * h)
    keep = s[1:] / s[:-1] * np.exp(-h)
    return keep, a[1:] * share, second_order(h), s[1:] * np.sqrt(share)

  def step(x, before, p, row, noise):
    keep, pull, ahead, spread = row
    return keep * x + pull * (p.x0 + ahead * (p.x0 - before)) + spread * noise, p.x0

  return Solver(table, jnp.zeros_like, step, True)


def collocated(nodes: np.ndarray, h: float) -> np.ndarray:
  """Weights [n] of x_0 at lambda + h nodes [n] in int_0^h e^(v - h) x_0(lambda + v) dv, where x_0
  is the polynomial through them."""
  moments = [-np.expm1(-h)]  # of (v / h)^i, by parts
  for i in range(1, len(nodes)):
    moments.append(1 - i / h * moments[-1])
  return np.linalg.solve(np.vander(nodes, increasing=True).T, moments)


def dpmpp_3m(variance: Variance, eta: float) -> Solver:
  """The third-order multistep method; its memory is the last two predictions of x_0."""

  def table(levels):
    a, h = levels.alpha, lengths(levels)
    rows = np.zeros((3, len(h)))
    rows[0] = -a[1:] * np.expm1(-h)
    for i in range(1, len(h)):
      if not np.isfinite(h[i]) or not np.isfinite(h[i - 1]):
        continue
      if i == 1 or not np.isfinite(h[i - 2]):
        ahead = h[i] / (2 * h[i - 1])
        rows[:, i] = rows[0, i] * np.array([1 + ahead, -ahead, 0])
        continue
      nodes = np.array([0, -h[i - 1], -h[i - 1] - h[i - 2]]) / h[i]
      rows[:, i] = a[i + 1] * collocated(nodes, h[i])
    return levels.sigma[1:] / levels.sigma[:-1], *rows

  def step(x, memory, p, row, noise):
    keep, now, before, earlier = row
    x = keep * x + now * p.x0 + before * memory[0] + earlier * memory[1]
    return x, (p.x0, memory[0])

  return Solver(table, lambda x: (jnp.zeros_like(x), jnp.zeros_like(x)), step, False)


def threes(h: np.ndarray) -> Iterator[tuple[int, int]]:
  """(first, size): h [S] in steps of three intervals, and what is left in one of two or of one.
  An interval of no finite length is a step of its own."""
  i = 0
  while i < len(h):
    size = 1
    while size < 3 and np.isfinite(h[i : i + size + 1]).all() and i + size < len(h):
      size += 1
    yield i, size
    i += size


def dpmpp_3s(variance: Variance, eta: float) -> Solver:
  """The third-order singlestep method; its memory is x_t where a step began, and the predictions
  there and at its second time."""

  def table(levels):
    a, s, h = levels.alpha, levels.sigma, lengths(levels)
    begins, keep, rows = np.zeros(len(h)), np.zeros(len(h)), np.zeros((3, len(h)))
    for first, size in threes(h):
      begins[first] = 1
      for i in range(first, first + size):
        keep[i], so_far = s[i + 1] / s[first], h[first : i + 1].sum()
        if i == first:
          rows[2, i] = -a[i + 1] * np.expm1(-h[i])
          continue
        nodes = np.append(0, np.cumsum(h[first:i])) / so_far
        weights = a[i + 1] * collocated(nodes, so_far)
        rows[: i - first, i], rows[2, i] = weights[:-1], weights[-1]
    return begins, keep, *rows

  def step(x, memory, p, row, noise):
    begins, keep, zeroth, first, now = row
    start, p0, p1 = memory
    start = jnp.where(begins > 0, x, start)
    then = keep * start + zeroth * p0 + first * p1 + now * p.x0
    return then, (start, jnp.where(begins > 0, p.x0, p0), p.x0)

  return Solver(table, lambda x: (x, jnp.zeros_like(x), jnp.zeros_like(x)), step, False)


# name -> (variance of ancestral steps, eta of ddim), of which these have neither, -> solver
SOLVERS: dict[str, Callable[[Variance, float], Solver]] = {
  "dpmpp_2m": dpmpp_2m, "dpmpp_3m": dpmpp_3m, "dpmpp_3s": dpmpp_3s, "sde_2m": sde_2m,
}  # fmt: skip
