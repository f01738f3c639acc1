"""Variational diffusion models (Kingma et al. 2021, arXiv:2107.00630).

The bound on -log p(x) is the loss (`diffusion.continuous_bound`). log_snr(t) is straight between
two ends that are learnt with the network, as in the authors' code; what it does between
them changes the variance of the loss alone (section 5.1). The network sees octaves of x beside it:
of grey levels, those whose waves are two and one step long (appendix C).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Program, Spec, UserError, count_dims, fold_all
from gen_jax.diffusion import continuous_bound as bounds
from gen_jax.diffusion import denoise as kinds
from gen_jax.diffusion import grids, solvers
from gen_jax.diffusion import likelihood as flow
from gen_jax.diffusion.algebra import corrupt
from gen_jax.diffusion.guidance import Guided, steered
from gen_jax.diffusion.guidance import check as check_guidance
from gen_jax.diffusion.path import Path, of_log_snr, table
from gen_jax.diffusion.times import strata
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.common import bits_per_dim
from gen_jax.models.denoisers import (
  Convolutional,
  Dense,
  Trace,
  guide_of,
  hide,
  labels,
  network,
  one_player,
  probes,
  units_of,
)
from gen_jax.models.diffusion import Sampler as OnAnyGrid
from gen_jax.models.diffusion import check
from gen_jax.models.editing import Way, drawing
from gen_jax.models.hiding import Hiding
from gen_jax.nets.denoiser import octaves
from gen_jax.schema import Count, Decay, Dtype, Share, builder


@dataclasses.dataclass(frozen=True)
class Sampler(Guided, Hiding):
  """How samples are drawn, in equal steps of log_snr, guided, and what of pictures is hidden for
  `transform` to fill in.

  solver, steps, eta: see `models.diffusion.Sampler`.
  """

  solver: Literal[*solvers.SOLVERS] = "dpmpp_2m"
  steps: Count = 32
  eta: Share = 0.0


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How the bound and log p(x) are estimated.

  times: of the bound, one in each of as many equal strata for each example.
  steps, trace: of the probability flow, of real values: see `models.diffusion.Likelihood`.
  """

  times: Count = 16
  steps: Count = 40
  trace: Trace = "exact"


def straight(first: float, last: float, start: float, end: float) -> Path:
  """log_snr from `first` at t = 0 to `last` at 1; the clock is 0 at `start` and 1 at `end`."""
  return of_log_snr(
    lambda t: first + (last - first) * t,
    lambda t: (last - first) + 0 * t,
    lambda l: (l - first) / (last - first),
    lambda l: (l - start) / (end - start),
  )


def seen(x: Array, spec: Spec) -> Array:
  """What the network is given of x: of images with waves of two steps between grey levels, and of
  one, as further channels."""
  if spec.levels is None:
    return x
  return jnp.concatenate([x, octaves(x, round(math.log2(spec.levels - 1)), 2)], -1)


def predictor(net, spec: Spec):
  """(params, x, clock, label) -> eps^: the network's output and x itself, which it is at the end
  (as in the authors' code)."""
  ticks = 1 if spec.levels is None else 1000

  def apply(params, x, clock, label, **kwargs):
    return x + net.apply({"params": params["net"]}, seen(x, spec), ticks * clock, label, **kwargs)

  return apply


