"""Paths from data to noise in continuous time: x_t = alpha(t) x_0 + sigma(t) eps.

t runs from 0, where there is no noise, to `last`, where there is hardly anything else:

  linear      alpha = 1 - t,  sigma = t
              (Lipman et al. 2023, arXiv:2210.02747; Liu et al. 2023, arXiv:2209.03003)
  cosine      alpha = cos(pi t / 2),  sigma = sin(pi t / 2)
              (Salimans & Ho 2022, arXiv:2202.00512)
  vp          alpha^2 = exp(-int_0^t beta),  alpha^2 + sigma^2 = 1, beta from 0.1 to 20
  sub_vp      the alpha of vp,  sigma = 1 - alpha^2
  ve          alpha = 1,  sigma^2 = sigma_min^2 ((sigma_max / sigma_min)^(2 t) - 1)
              (all three: Song et al. 2021, arXiv:2011.13456, appendices B and C)
  edm         alpha = 1,  sigma = t
              (Karras et al. 2022, arXiv:2206.00364)
  of_log_snr  alpha^2 = sigmoid(log_snr(t)),  sigma^2 = sigmoid(-log_snr(t))
              (Kingma et al. 2021, arXiv:2107.00630, section 3)

log_snr = 2 log(alpha / sigma) falls in t. All paths are one family: x_t of one is a multiple of x_t
of another where their log_snr are equal (Kingma et al. 2021, section 5.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gen_jax.core import Array
from gen_jax.diffusion.schedule import Schedule


class Level(NamedTuple):
  """A path at times t, [] or [B], or a table [S] of it: what denoisers and solvers are given.

  d_alpha, d_sigma: derivatives by t; None where time is discrete.
  clock: what a network is told of the time, 0 to 1 or nearly so.
  """

  t: Array
  alpha: Array
  sigma: Array
  log_snr: Array
  d_alpha: Array | None = None
  d_sigma: Array | None = None
  clock: Array | None = None


class Path(NamedTuple):
  """level: t -> Level, in NumPy of a NumPy array (tables in float64), in JAX of a JAX array.
  time_of: log_snr -> t. first: the smallest t at which a network is asked. last: the largest."""

  level: Callable[[Array], Level]
  time_of: Callable[[Array], Array]
  first: float
  last: float


def module(t: Array):
  """numpy or jax.numpy, whichever t is an array of."""
  return t.__array_namespace__()


def table(path: Path, grid: np.ndarray) -> Level:
  """The levels of a grid of times, in float64; log_snr is infinite where there is no noise."""
  with np.errstate(divide="ignore"):
    return path.level(np.asarray(grid, np.float64))


def softplus(x: Array) -> Array:
  """log(1 + e^x)."""
  return module(x).logaddexp(x, module(x).zeros_like(x))


def linear() -> Path:
  """Straight lines between data and noise."""

  def level(t):
    xp = module(t)
    log_snr = 2 * (xp.log1p(-t) - xp.log(t))
    one = xp.ones_like(t)
    return Level(t, 1 - t, t, log_snr, -one, one, t)

  return Path(level, lambda l: module(l).exp(-softplus(l / 2)), 0.0, 1.0)


def cosine() -> Path:
  """A quarter of a circle at constant speed."""
  quarter = math.pi / 2

  def level(t):
    xp = module(t)
    alpha, sigma = xp.cos(quarter * t), xp.sin(quarter * t)
    log_snr = 2 * (xp.log(alpha) - xp.log(sigma))
    return Level(t, alpha, sigma, log_snr, -quarter * sigma, quarter * alpha, t)

  def time_of(l):
    return module(l).arctan(module(l).exp(-l / 2)) / quarter

  return Path(level, time_of, 0.0, 1.0)


def vp(first_beta: float = 0.1, last_beta: float = 20.0) -> Path:
  """beta(t) rises linearly; alpha(1)^2 is 4e-5 with the source's."""
  rise = last_beta - first_beta

  def level(t):
    xp = module(t)
    log_alpha2 = -t * (first_beta + t * rise / 2)
    alpha, sigma = xp.exp(log_alpha2 / 2), xp.sqrt(-xp.expm1(log_alpha2))
    beta = first_beta + t * rise
    log_snr = log_alpha2 - xp.log(-xp.expm1(log_alpha2))
    return Level(t, alpha, sigma, log_snr, -beta * alpha / 2, beta * alpha**2 / (2 * sigma), t)

  def time_of(l):
    # The positive root of t (first + t rise / 2) = -log alpha^2, in the form that cancels nothing.
    spent = softplus(-l)
    return 2 * spent / (first_beta + module(l).sqrt(first_beta**2 + 2 * rise * spent))

  return Path(level, time_of, 1e-5, 1.0)


