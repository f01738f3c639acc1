"""Denoising diffusion probabilistic models (Ho, Jain & Abbeel 2020, arXiv:2006.11239).

  corrupt    x_t = alpha_t x_0 + sigma_t eps,  t = 1..T                                 (eq. 4)
  learn      L_simple = E || eps - eps_theta(x_t, t) ||^2                                (eq. 14)
  bound      -log p(x_0) <= L_T + sum_t L_{t-1} + L_0                                    (eq. 5)
  sample     x_{t-1} ~ p_theta(x_{t-1} | x_t), from x_T ~ N(0, I)                        (alg. 2)

with, as options, the cosine schedule (Nichol & Dhariwal 2021), x_0 and v prediction (Salimans & Ho
2022), DDIM sampling (Song et al. 2021), labels dropped at random in training and classifier-free
guidance (Ho & Salimans 2022).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec, UserError, centre, count_dims, quantize, single
from gen_jax.diffusion import schedule as schedules
from gen_jax.diffusion.bound import clip_x0, variational_bound
from gen_jax.diffusion.gaussian import convert, corrupt, forms
from gen_jax.diffusion.solvers import solve
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.diffusion import squared_error, stratified
from gen_jax.nets.unet import UNet


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  method: ancestral (alg. 2) or ddim.
  steps: number of network calls, 0 for one at each of the T timesteps.
  variance: of an ancestral step: large is beta_t, small the posterior's (section 3.2).
  eta: stochasticity of ddim, 0 to 1.
  guidance: w of (1 + w) eps(x, label) - w eps(x, no label); 0 for none.
  clip: keep the predicted x_0 inside [-1, 1].
  """

  method: Literal["ancestral", "ddim"] = "ancestral"
  steps: int = 0
  variance: Literal["large", "small"] = "large"
  eta: float = 0.0
  guidance: float = 0.0
  clip: bool = True


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How the bound is estimated.

  times: timesteps at which L_1..L_{T-1} are evaluated per example, one in each of as many equal
    strata (an unbiased estimate of their sum); 0 for all of them, which is exact given the noise.
    L_0 and L_T are always evaluated.
  variance: of p(x_{t-1} | x_t), as in sampling.
  """

  times: int = 0
  variance: Literal["large", "small"] = "large"


def build(
  spec: Spec,
  *,
  prediction: Literal["eps", "x0", "v"] = "eps",
  schedule: Literal["linear", "cosine"] = "linear",
  timesteps: int = 1000,
  conditional: bool = False,
  label_dropout: float = 0.1,
  width: int = 128,
  multipliers: tuple[int, ...] = (1, 2, 2, 2),
  blocks: int = 2,
  attention: tuple[int, ...] = (16,),
  heads: int = 1,
  dropout: float = 0.1,
  dtype: Literal["float32", "bfloat16", "float64"] = "float32",
  remat: bool = False,
  ema: float = 0.9999,
  optimizer: Optimizer = Optimizer(learning_rate=2e-4, warmup=5000, clip=1.0),  # noqa: B008
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
    conditional: condition on the label.
    label_dropout: share of labels hidden in training, so that the unconditional model is learnt
      too; used where conditional.
    width, multipliers, blocks, attention, heads, dropout: of the `UNet`.
    dtype: of the network's computation.
    remat: whether the gradient computes the blocks again instead of keeping what is in them.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are not images with integer levels, H or W cannot be halved often
      enough, labels are asked for that the data lack, or an option is out of range.
  """
  check(spec, multipliers, conditional, timesteps, likelihood, heads, width, blocks)
  check_shares(label_dropout, dropout, ema)
  check_sampler(sample, timesteps, conditional)
  net = UNet(
    channels=spec.shape[-1], width=width, multipliers=multipliers, blocks=blocks,
    attention=attention, heads=heads, dropout=dropout,
    classes=spec.classes if conditional else 0, dtype=jnp.dtype(dtype),
    remat=remat,
  )  # fmt: skip
  noise = schedules.make(schedule, timesteps)
  real = jnp.promote_types(dtype, jnp.float32)
  alpha, sigma = jnp.asarray(noise.alpha, real), jnp.asarray(noise.sigma, real)
  steps = sample.steps or timesteps

  def init(key, batch):
    x = batch["x"][:1].astype(real)
    chex.assert_shape(x, (1, *spec.shape))
    return {"unet": net.init(key, x, jnp.zeros((1,)))["params"]}, {"unet": {}}

  def l_simple(params, mutable, batch, key, step):
    del step
    x0 = centre(batch["x"], spec.levels, real)
    chex.assert_shape(x0, (None, *spec.shape))
    t_key, noise_key, label_key, dropout_key = jax.random.split(key, 4)
    t = 1 + stratified(t_key, len(x0), timesteps)
    eps = jax.random.normal(noise_key, x0.shape, real)
    x_t = corrupt(x0, eps, alpha[t], sigma[t])
    label = None
    if conditional:
      hidden = jax.random.bernoulli(label_key, label_dropout, t.shape)
      label = jnp.where(hidden, spec.classes, batch["label"])
    output = net.apply(
      {"params": params["unet"]}, x_t, t, label, train=True, rngs={"dropout": dropout_key}
    )
    target = getattr(forms(x0, eps, alpha[t], sigma[t]), prediction)
    return squared_error(output, target), (mutable["unet"], {})

  def predict(params, x_t, t, label):
    """What the network says of x_t [B, ...] at times t [B], in every form."""
    output = net.apply({"params": params}, x_t, t, label)
    return convert(output, prediction, x_t, alpha[t], sigma[t])

  def guided(params, x_t, t, label):
    """`predict` with classifier-free guidance: extrapolated from the unconditional model's eps."""
    if sample.guidance == 0 or label is None:
      return predict(params, x_t, t, label)
    labels = jnp.concatenate([label, jnp.full_like(label, spec.classes)])
    p = predict(params, jnp.concatenate([x_t, x_t]), jnp.concatenate([t, t]), labels)
    with_label, without = jnp.split(p.eps, 2)
    eps = (1 + sample.guidance) * with_label - sample.guidance * without
    return convert(eps, "eps", x_t, alpha[t], sigma[t])

  def label_of(cond):
    return cond["label"] if conditional and cond is not None else None

  def bound(state, x, keys, cond):
    """The terms of the variational bound of x [B, ...] in nats, each [B], and simple_loss."""
    chex.assert_shape(x, (None, *spec.shape))
    params, label = averaged(state, "unet"), label_of(cond)
    return variational_bound(
      lambda x_t, t: predict(params, x_t, t, label), noise, x, centre(x, spec.levels, real), keys,
      levels=spec.levels, kind=prediction, times=likelihood.times, variance=likelihood.variance,
    )  # fmt: skip

  def evaluate(state, batch, keys):
    """bits_per_dim, the bound, and its parts L_T, L_t (t = 1..T-1) and L_0, in bits/dim."""
    terms = bound(state, batch["x"], keys, batch)
    simple = terms.pop("simple_loss")
    bits = {name: nats / (count_dims(spec) * jnp.log(2.0)) for name, nats in terms.items()}
    return {"bits_per_dim": sum(bits.values()), **bits, "simple_loss": simple}

  def log_prob(state, x, keys, cond=None):
    """A lower bound on log p(x | cond) in nats [B]: minus the variational bound."""
    terms = bound(state, x, keys, cond)
    return -(terms["L_T"] + terms["L_t"] + terms["L_0"])

  def draw(state, keys, cond, frames):
    params, label = averaged(state, "unet"), label_of(cond)

    def denoise(x_t, t):
      t = jnp.full(len(x_t), t)
      p = guided(params, x_t, t, label)
      return clip_x0(p, x_t, alpha[t], sigma[t]) if sample.clip else p

    x = solve(
      denoise, noise, keys, spec.shape, steps=steps, method=sample.method,
      variance=sample.variance, eta=sample.eta, frames=frames, dtype=real,
    )  # fmt: skip
    return quantize(x, spec.levels)

  model = game(
    {"unet": Player(minimise("unet", l_simple, optimizer.accumulate), optimizer.make())},
    init,
    ema={"unet": ema} if ema else {},
    evaluate=evaluate,
    sample=lambda state, keys, cond=None: draw(state, keys, cond, 0),
    trajectory=lambda state, keys, cond=None: draw(state, keys, cond, min(steps, 40)),
    log_prob=log_prob,
    cond=("label",) if conditional else (),
  )
  return single(model)


