"""Diffusion and flow matching in continuous time, on any path, of vectors and of images.

  corrupt  x_t = alpha(t) x_0 + sigma(t) eps                 (`diffusion.path`)
  learn    E_t || F(x_t, t) - (a x_0 + b eps) ||^2           (`diffusion.denoise`)
  sample   from noise along the probability flow, or its SDE (`diffusion.solvers`)
  density  log p(x) exactly, by the probability flow         (`diffusion.likelihood`)

A system is a path, a kind of prediction and a law of the times of training:

  flow matching  linear, velocity, uniform
                 (Lipman et al. 2023, arXiv:2210.02747; rectified flow: Liu et al. 2023,
                 arXiv:2209.03003)
  EDM            edm, edm, log_normal
                 (Karras et al. 2022, arXiv:2206.00364)
  score SDE      vp, sub_vp or ve, score, uniform
                 (Song et al. 2021, arXiv:2011.13456)

Real-valued data are standardised by the mean and the deviation of the first batch, images in each
channel: such are the codes of latent diffusion (`models.latent`).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec, UserError
from gen_jax.diffusion import denoise as kinds
from gen_jax.diffusion import flow_solvers, grids, solvers
from gen_jax.diffusion import likelihood as flow
from gen_jax.diffusion.algebra import corrupt
from gen_jax.diffusion.coupling import paired
from gen_jax.diffusion.distillation import Teaching
from gen_jax.diffusion.guidance import Guided, steered
from gen_jax.diffusion.guidance import check as check_guidance
from gen_jax.diffusion.path import PATHS, Path, table
from gen_jax.diffusion.times import TIMES, strata
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.diffusion import squared_error
from gen_jax.models.common import require_labels, require_multiples
from gen_jax.models.denoisers import (
  Convolutional,
  Dense,
  Trace,
  Transformer,
  guide_of,
  hide,
  labels,
  network,
  one_player,
  own_draws,
  probes,
  units_of,
)
from gen_jax.models.editing import Way, drawing
from gen_jax.models.hiding import Hiding
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, Positive, Share, builder

SOLVERS = ("euler", "heun", "euler_maruyama", *solvers.SOLVERS)


@dataclasses.dataclass(frozen=True)
class Sampler(Guided, Hiding):
  """How samples are drawn, guided, and what of pictures is hidden for `transform` to fill in.

  solver: euler or heun of the probability flow, euler_maruyama of the SDE, or one of
    `diffusion.solvers`.
  steps: of the grid; heun asks the network twice in all but the last.
  grid: of the times (`diffusion.grids`).
  eta: stochasticity of ddim, 0 to 1.
  churn: noise that heun adds, S_churn of EDM.
  corrections: Langevin steps before each of the solver's, a network call each.
  snr: r, the length of these (`flow_solvers.langevin`).
  """

  solver: Literal[SOLVERS] = "heun"
  steps: Count = 18
  grid: Literal[*grids.GRIDS] = "uniform"
  eta: Share = 0.0
  churn: NonNegative = 0.0
  corrections: Natural = 0
  snr: Positive = 0.16


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How log p(x) is integrated.

  steps: of the Runge-Kutta method of fourth order, which asks the network four times in each.
  trace: of the field's derivative: exact, by one derivative for each dimension, or Hutchinson's
    estimate, by one in all.
  """

  steps: Count = 40
  trace: Trace = "exact"


def solver_of(sample: Sampler, path: Path) -> solvers.Solver:
  """The solver that is asked for."""
  if sample.solver == "heun":
    solver = flow_solvers.heun(path, flow_solvers.Churn(sample.churn))
  elif sample.solver in ("euler", "euler_maruyama"):
    solver = getattr(flow_solvers, sample.solver)()
  else:
    solver = solvers.solver_of(sample.solver, "small", sample.eta)
  return flow_solvers.langevin(solver, sample.corrections, sample.snr)


