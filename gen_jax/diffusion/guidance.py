"""Guidance: what a network says under a condition, pushed away from what it says under none.

  guided     x_0 = x_0(c) + w (x_0(c) - x_0(none)), and so in every form, each linear in x_0
             (Ho & Salimans 2022, arXiv:2207.12598, eq. 6)
  interval   w = 0 but where low < sigma / alpha <= high: one call there in place of two
             (Kynkaanniemi et al. 2024, arXiv:2404.07724, eq. 6)
  rescale    x_0 times phi std x_0(c) / std x_0 + 1 - phi: w stretches the contrast of an example
             (Lin et al. 2024, arXiv:2305.08891, eq. 15 and 16)
  auto       in the place of x_0(none) what a weaker network says under the same condition, or none
             (Karras et al. 2024, arXiv:2406.02507, eq. 3)

The paper of rescaling scales what its network gives; here it is x_0, the picture, in every case.
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
from gen_jax.diffusion.path import Level, Path, table
from gen_jax.schema import NonNegative, Share


@dataclasses.dataclass(frozen=True, kw_only=True)
class Guided:
  """How samples are guided.

  guidance: w of x_0(c) + w (x_0(c) - x_0(none)); 0 for none.
  guidance_interval: (low, high), sigma / alpha between which w counts; () for everywhere.
  guidance_rescale: phi, how much of an example's contrast is put back to what it is without w.
  guide: folder of another run, of the same images, whose network takes the place of x_0(none): a
    smaller one, or one that was trained less.
  """

  guidance: float = 0.0
  guidance_interval: tuple[NonNegative, ...] = ()
  guidance_rescale: Share = 0.0
  guide: str = ""


def check(g: Guided, conditional: bool, needs: str) -> None:
  """Refuses guidance that nothing was learnt for, and options of guidance without any.

  Args:
    needs: the option that makes a model conditional, in words.

  Raises:
    UserError: for those, or an interval that is none.
  """
  if g.guidance and not conditional and not g.guide:
    raise UserError(f"sample.guidance needs {needs}: leave it 0")
  for name in ("guidance_interval", "guidance_rescale", "guide"):
    if getattr(g, name) and not g.guidance:
      raise UserError(f"sample.{name} is of sample.guidance, which is 0")
  ends = g.guidance_interval
  if ends and (len(ends) != 2 or not ends[0] < ends[1]):
    raise UserError(
      "sample.guidance_interval must be two values of sigma / alpha, the lower first, such as"
      f" (0.2, 5.0), not {ends}"
    )


def counts(g: Guided, log_snr: Array) -> Array:
  """Whether w counts at a log-SNR where there is noise: bool of its shape."""
  low, high = g.guidance_interval or (0.0, np.inf)
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


# (x_t [B, ...], level) -> the two predictions that w leads away from and towards
Both = Callable[[Array, Level], tuple[Prediction, Prediction]]


def in_one_call(of: Callable[[Array], Denoise], cond: Array, nothing: int) -> Both:
  """Those without a condition, `nothing` in every place of cond [B, ...], and with it."""
  denoise = of(jnp.concatenate([cond, jnp.full_like(cond, nothing)]))

  def both(x_t, level):
    out = denoise(jnp.concatenate([x_t, x_t]), level)
    p, q = (jax.tree.map(lambda a, i=i: jnp.split(a, 2)[i], out) for i in (0, 1))
    return q, p

  return both


def guided(both: Both, plain: Denoise, g: Guided) -> Denoise:
  """The one pushed away from the other; `plain`, the one alone, outside of the interval."""

  def denoise(x_t, level):
    q, p = both(x_t, level)
    push = lambda a, b: (1 + g.guidance) * a - g.guidance * b
    pushed = jax.tree.map(push, p._replace(share=None), q._replace(share=None))
    pushed = pushed._replace(share=p.share)
    return rescaled(pushed, p, x_t, level, g.guidance_rescale) if g.guidance_rescale else pushed

  if not g.guidance_interval:
    return denoise
  return lambda x_t, level: jax.lax.cond(counts(g, level.log_snr), denoise, plain, x_t, level)


def steered(
  of: Callable, cond: Array | None, nothing: int, g: Guided, guide: Denoise | None = None
) -> Denoise:
  """of(cond), guided where w is not 0 and there is a guide, or else a condition; at levels of
  scalars."""
  if g.guidance and guide is not None:
    return guided(lambda *at: (guide(*at), of(cond)(*at)), of(cond), g)
  if g.guidance and cond is not None:
    return guided(in_one_call(of, cond, nothing), of(cond), g)
  return of(cond)


def across(denoise: Denoise, path: Path) -> Denoise:
  """A path's denoiser at levels of any other, where x_t is a multiple of its own of the same
  log-SNR; at the nearest where it has none."""
  least, most = table(path, [path.last, path.first]).log_snr

  def asked(x_t, level):
    own = path.level(path.time_of(jnp.clip(level.log_snr, least, most)))
    p = denoise(own.sigma / level.sigma * x_t, own)
    return convert(p.x0, "x0", x_t, level.alpha, level.sigma)._replace(share=p.share)

  return asked
