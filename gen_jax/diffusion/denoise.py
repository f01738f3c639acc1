"""What a network's output says of x_0 and eps, on any path: kinds as rows of one linear system.

  x_t    = alpha x_0 + sigma eps
  output =     a x_0 +     b eps

  x0        a, b = 1, 0
  eps       a, b = 0, 1
  score     a, b = 0, -1: sigma times the score, as Song et al. 2021 (arXiv:2011.13456) weigh it
  v         a, b = -sigma, alpha
            (Salimans & Ho 2022, arXiv:2202.00512, appendix D)
  velocity  a, b = alpha', sigma', which is dx_t/dt
            (Lipman et al. 2023, arXiv:2210.02747, eq. 14 and 23)
  edm       a, b = sigma / (s w), -alpha s / w,  w^2 = alpha^2 s^2 + sigma^2,  s = sigma_data:
            the F of x_0 = c_skip x_t + c_out F(c_in x_t)
            (Karras et al. 2022, arXiv:2206.00364, table 1, for any alpha)

With sigma_data = 1 and alpha^2 + sigma^2 = 1, edm is -v. Of data with the standard deviation
sigma_data, edm's targets have variance 1 at every level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.diffusion.algebra import Prediction, expand, forms
from gen_jax.diffusion.path import Level

Row = tuple[Array | float, Array | float]


def spread(level: Level, sigma_data: float) -> Array:
  """The standard deviation of x_t."""
  return jnp.sqrt((level.alpha * sigma_data) ** 2 + level.sigma**2)


def edm(level: Level, sigma_data: float) -> Row:
  """The row of Karras et al.'s F."""
  w = spread(level, sigma_data)
  return level.sigma / (sigma_data * w), -level.alpha * sigma_data / w


# (level, sigma_data) -> (a, b)
KINDS: dict[str, Callable[[Level, float], Row]] = {
  "x0": lambda level, sigma_data: (1.0, 0.0),
  "eps": lambda level, sigma_data: (0.0, 1.0),
  "score": lambda level, sigma_data: (0.0, -1.0),
  "v": lambda level, sigma_data: (-level.sigma, level.alpha),
  "velocity": lambda level, sigma_data: (level.d_alpha, level.d_sigma),
  "edm": edm,
}
Kind = Literal[*KINDS]


def target(kind: Kind, x0: Array, eps: Array, level: Level, sigma_data: float = 1.0) -> Array:
  """What the output ought to be for x_0, eps [B, ...]."""
  a, b = (expand(c, x0) for c in KINDS[kind](level, sigma_data))
  return a * x0 + b * eps


def understood(
  output: Array, kind: Kind, x_t: Array, level: Level, sigma_data: float = 1.0
) -> Prediction:
  """The output [B, ...] of a network at x_t [B, ...], in all forms.

  Needs alpha sigma' != sigma alpha' of `velocity`, alpha > 0 of `eps` and `score`, and sigma > 0 of
  `x0`; the score of what is returned, sigma > 0.
  """
  a, b = (expand(c, x_t) for c in KINDS[kind](level, sigma_data))
  alpha, sigma = expand(level.alpha, x_t), expand(level.sigma, x_t)
  det = alpha * b - sigma * a
  x0, eps = (b * x_t - sigma * output) / det, (alpha * output - a * x_t) / det
  return forms(x0, eps, level.alpha, level.sigma)


# (x [B, ...], clock [B]) -> output [B, ...]
Net = Callable[[Array, Array], Array]
# (x_t [B, ...], level of scalars or [B]) -> prediction
Denoise = Callable[[Array, Level], Prediction]


def denoiser(net: Net, kind: Kind, sigma_data: float = 1.0) -> Denoise:
  """The network as (x_t [B, ...], level of scalars or [B]) -> Prediction.

  What a network of edm or of the score sees has variance 1 at every level (c_in there).
  """

  def denoise(x_t, level):
    output = net(seen(x_t, kind, level, sigma_data), jnp.broadcast_to(level.clock, x_t.shape[:1]))
    return understood(output, kind, x_t, level, sigma_data)

  return denoise


def seen(x_t: Array, kind: Kind, level: Level, sigma_data: float = 1.0) -> Array:
  """What a network of that kind is given for x_t."""
  scaled = kind in ("edm", "score")
  return x_t / expand(spread(level, sigma_data), x_t) if scaled else x_t
