"""Consistency models by easy consistency tuning: samples in one step or two.

The network is EDM's (Karras et al. 2022, arXiv:2206.00364), whose denoiser is f, with f(x, 0) = x
by its preconditioning. Training begins as EDM's and becomes the consistency loss by halves
(`diffusion.consistency`; Geng et al. 2024, arXiv:2406.14548), so that no teacher is needed.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec, UserError
from gen_jax.diffusion import consistency
from gen_jax.diffusion import denoise as kinds
from gen_jax.diffusion.path import edm
from gen_jax.diffusion.times import TIMES, strata
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.denoisers import (
  Convolutional,
  Dense,
  hide,
  labels,
  network,
  one_player,
  own_draws,
  units_of,
)
from gen_jax.models.diffusion import Sampler as OnAnyGrid
from gen_jax.models.diffusion import check
from gen_jax.schema import Count, Decay, Dtype, Positive, Share, builder


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  again: the noise, as sigma, that is added to a sample and taken away again, each a further call of
    the network; () for one call, falling.
  """

  again: tuple[Positive, ...] = ()


@builder
def build(
  spec: Spec,
  *,
  halvings: Count = 8,
  every: Count = 500,
  times_mean: float = -1.1,
  times_std: Positive = 2.0,
  huber: Positive = 1e-3,
  sigma_data: Positive = 1.0,
  conditional: bool = False,
  label_dropout: Share = 0.1,
  dense: Dense = Dense(octaves=3),
  unet: Convolutional = Convolutional(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  sample: Sampler = Sampler(),
) -> Program:
  """A consistency model of real vectors [D], or of images [H, W, C] with integer grey levels.

  `evaluate` gives consistency_loss, that of the last stage of training.

  Args:
    spec: of the data.
    halvings: how often the gap between the two times is halved in training.
    every: steps between these.
    times_mean, times_std: of log sigma in training.
    huber: c of the pseudo-Huber distance.
    sigma_data: the data's standard deviation: 1 of vectors, which are standardised.
    conditional: condition on the label.
    label_dropout: share of labels hidden in training.
    dense, unet: the network of vectors, and of images.
    dtype: of the network's computation.
    ema: decay of the parameter average that samples use; 0 for none.
    optimizer, sample: see there.

  Raises:
    UserError: for what `models.diffusion` refuses, or noise that does not fall.
  """
  check(spec, "edm", "edm", "log_normal", "independent", conditional, unet, OnAnyGrid(grid="rho"))
  route, real = edm(), jnp.promote_types(dtype, jnp.float32)
  if [route.last, *sample.again] != sorted({route.last, *sample.again}, reverse=True):
    raise UserError(f"sample.again={sample.again} must fall, from below {route.last:g}")
  quantile = TIMES["log_normal"](route, times_mean, times_std)
  net = network(spec, dense, unet, conditional, dtype)
  nothing, units, given = spec.classes, units_of(spec, real), labels(conditional)
  scaled = units.scaled
  tick = 1 if spec.levels is None else 1000  # a U-Net was made for times 0..1000

  def init(key, batch):
    moments = units.fit(batch["x"], batch.get("mask"))
    x0 = scaled(batch["x"][:1], moments)
    return {"net": net.init(key, x0, jnp.zeros((1,), real))["params"]}, {"net": moments}

  def function(params, label, **kwargs):
    """f: (x_t, t [B]) -> [B, ...]. Both calls of a loss share their dropout."""
    apply = lambda x, clock: net.apply({"params": params}, x, tick * clock, label, **kwargs)
    denoise = kinds.denoiser(apply, "edm", sigma_data)
    return lambda x, t: denoise(x, route.level(t)).x0

  def loss(params, mutable, batch, key, step):
    x0, label = scaled(batch["x"], mutable["net"]), given(batch)
    t_key, noise_key, label_key, dropout_key = jax.random.split(key, 4)
    t = quantile(strata(t_key, len(x0), batch.get("mask"), real))
    eps = jax.random.normal(noise_key, x0.shape, real)
    label = hide(label_key, label, label_dropout, nothing)
    f = function(params["net"], label, train=True, rngs={"dropout": dropout_key})
    r = consistency.nearer(t, jnp.minimum(step // every, halvings - 1) + 1)
    return consistency.loss(f, x0, eps, t, r, huber), (mutable["net"], {})

  def evaluate(state, batch, keys):
    x0 = scaled(batch["x"], state["mutable"]["net"])
    t, eps = own_draws(keys, quantile, spec.shape, real)
    f = function(averaged(state, "net"), given(batch))
    r = consistency.nearer(t, halvings)
    return {"consistency_loss": consistency.loss(f, x0, eps, t, r, huber)}

  def draw(state, keys, cond, frames):
    f, times = function(averaged(state, "net"), given(cond)), (route.last, *sample.again)
    path = consistency.sample(f, keys, spec.shape, times, real)
    return units.raw(path if frames else path[-1], state["mutable"]["net"])

  return one_player(
    "net", init, loss, draw, ema=ema, optimizer=optimizer, frames=1 + len(sample.again),
    conditional=conditional, evaluate=evaluate, calls=1 + len(sample.again),
  )  # fmt: skip
