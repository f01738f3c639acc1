"""Guidance: what a network says under a condition, pushed away from what it says under none.

  guided     x_0 = x_0(c) + w (x_0(c) - x_0(none)), and so in every form, each linear in x_0
             (Ho & Salimans 2022, arXiv:2207.12598, eq. 6)
  interval   w = 0 but where low < sigma / alpha <= high: one call there in place of two
             (Kynkaanniemi et al. 2024, arXiv:2404.07724, eq. 6)
  rescale    x_0 times phi std x_0(c) / std x_0 + 1 - phi: w stretches the contrast of an example
             (Lin et al. 2024, arXiv:2305.08891, eq. 15 and 16)

The paper of the last scales what its network gives; here it is x_0, the picture, in every case.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array, UserError
from gen_jax.diffusion.algebra import Prediction, convert
from gen_jax.diffusion.denoise import Denoise
from gen_jax.diffusion.path import Level
from gen_jax.schema import NonNegative, Share


@dataclasses.dataclass(frozen=True)
class Guided:
  """How samples are guided.

  guidance: w of x_0(c) + w (x_0(c) - x_0(none)); 0 for none.
  guidance_interval: (low, high), sigma / alpha between which w counts; () for everywhere.
  guidance_rescale: phi, how much of an example's contrast is put back to what it is without w.
  """

  guidance: float = 0.0
  guidance_interval: tuple[NonNegative, ...] = ()
  guidance_rescale: Share = 0.0


def check(g: Guided, conditional: bool, needs: str) -> None:
  """Refuses guidance that nothing was learnt for, and options of guidance without any.

  Args:
    needs: the option that makes a model conditional, in words.

  Raises:
    UserError: for those, or an interval that is none.
  """
  if g.guidance and not conditional:
    raise UserError(f"sample.guidance needs {needs}: leave it 0")
  for name in ("guidance_interval", "guidance_rescale"):
    if getattr(g, name) and not g.guidance:
      raise UserError(f"sample.{name} is of sample.guidance, which is 0")
  ends = g.guidance_interval
  if ends and (len(ends) != 2 or not ends[0] < ends[1]):
    raise UserError(
      "sample.guidance_interval must be two values of sigma / alpha, the lower first, such as"
      f" (0.2, 5.0), not {ends}"
    )


def counts(g: Guided, log_snr: Array) -> Array:
  """Whether w counts at a log-SNR: bool of its shape."""
  if not g.guidance_interval:
    return (log_snr == log_snr) & bool(g.guidance)
  low, high = g.guidance_interval
  # In logs, as in log_snr = -2 log(sigma / alpha); log 0 is no mistake here.
  with np.errstate(divide="ignore"):
    least, most = -2 * np.log(high), -2 * np.log(low)
  return (log_snr >= least) & (log_snr < most) & bool(g.guidance)


def rescaled(p: Prediction, plain: Prediction, x_t: Array, level: Level, phi: float) -> Prediction:
  """p with the deviation of each example's x_0 [B, ...] moved towards that of `plain`."""
  axes = tuple(range(1, x_t.ndim))
  deviation = lambda x: x.std(axes, keepdims=True)
  gain = phi * deviation(plain.x0) / jnp.maximum(deviation(p.x0), 1e-6) + 1 - phi
  return convert(gain * p.x0, "x0", x_t, level.alpha, level.sigma)._replace(share=p.share)


def guided(of: Callable[[Array], Denoise], cond: Array, nothing: int, g: Guided) -> Denoise:
  """of(cond) pushed away from of(`nothing` in every place of cond [B, ...]), both in one call."""
  both = of(jnp.concatenate([cond, jnp.full_like(cond, nothing)]))

  def denoise(x_t, level):
    out = both(jnp.concatenate([x_t, x_t]), level)
    p, q = (jax.tree.map(lambda a, i=i: jnp.split(a, 2)[i], out) for i in (0, 1))
    push = lambda a, b: (1 + g.guidance) * a - g.guidance * b
    pushed = jax.tree.map(push, p, q)._replace(share=p.share)
    return rescaled(pushed, p, x_t, level, g.guidance_rescale) if g.guidance_rescale else pushed

  if not g.guidance_interval:
    return denoise

  def within(x_t, level):
    inside = counts(g, level.log_snr)
    return jax.lax.cond(inside, denoise, of(cond), x_t, level)

  return within


def steered(of: Callable, cond: Array | None, nothing: int, g: Guided) -> Denoise:
  """of(cond), guided where there is a condition and w is not 0; at levels of scalars."""
  return of(cond) if cond is None or not g.guidance else guided(of, cond, nothing, g)