def check(spec, multipliers, conditional, timesteps, likelihood, heads, width, blocks):
  """Refuses what the builder cannot serve, in one line."""
  if len(spec.shape) != 3 or spec.levels is None:
    raise UserError(f"ddpm models images with integer grey levels, not data of shape {spec.shape}")
  if not multipliers or min((*multipliers, width, blocks)) < 1:
    raise UserError(
      f"model.width={width}, model.blocks={blocks} and model.multipliers={multipliers}, of which"
      " there is one or more, are numbers from 1 on"
    )
  if timesteps < 2:
    raise UserError(f"model.timesteps must be 2 or more, not {timesteps}")
  halvings = len(multipliers) - 1
  if any(size % 2**halvings for size in spec.shape[:2]):
    raise UserError(
      f"{len(multipliers)} model.multipliers halve the image {halvings} times, so its height and"
      f" width must be multiples of {2**halvings}, not {spec.shape[0]}x{spec.shape[1]}:"
      " give fewer multipliers or another data.resolution"
    )
  if conditional and spec.classes < 1:
    raise UserError("model.conditional=True needs labels, and these data have none: set it False")
  if not 0 <= likelihood.times <= timesteps - 1:
    raise UserError(
      f"likelihood.times must be 0 (all) or between 1 and {timesteps - 1}, not {likelihood.times}"
    )
  if heads < 1 or any(width * m % heads for m in multipliers):
    raise UserError(f"model.heads={heads} must divide the channels, multiples of {width}")


def check_shares(label_dropout, dropout, ema):
  """Refuses shares that are none, in one line."""
  if not 0 <= label_dropout <= 1:
    raise UserError(f"model.label_dropout is a share between 0 and 1, not {label_dropout}")
  for name, value in (("dropout", dropout), ("ema", ema)):
    if not 0 <= value < 1:
      raise UserError(f"model.{name} must lie in [0, 1), not {value}")


def check_sampler(sample: Sampler, timesteps: int, conditional: bool) -> None:
  """Refuses options of sampling that are out of range, in one line."""
  if not 0 <= sample.steps <= timesteps:
    raise UserError(
      f"sample.steps must be 0 (all) or 1 to {timesteps}, the timesteps, not {sample.steps}"
    )
  if not 0 <= sample.eta <= 1:
    raise UserError(f"sample.eta must lie in [0, 1], not {sample.eta}")
  if sample.guidance and not conditional:
    raise UserError("sample.guidance needs model.conditional=True: leave it 0")
