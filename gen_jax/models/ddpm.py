"""Denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020, arXiv:2006.11239).

  corrupt    x_t = alpha_t x_0 + sigma_t eps,  t = 1..T                                 (eq. 4)
  learn      L_simple = E || eps - eps_theta(x_t, t) ||^2                                (eq. 14)
  bound      -log p(x_0) <= L_T + sum_t L_{t-1} + L_0                                    (eq. 5)
  sample     x_{t-1} ~ p_theta(x_{t-1} | x_t), from x_T ~ N(0, I)                        (alg. 2)

with, as options, the cosine schedule and learned variances (Nichol & Dhariwal 2021), x_0 and v
prediction (Salimans & Ho 2022), DDIM sampling (Song et al. 2021), labels or captions dropped at
random in training and classifier-free guidance (Ho & Salimans 2022).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from annotated_types import Ge, MinLen

from gen_jax.core import Array, Program, PyTree, Spec, UserError, centre, quantize, single
from gen_jax.diffusion import schedule as schedules
from gen_jax.diffusion.algebra import Prediction, Variance, convert, corrupt, forms
from gen_jax.diffusion.bound import clip_x0, term, transitions, variational_bound
from gen_jax.diffusion.editing import completing
from gen_jax.diffusion.grids import GRIDS
from gen_jax.diffusion.guidance import Guided, across, steered
from gen_jax.diffusion.guidance import check as check_guidance
from gen_jax.diffusion.path import discrete, scheduled
from gen_jax.diffusion.solvers import SOLVERS, calls, solve, solver_of, strided, times
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.diffusion import squared_error, stratified
from gen_jax.models.common import (
  bits_per_dim,
  field_of,
  require_captions,
  require_images,
  require_labels,
  require_multiples,
  scaling,
)
from gen_jax.models.denoisers import guide_of, hide
from gen_jax.models.hiding import Hiding, completion
from gen_jax.nets.text import TextEncoder
from gen_jax.nets.unet import UNet
from gen_jax.schema import Below, Count, Decay, Dtype, Natural, NonNegative, Share, builder


@dataclasses.dataclass(frozen=True)
class Sampler(Guided, Hiding):
  """How samples are drawn, guided, and what is hidden for `transform` to fill in.

  method: ancestral (alg. 2), ddim, dpmpp_2m, whose error falls with the square of the steps,
    dpmpp_3m and dpmpp_3s, with their cube, or sde_2m, which adds noise as ancestral does.
  steps: number of network calls, 0 for one at each of the T timesteps.
  grid: of the timesteps that are kept (`diffusion.grids`); uniform in t is the paper's.
  variance: of an ancestral step: large is beta_t, small the posterior's (section 3.2), learned what
    the network says between them.
  eta: stochasticity of ddim, 0 to 1.
  clip: keep the predicted x_0 inside [-1, 1].
  clip_quantile: of |x_0| by which an example is divided before that, such as 0.995; 0 for none.
  """

  method: Literal[*SOLVERS] = "ancestral"
  steps: Natural = 0
  grid: Literal[*GRIDS] = "uniform"
  variance: Variance = "large"
  eta: Share = 0.0
  clip: bool = True
  clip_quantile: Share = 0.0


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """Which bound it is, and how it is estimated.

  steps: of the process that is bounded, evenly kept of the T timesteps; 0 for all. With fewer the
    steps are longer, and a Gaussian fits them less well.
  times: timesteps at which L_t is evaluated per example, one in each of as many equal strata (an
    unbiased estimate of the sum); 0 for all of them, which is exact given the noise. L_0 and L_T
    are always evaluated.
  variance: of p(x_{t-1} | x_t), as in sampling.
  first: the timestep at which a softmax over the grey levels takes over as the decoder; 0 for the
    paper's at 1, the network's. Where sigma is far below the spacing of the grey levels the network
    pays for what a decoder that knows of them has for nothing: 20 of the 1000 cosine timesteps suit
    17 levels. Choose it on the validation split.
  shares: of the grey levels in that softmax, one number for each, such as how many of the training
    split's pixels have it; () for equal ones. A level of share 0 must not occur: it costs infinity.
  """

  steps: Natural = 0
  times: Natural = 0
  variance: Variance = "large"
  first: Natural = 0
  shares: tuple[NonNegative, ...] = ()


@dataclasses.dataclass(frozen=True)
class Text:
  """The encoder of captions: width, blocks and heads of a transformer."""

  width: Count = 64
  layers: Count = 1
  heads: Count = 4


def encoder(spec: Spec, text: Text, dtype: str) -> TextEncoder:
  """The encoder of the captions of spec."""
  field = spec.fields["caption"]
  return TextEncoder(field.levels, field.shape[0], **vars(text), dtype=jnp.dtype(dtype))


# (params, x_t [B, ...], t [B], label [B] or caption [B, L] or None) -> what the network says of
# x_t, in every form
Predict = Callable[[PyTree, Array, Array, Array | None], Prediction]


def with_share(output: Array, channels: int) -> tuple[Array, Array | None]:
  """The first `channels` of what a network gives, and of the others, if there are any, the share w
  in 0..1 of a learned variance, for -1..1 (Nichol & Dhariwal 2021, eq. 15)."""
  output, v = output[..., :channels], output[..., channels:]
  return output, (v + 1) / 2 if v.shape[-1] else None


def predictor(net: UNet, prediction: str, alpha: Array, sigma: Array) -> Predict:
  """The network whose output means `prediction`, under the schedule alpha, sigma [T + 1]."""

  def predict(params, x_t, t, cond):
    output, share = with_share(net.apply({"params": params}, x_t, t, cond), x_t.shape[-1])
    return convert(output, prediction, x_t, alpha[t], sigma[t])._replace(share=share)

  return predict


def at_levels(predict: Predict, params: PyTree) -> Callable:
  """cond -> (x_t, level of one timestep) -> Prediction."""
  return lambda cond: lambda x_t, at: predict(params, x_t, jnp.full(x_t.shape[0], at.t), cond)


@builder
def build(
  spec: Spec,
  *,
  prediction: Literal["eps", "x0", "v"] = "eps",
  schedule: Literal[*schedules.SCHEDULES] = "linear",
  timesteps: Annotated[int, Ge(2), Below(2**20)] = 1000,
  learned_variance: bool = False,
  vlb_weight: NonNegative = 0.001,
  condition: Literal["none", "label", "caption"] = "none",
  condition_dropout: Share = 0.1,
  text: Text = Text(),
  width: Count = 128,
  multipliers: Annotated[tuple[Count, ...], MinLen(1)] = (1, 2, 2, 2),
  blocks: Count = 2,
  attention: tuple[int, ...] = (16,),
  heads: Count = 1,
  dropout: Decay = 0.1,
  dtype: Dtype = "float32",
  remat: bool = False,
  ema: Decay = 0.9999,
  optimizer: Optimizer = Optimizer(learning_rate=2e-4, warmup=5000, clip=1.0),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """DDPM of images with spec.shape [H, W, C] and integer levels.

  The defaults are the paper's CIFAR-10 setting: 35.7M parameters.

  Args:
    spec: of the data.
    prediction: what the network's output means.
    schedule: of the noise.
    timesteps: T.
    learned_variance: whether the network gives the variance of each pixel of p(x_{t-1} | x_t) too,
      learnt from the bound alone; `sample.variance` and `likelihood.variance` say who uses it.
    vlb_weight: lambda of L_hybrid = L_simple + lambda L_vlb, L_vlb in bits/dim (Nichol & Dhariwal
      2021, eq. 16).
    condition: what images are conditioned on.
    condition_dropout: share of conditions hidden in training, so that the unconditional model is
      learnt too.
    text: the encoder of captions.
    width, multipliers, blocks, attention, heads, dropout: of the `UNet`.
    dtype: of the network's computation.
    remat: whether the gradient computes the blocks again instead of keeping what is in them.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are not images with integer levels, H or W cannot be halved often
      enough, labels or captions are asked for that the data lack, the schedule does not reach
      noise in so few timesteps, or an option is out of range.
  """
  check(spec, multipliers, condition, heads, width)
  check_options(sample, likelihood, timesteps, condition, learned_variance, spec.levels)
  nothing = spec.fields[condition].levels if condition != "none" else 0
  net = UNet(
    channels=spec.shape[-1] * (2 if learned_variance else 1), width=width,
    multipliers=multipliers, blocks=blocks, attention=attention, heads=heads, dropout=dropout,
    classes=spec.classes if condition == "label" else 0,
    text=encoder(spec, text, dtype) if condition == "caption" else None,
    dtype=jnp.dtype(dtype), remat=remat,
  )  # fmt: skip
  noise = schedules.make(schedule, timesteps)
  real = jnp.promote_types(dtype, jnp.float32)
  scaled = scaling(spec, real, centre)
  alpha, sigma = jnp.asarray(noise.alpha, real), jnp.asarray(noise.sigma, real)
  predict, q = predictor(net, prediction, alpha, sigma), transitions(noise, real)
  path, (kept, chain) = scheduled(noise), strided(noise, likelihood.steps)
  steps, solver = sample.steps or timesteps, solver_of(sample.method, sample.variance, sample.eta)

  def given(cond):
    return field_of(cond, condition) if nothing and cond is not None else None

  def init(key, batch):
    x = scaled(batch["x"][:1])
    return {"unet": net.init(key, x, jnp.zeros((1,)))["params"]}, {"unet": {}}

  def l_simple(params, mutable, batch, key, step):
    del step
    x0 = scaled(batch["x"])
    t_key, noise_key, cond_key, dropout_key = jax.random.split(key, 4)
    t = 1 + stratified(t_key, len(x0), timesteps, batch.get("mask"))
    eps = jax.random.normal(noise_key, x0.shape, real)
    x_t = corrupt(x0, eps, alpha[t], sigma[t])
    cond = hide(cond_key, given(batch), condition_dropout, nothing)
    output = net.apply(
      {"params": params["unet"]}, x_t, t, cond, train=True, rngs={"dropout": dropout_key}
    )
    output, share = with_share(output, x0.shape[-1])
    target = getattr(forms(x0, eps, alpha[t], sigma[t]), prediction)
    value = squared_error(output, target)
    if learned_variance:
      p = convert(output, prediction, x_t, alpha[t], sigma[t])._replace(share=share)
      nats = term(p, batch["x"], x0, x_t, t, q, spec.levels)
      value = value + vlb_weight * timesteps * bits_per_dim(nats, spec)
    return value, (mutable["unet"], {})

  def bound(state, x, keys, cond):
    """The terms of the variational bound of x [B, ...] in nats, each [B], and simple_loss."""
    params, cond = averaged(state, "unet"), given(cond)
    return variational_bound(
      lambda x_t, i: predict(params, x_t, jnp.asarray(kept)[i], cond), chain, x, scaled(x), keys,
      levels=spec.levels, kind=prediction, times=likelihood.times, variance=likelihood.variance,
      first=likelihood.first, shares=likelihood.shares,
    )  # fmt: skip

  def evaluate(state, batch, keys):
    """bits_per_dim, the bound, and its parts L_T, L_t and L_0, the decoder's, in bits/dim."""
    terms = bound(state, batch["x"], keys, batch)
    simple = terms.pop("simple_loss")
    bits = {name: bits_per_dim(nats, spec) for name, nats in terms.items()}
    return {"bits_per_dim": sum(bits.values()), **bits, "simple_loss": simple}

  def log_prob(state, x, keys, cond=None):
    """A lower bound on log p(x | cond) in nats [B]: minus the variational bound."""
    terms = bound(state, x, keys, cond)
    return -(terms["L_T"] + terms["L_t"] + terms["L_0"])

  of = lambda state: at_levels(predict, averaged(state, "unet"))

  def draw(state, keys, cond, frames=0, known=None, hidden=None):
    """Samples, of which x [n, ...] is known but where it is hidden."""
    denoise = steered(of(state), given(cond), nothing, sample, guide_of(state, sample, cond))
    if known is not None:
      denoise = completing(denoise, scaled(known), hidden)

    def clipped(x_t, at):
      p = denoise(x_t, at)
      return clip_x0(p, x_t, at.alpha, at.sigma, sample.clip_quantile) if sample.clip else p

    x = solve(
      clipped, noise, keys, spec.shape, steps=steps, solver=solver, grid=sample.grid,
      frames=frames, dtype=real,
    )  # fmt: skip
    return quantize(x, spec.levels)

  model = game(
    {"unet": Player(minimise("unet", l_simple, optimizer.accumulate), optimizer.make())},
    init,
    ema={"unet": ema} if ema else {},
    evaluate=evaluate,
    sample=lambda state, keys, cond=None: draw(state, keys, cond),
    trajectory=lambda state, keys, cond=None: draw(state, keys, cond, min(steps, 40)),
    log_prob=log_prob,
    denoise=lambda state, x, at, cond=None: across(of(state)(given(cond)), path)(x, at),
    **completion(spec, sample, lambda state, keys, cond, *x: draw(state, keys, cond, 0, *x)),
    cond=(condition,) if nothing else (),
    calls=calls(solver, discrete(noise, times(noise, steps, sample.grid)), sample),
  )
  return single(model)


