"""Exact log p(x) of a diffusion model, by its probability flow.

  dx/dt = f(x, t) = alpha' x_0 + sigma' eps  carries the law of x_0 into that of x_1, so that
  log p(x(0)) = log N(x(1); 0, spread^2 I) + int_0^1 div f(x(t), t) dt
                     (Song et al. 2021, arXiv:2011.13456, eq. 39; Chen et al. 2018, theorem 1)

It is exact for the model as its flow defines it, up to the error of the integration, which a grid
of half the steps tells.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array
from gen_jax.diffusion.flow_solvers import field
from gen_jax.diffusion.path import Path
from gen_jax.diffusion.solvers import Denoiser
from gen_jax.dynamics.ode import integrate
from gen_jax.dynamics.trace import with_divergence
from gen_jax.losses.likelihoods import gaussian


def times(path: Path, steps: int, last: float | None = None) -> np.ndarray:
  """float64 [steps + 1], rising to `last`, or the path's: equal steps of t, or of log t on a path
  whose time is sigma; of the square root of t on one that does not begin at 0, as sigma rises like
  it there."""
  last = path.last if last is None else last
  if path.last > 1:
    return np.geomspace(path.first, last, steps + 1)
  share = np.linspace(0, 1, steps + 1) ** (2 if path.first > 0 else 1)
  return path.first + (last - path.first) * share


def log_prob(
  denoise: Denoiser, path: Path, x: Array, grid: Array, probes: Array | None = None
) -> Array:
  """log p(x) of x [B, ...] in nats -> [B], in the units of x.

  Args:
    denoise: (x_t, level of scalars) -> Prediction.
    path: its own.
    x: data, in the model's scale, of standard deviation about 1.
    grid: rising times, see `times`; x is taken for x_t / alpha at the first of them.
    probes: signs [P, B, ...] of Hutchinson's estimate of the divergence; None for the exact one.
  """
  first, last = (path.level(jnp.asarray(grid[i], x.dtype)) for i in (0, -1))
  size = x[0].size
  start = first.alpha * x, jnp.zeros(len(x), x.dtype)
  end, change = integrate(with_divergence(field(denoise, path), probes), start, grid, method="rk4")
  prior = gaussian(end, jnp.zeros_like(end), jnp.sqrt(last.alpha**2 + last.sigma**2))
  return prior + change + size * jnp.log(first.alpha)
