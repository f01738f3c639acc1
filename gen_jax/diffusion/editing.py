"""What a trained diffusion model does with an example that is given: its code, and a hole filled.

encode    the probability flow dx/dt = alpha' x_0 + sigma' eps from x at t = 0 up to the noise that
          it comes from, of which a solver of the flow makes x again
          (Song et al. 2021, arXiv:2011.13456, section 4.3 and appendix D.2)
complete  in each step of any solver, x_0 <- the prediction where it is hidden, what is known
          elsewhere; eps follows from x_t = alpha x_0 + sigma eps
          (DDNM: Wang, Yu & Zhang 2023, arXiv:2212.00490, eq. 13, of a hole)
"""

from __future__ import annotations

import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.diffusion.algebra import convert
from gen_jax.diffusion.denoise import Denoise
from gen_jax.diffusion.flow_solvers import field
from gen_jax.diffusion.path import Path
from gen_jax.dynamics.ode import integrate


def encode(denoise: Denoise, path: Path, x: Array, grid: Array) -> Array:
  """The noise x_1 [B, ...] that the flow carries x [B, ...] to.

  Args:
    denoise: (x_t, level of scalars) -> Prediction.
    path: its own.
    x: data, in the model's scale.
    grid: rising times, of `likelihood.times`; x is taken for x_t / alpha at the first of them.
  """
  first = path.level(jnp.asarray(grid[0], x.dtype))
  return integrate(field(denoise, path), first.alpha * x, grid, method="rk4")


def completing(denoise: Denoise, known: Array, hidden: Array) -> Denoise:
  """The denoiser that knows x_0 [B, ...] but where it is hidden, bool [B, ...]."""

  def informed(x_t, level):
    p = denoise(x_t, level)
    x0 = jnp.where(hidden, p.x0, known)
    return convert(x0, "x0", x_t, level.alpha, level.sigma)._replace(share=p.share)

  return informed