@builder
def build(
  spec: Spec,
  teaching: Teaching | None = None,
  *,
  path: Literal[*PATHS] = "linear",
  prediction: kinds.Kind = "velocity",
  times: Literal[*TIMES] = "uniform",
  times_mean: float = 0.0,
  times_std: Positive = 1.0,
  sigma_data: Positive = 1.0,
  coupling: Literal["independent", "optimal"] = "independent",
  conditional: bool = False,
  label_dropout: Share = 0.1,
  dense: Dense = Dense(),
  network_of_images: Literal["unet", "dit"] = "unet",
  unet: Convolutional = Convolutional(),
  dit: Transformer = Transformer(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """A diffusion model of real vectors [D], or of images [H, W, C] of grey levels or real values.

  `evaluate` gives denoising_loss, the loss at times of each example's own; of vectors also nll in
  nats and ode_error, by how much it changes with half the steps. `encode` gives the noise that the
  flow carries x to, in `likelihood.steps`, and `decode` makes x of it as samples are made, unless
  these are random; `transform` fills what `observe` hides of images of grey levels.

  Args:
    spec: of the data.
    teaching: of a student by the frozen network `teacher` of its state's `mutable`, which
      `denoisers.taught` puts there; no part of a config.
    path: from data to noise.
    prediction: what the network's output means.
    times, times_mean, times_std: the law of the times of training.
    sigma_data: the data's standard deviation, of `edm`: 1 of real values, which are standardised.
    coupling: which noise belongs to which example: any, or within a batch the optimal transport
      between the two (Tong et al. 2023, arXiv:2302.00482).
    conditional: condition on the label.
    label_dropout: share of labels hidden in training.
    dense: the network of vectors.
    network_of_images: which of `unet` and `dit`, a transformer, is that of images.
    unet, dit: these.
    dtype: of the network's computation.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are neither, labels are asked for that the data lack, H or W cannot be
      halved often enough, or options do not fit each other.
  """
  images = dit if network_of_images == "dit" else unet
  check(spec, path, prediction, times, coupling, conditional, images, sample, real_images=True)
  route, real = PATHS[path](), jnp.promote_types(dtype, jnp.float32)
  quantile = TIMES[times](route, times_mean, times_std)
  net = network(spec, dense, images, conditional, dtype)
  vectors, nothing, units = len(spec.shape) == 1, spec.classes, units_of(spec, real)
  scaled, given = units.scaled, labels(conditional)
  # A U-Net was made for times 0..1000; the other network scales its clock itself.
  tick = (lambda clock: clock) if vectors else (lambda clock: 1000 * clock)

  def init(key, batch):
    moments = units.fit(batch["x"], batch.get("mask"))
    x0 = scaled(batch["x"][:1], moments)
    params = net.init(key, x0, jnp.zeros((1,), real))["params"]
    return {"net": params}, {"net": moments} | ({} if teaching is None else {"teacher": params})

  def denoising(params, mutable, x0, t, eps, label, **kwargs):
    """The squared error [B] of the network's output at times t [B], a student's as taught."""
    weight = 1.0
    if teaching is not None:
      x0, eps, t, weight = teaching(denoise_by(mutable["teacher"], label), x0, eps, t)
    level = route.level(t)
    x_t = corrupt(x0, eps, level.alpha, level.sigma)
    seen = kinds.seen(x_t, prediction, level, sigma_data)
    output = net.apply({"params": params}, seen, tick(level.clock), label, **kwargs)
    return weight * squared_error(output, kinds.target(prediction, x0, eps, level, sigma_data))

  def loss(params, mutable, batch, key, step):
    del step
    x0, label = scaled(batch["x"], mutable["net"]), given(batch)
    t_key, noise_key, label_key, pair_key, dropout_key = jax.random.split(key, 5)
    t = quantile(strata(t_key, len(x0), batch.get("mask"), real))
    eps = jax.random.normal(noise_key, x0.shape, real)
    if coupling == "optimal":
      eps = paired(pair_key, x0, eps, batch.get("mask"))
    label = hide(label_key, label, label_dropout, nothing)
    rngs = {"dropout": dropout_key}
    value = denoising(params["net"], mutable, x0, t, eps, label, train=True, rngs=rngs)
    return value, (mutable["net"], {})

  def denoise_by(params, label, g=Guided(), guide=None):
    """(x_t, level) -> Prediction."""

    def of(label):
      apply = lambda x, clock: net.apply({"params": params}, x, tick(clock), label)
      return kinds.denoiser(apply, prediction, sigma_data)

    return steered(of, label, nothing, g, guide)

  def denoise_with(state, cond, g=Guided()):
    """The same with the averaged parameters."""
    return denoise_by(averaged(state, "net"), given(cond), g, guide_of(state, g, cond))

  def nll(state, x, keys, cond, steps):
    moments = state["mutable"]["net"]
    x0, grid = scaled(x, moments), flow.times(route, steps)
    signs = probes(likelihood.trace, keys, spec.shape, real)
    value = flow.log_prob(denoise_with(state, cond), route, x0, grid, signs)
    return units.log_volume(moments) - value

  def log_prob(state, x, keys=None, cond=None):
    """log p(x | cond) in nats [B], exact up to the error of the integration, or an estimate of it
    without bias from Hutchinson's trace, which alone uses keys."""
    return -nll(state, x, keys, cond, likelihood.steps)

  def evaluate(state, batch, keys):
    params, mutable = averaged(state, "net"), state["mutable"]
    x0 = scaled(batch["x"], mutable["net"])
    t, eps = own_draws(keys, quantile, spec.shape, real)
    terms = {"denoising_loss": denoising(params, mutable, x0, t, eps, given(batch))}
    if vectors:
      fine, coarse = (
        nll(state, batch["x"], keys, batch, steps)
        for steps in (likelihood.steps, max(likelihood.steps // 2, 1))
      )
      terms |= {"nll": fine, "ode_error": jnp.abs(fine - coarse)}
    return terms

  levels = table(route, grids.GRIDS[sample.grid](route, sample.steps))
  solver, guided = solver_of(sample, route), lambda *args: denoise_with(*args, sample)
  moments = lambda state: state["mutable"]["net"]
  scale = float(levels.sigma[0])
  way = Way(route, levels, solver, scale, likelihood.steps, denoise_with, guided, moments)
  draw, more = drawing(spec, way, units, sample, real)
  return one_player(
    "net", init, loss, draw, ema=ema, optimizer=optimizer, frames=min(sample.steps, 40),
    conditional=conditional, evaluate=evaluate, log_prob=log_prob if vectors else None,
    calls=solvers.calls(solver, levels, sample), **more,
  )  # fmt: skip


def check(
  spec, path, prediction, times, coupling, conditional, images, sample, real_images=False
) -> None:
  """Refuses data that no network takes, images of real values too where these are not for them, and
  options that do not fit each other."""
  rank, real = len(spec.shape), spec.levels is None
  if (rank, real) not in ((1, True), (3, False)) and not (rank == 3 and real_images):
    raise UserError(
      "diffusion models vectors of real values and images"
      f"{'' if real_images else ' with integer grey levels'}, not shape"
      f" {spec.shape} of {'real values' if real else 'integers'}"
    )
  if rank == 3 and isinstance(images, Transformer):
    require_multiples(spec, images.patch, f"model.dit.patch={images.patch} is cut out of images")
    if images.width % 4 or images.width % images.heads:
      raise UserError(
        f"model.dit.width={images.width} must be a multiple of 4 and of the {images.heads} heads"
      )
  elif rank == 3:
    halvings = len(images.multipliers) - 1
    because = f"{len(images.multipliers)} model.unet.multipliers halve the image {halvings} times"
    require_multiples(spec, 2**halvings, because)
  if conditional:
    require_labels(spec)
    if coupling == "optimal":
      raise UserError(
        "model.coupling=optimal pairs across classes, which makes another law of each class: take"
        " independent, or model.conditional=False"
      )
  check_guidance(sample, conditional, "model.conditional=True")
  if sample.guide and real:
    raise UserError("sample.guide is for images of grey levels: leave it empty")
  if times == "logit_normal" and path == "edm":
    raise UserError("model.times=logit_normal is for times in 0..1, and those of edm are sigma")
  if sample.churn and sample.solver != "heun":
    raise UserError(f"sample.churn is of sample.solver=heun, not {sample.solver}: leave it 0")
  if path == "edm" and sample.grid == "uniform" and sample.solver in ("euler", "heun"):
    raise UserError(
      "sample.grid=uniform leaves edm's first 80 sigma to one step: take rho or log_snr"
    )
  if sample.solver == "euler_maruyama" and path in ("linear", "cosine"):
    raise UserError(
      f"sample.solver=euler_maruyama begins where model.path={path} has none of the data: take heun"
    )
  if prediction in ("eps", "x0", "score") and path in ("linear", "cosine"):
    raise UserError(
      f"model.prediction={prediction} is divided by alpha or sigma, which are 0 at an end of"
      f" model.path={path}: take velocity, v or edm"
    )