def check(spec: Spec, multipliers: tuple, condition: str, heads: int, width: int) -> None:
  """Refuses data that the network cannot take, and a network that does not fit itself."""
  require_images(spec, "ddpm")
  halvings = len(multipliers) - 1
  because = f"{len(multipliers)} model.multipliers halve the image {halvings} times"
  require_multiples(spec, 2**halvings, because)
  if condition == "label":
    require_labels(spec, "model.condition=label")
  if condition == "caption":
    require_captions(spec, "model.condition=caption")
  if any(width * m % heads for m in multipliers):
    raise UserError(f"model.heads={heads} must divide the channels, multiples of {width}")


def check_options(
  sample: Sampler, likelihood: Likelihood, timesteps: int, condition: str, learned_variance: bool,
  levels: int,
) -> None:  # fmt: skip
  """Refuses more steps or times than there are, and guidance or variances that are not learnt."""
  for group, variance in (("sample", sample.variance), ("likelihood", likelihood.variance)):
    if variance == "learned" and not learned_variance:
      raise UserError(f"{group}.variance=learned needs model.learned_variance=True")
  for group, steps in (("sample", sample.steps), ("likelihood", likelihood.steps)):
    if steps > timesteps:
      raise UserError(
        f"{group}.steps must be 0 (all) or 1 to {timesteps}, the timesteps, not {steps}"
      )
  length = likelihood.steps or timesteps
  if length < 2:
    raise UserError("likelihood.steps must be 0 (all) or 2 or more")
  if likelihood.first >= length:
    raise UserError(
      "likelihood.first must be 0 (the network's decoder) or between 1 and"
      f" {length - 1}, not {likelihood.first}"
    )
  if likelihood.times > (most := length - max(likelihood.first, 1)):
    raise UserError(
      f"likelihood.times must be 0 (all) or between 1 and {most}, not {likelihood.times}"
    )
  if likelihood.shares and not likelihood.first:
    raise UserError("likelihood.shares are of the decoder that likelihood.first names")
  if likelihood.shares and (len(likelihood.shares) != levels or not any(likelihood.shares)):
    raise UserError(
      f"likelihood.shares must be {levels} numbers, one for each grey level, and not all 0"
    )
  if sample.clip_quantile and not sample.clip:
    raise UserError("sample.clip_quantile is of sample.clip=True")
  check_guidance(sample, condition != "none", "model.condition=label or caption")