def sub_vp(first_beta: float = 0.1, last_beta: float = 20.0) -> Path:
  """Less noise than vp at every time, and as much of the data."""
  preserving = vp(first_beta, last_beta)

  def level(t):
    xp = module(t)
    of = preserving.level(t)
    sigma = of.sigma**2
    log_snr = 2 * (xp.log(of.alpha) - xp.log(sigma))
    return Level(t, of.alpha, sigma, log_snr, of.d_alpha, -2 * of.alpha * of.d_alpha, t)

  def time_of(l):
    # alpha / (1 - alpha^2) = e^(l / 2) has -log alpha = asinh(e^(-l / 2) / 2).
    spent = 2 * module(l).arcsinh(module(l).exp(-l / 2) / 2)
    rise = last_beta - first_beta
    return 2 * spent / (first_beta + module(l).sqrt(first_beta**2 + 2 * rise * spent))

  return Path(level, time_of, 1e-5, 1.0)


def ve(smallest: float = 0.01, largest: float = 50.0) -> Path:
  """log sigma rises linearly but near t = 0."""
  span = math.log(largest / smallest)

  def level(t):
    xp = module(t)
    excess = xp.expm1(2 * span * t)
    sigma, rate = smallest * xp.sqrt(excess), smallest * span * xp.exp(2 * span * t)
    log_snr = -2 * math.log(smallest) - xp.log(excess)
    return Level(t, xp.ones_like(t), sigma, log_snr, xp.zeros_like(t), rate / xp.sqrt(excess), t)

  def time_of(l):
    return module(l).log1p(module(l).exp(-l) / smallest**2) / (2 * span)

  return Path(level, time_of, 1e-5, 1.0)


def edm(smallest: float = 0.002, largest: float = 80.0) -> Path:
  """Time is sigma itself; the clock is log sigma, from 0 to 1 between the two ends."""

  def level(t):
    xp = module(t)
    log_sigma, one = xp.log(t), xp.ones_like(t)
    clock = (log_sigma - math.log(smallest)) / math.log(largest / smallest)
    return Level(t, one, t, -2 * log_sigma, xp.zeros_like(t), one, clock)

  return Path(level, lambda l: module(l).exp(-l / 2), smallest, largest)


def of_log_snr(log_snr: Callable, slope: Callable, time_of: Callable, clock: Callable) -> Path:
  """The variance-preserving path of a log_snr(t), t in [0, 1], with its derivative `slope`.

  clock: log_snr -> what a network is told of the time.
  """

  def level(t):
    xp = module(t)
    l, rate = log_snr(t), slope(t)
    alpha, sigma = xp.exp(-softplus(-l) / 2), xp.exp(-softplus(l) / 2)
    d_alpha, d_sigma = alpha * sigma**2 * rate / 2, -sigma * alpha**2 * rate / 2
    return Level(t, alpha, sigma, l, d_alpha, d_sigma, clock(l))

  return Path(level, time_of, 0.0, 1.0)


PATHS: dict[str, Callable[[], Path]] = {
  "linear": linear, "cosine": cosine, "vp": vp, "sub_vp": sub_vp, "ve": ve, "edm": edm,
}  # fmt: skip


def scheduled(schedule: Schedule) -> Path:
  """A schedule as a path through its integer times; time_of gives the nearest of them."""
  log_snr = discrete(schedule, np.arange(1, schedule.steps + 1)).log_snr

  def time_of(l):
    xp = module(l)
    return 1 + xp.abs(xp.asarray(log_snr, l.dtype) - l[..., None]).argmin(-1)

  level = lambda t: discrete(schedule, module(t).round(t).astype(np.int32))
  return Path(level, time_of, 1.0, float(schedule.steps))


def discrete(schedule: Schedule, t: Array) -> Level:
  """The table [S] of a schedule at integer times t [S]: its own entries, to the last bit."""
  xp = module(t)
  alpha, sigma = (xp.asarray(column)[t] for column in schedule)
  with np.errstate(divide="ignore"):
    log_snr = 2 * (xp.log(alpha) - xp.log(sigma))
  return Level(t, alpha, sigma, log_snr)