@builder
def build(
  spec: Spec,
  *,
  first_log_snr: float = 6.0,
  last_log_snr: float = -5.0,
  conditional: bool = False,
  label_dropout: Share = 0.1,
  dense: Dense = Dense(octaves=2),
  unet: Convolutional = Convolutional(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """A VDM of real vectors [D], or of images [H, W, C] with integer grey levels.

  `evaluate` gives the bound and its parts prior_kl, diffusion_loss and decoder_loss in nats; of
  images bits_per_dim too; of vectors nll, by the probability flow, and bound_gap, bound - nll.

  Args:
    spec: of the data.
    first_log_snr, last_log_snr: the ends of log_snr before training. The first is such that the
      noise of grey levels is a third of half a step: 7.8 of 17 levels, 13.3 of 256.
    conditional: condition on the label.
    label_dropout: share of labels hidden in training.
    dense, unet: the network of vectors, and of images.
    dtype: of the network's computation.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: for what `models.diffusion` refuses, or ends that do not fall.
  """
  options = OnAnyGrid(solver=sample.solver)
  check(spec, "vdm", "eps", "uniform", "independent", conditional, unet, options)
  check_guidance(sample, conditional, "model.conditional=True")
  if sample.guide and spec.levels is None:
    raise UserError("sample.guide is for images of grey levels: leave it empty")
  if not first_log_snr > last_log_snr:
    raise UserError(f"model.first_log_snr={first_log_snr} must be above {last_log_snr}, the last")
  vectors, nothing, given = spec.levels is None, spec.classes, labels(conditional)
  real, size = jnp.promote_types(dtype, jnp.float32), count_dims(spec)
  net, units = network(spec, dense, unet, conditional, dtype), units_of(spec, real)
  scaled = units.scaled
  fixed = straight(first_log_snr, last_log_snr, first_log_snr, last_log_snr)

  solver = solvers.solver_of(sample.solver, "small", sample.eta)
  path_of = lambda p: straight(p["first"], p["last"], first_log_snr, last_log_snr)
  apply = predictor(net, spec)

  def init(key, batch):
    moments = units.fit(batch["x"], batch.get("mask"))
    x = seen(scaled(batch["x"][:1], moments), spec)
    params = {
      "net": net.init(key, x, jnp.zeros((1,), real))["params"],
      "first": jnp.asarray(first_log_snr, real),
      "last": jnp.asarray(last_log_snr, real),
    }
    return {"vdm": params}, {"vdm": moments}

  def diffusion(params, x, t, eps, label, **kwargs):
    level = path_of(params).level(t)
    z = corrupt(x, eps, level.alpha, level.sigma)
    return bounds.diffusion_loss(eps, apply(params, z, level.clock, label, **kwargs), level)

  def both_ends(params, x, k, eps):
    path = path_of(params)
    first, last = (path.level(jnp.asarray(t, real)) for t in (0.0, 1.0))
    return bounds.ends(x, k, eps, first, last, spec.levels)

  def loss(params, mutable, batch, key, step):
    del step
    x, label = scaled(batch["x"], mutable["vdm"]), given(batch)
    t_key, noise_key, end_key, label_key, dropout_key = jax.random.split(key, 5)
    t = strata(t_key, len(x), batch.get("mask"), real)
    eps, other = (jax.random.normal(k, x.shape, real) for k in (noise_key, end_key))
    label = hide(label_key, label, label_dropout, nothing)
    rngs = {"dropout": dropout_key}
    middle = diffusion(params["vdm"], x, t, eps, label, train=True, rngs=rngs)
    kl, decoder = both_ends(params["vdm"], x, batch["x"], other)
    return (kl + middle + decoder) / size, (mutable["vdm"], {})

  def terms_of(state, x, keys, cond):
    """The parts of the bound of x [B, ...] in nats, of the data as they are given."""
    params, moments, label = averaged(state, "vdm"), state["mutable"]["vdm"], given(cond)
    z = scaled(x, moments)
    normal = lambda i: jax.vmap(lambda k: jax.random.normal(k, spec.shape, real))(fold_all(keys, i))
    t = jax.vmap(lambda k: strata(k, likelihood.times, dtype=real))(fold_all(keys, 0))

    add = lambda i, total: total + diffusion(params, z, t[:, i], normal(i + 2), label)
    middle = jax.lax.fori_loop(0, likelihood.times, add, jnp.zeros(len(x), real))
    kl, decoder = both_ends(params, z, x, normal(1))
    if vectors:
      decoder = decoder + units.log_volume(moments)
    middle = middle / likelihood.times
    return {"prior_kl": kl, "diffusion_loss": middle, "decoder_loss": decoder}

  def denoise_with(state, cond, g=Guided()):
    params, label = averaged(state, "vdm"), given(cond)

    def of(label):
      return kinds.denoiser(lambda x, clock: apply(params, x, clock, label), "eps")

    return steered(of, label, nothing, g, guide_of(state, g, cond))

  def log_prob(state, x, keys, cond=None):
    """log p(x | cond) in nats [B]: of real values by the probability flow, exact up to the error of
    the integration; of integers minus the bound."""
    if not vectors:
      return -sum(terms_of(state, x, keys, cond).values())
    moments = state["mutable"]["vdm"]
    grid = flow.times(fixed, likelihood.steps)
    signs = probes(likelihood.trace, keys, spec.shape, real)
    value = flow.log_prob(denoise_with(state, cond), fixed, scaled(x, moments), grid, signs)
    return value - units.log_volume(moments)

  def evaluate(state, batch, keys):
    terms = terms_of(state, batch["x"], keys, batch)
    bound = sum(terms.values())
    if not vectors:
      return {"bits_per_dim": bits_per_dim(bound, spec), "bound": bound, **terms}
    nll = -log_prob(state, batch["x"], keys, batch)
    return {"nll": nll, "bound": bound, "bound_gap": bound - nll, **terms}

  levels = table(fixed, grids.uniform(fixed, sample.steps))
  guided = lambda *args: denoise_with(*args, sample)
  moments = lambda state: state["mutable"]["vdm"]
  way = Way(fixed, levels, solver, 1.0, likelihood.steps, denoise_with, guided, moments)
  draw, more = drawing(spec, way, units, sample, real)

  return one_player(
    "vdm", init, loss, draw, ema=ema, optimizer=optimizer, frames=min(sample.steps, 40),
    conditional=conditional, evaluate=evaluate, log_prob=log_prob,
    calls=solvers.calls(solver, levels, sample), **more,
  )  # fmt: skip
