"""What diffusion models in continuous time share: networks, units, hidden labels, one player."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import (
  Array,
  Program,
  PyTree,
  Spec,
  UserError,
  centre,
  fold_all,
  quantize,
  single,
)
from gen_jax.diffusion.denoise import Denoise
from gen_jax.diffusion.guidance import Guided
from gen_jax.dynamics.trace import rademacher
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.common import label_of
from gen_jax.nets.denoiser import DenoiserMLP
from gen_jax.nets.dit import DiT
from gen_jax.nets.unet import UNet
from gen_jax.schema import Count, Decay, Natural

Trace = Literal["exact", "hutchinson"]


@dataclasses.dataclass(frozen=True)
class Dense:
  """The network of vectors: see `DenoiserMLP`."""

  width: Count = 128
  layers: Count = 3
  octaves: Natural = 0


@dataclasses.dataclass(frozen=True)
class Convolutional:
  """The network of images: see `UNet`."""

  width: Count = 32
  multipliers: tuple[Count, ...] = (1, 2)
  blocks: Count = 1
  attention: tuple[int, ...] = ()
  heads: Count = 1
  dropout: Decay = 0.0


@dataclasses.dataclass(frozen=True)
class Transformer:
  """The other network of images: see `DiT`."""

  patch: Count = 2
  width: Count = 96
  depth: Count = 6
  heads: Count = 4


def network(
  spec: Spec, dense: Dense, images: Convolutional | Transformer, conditional: bool, dtype: str
):
  """The module of the data: (x_t, clock, label, train) -> output of the shape of x_t."""
  common = {"classes": spec.classes if conditional else 0, "dtype": jnp.dtype(dtype)}
  if len(spec.shape) == 1:
    return DenoiserMLP(spec.shape[0], **vars(dense), **common)
  of = DiT if isinstance(images, Transformer) else UNet
  return of(spec.shape[-1], **vars(images), **common)


def moments_of(x: Array, mask: Array | None, dtype) -> dict[str, Array]:
  """mean [D] of x [B, D], and std, one for all its entries; or of images [B, H, W, C] both of each
  channel [C]: of the rows with mask [B] True."""
  x = x.astype(dtype)
  present = jnp.ones((len(x), 1), bool) if mask is None else mask[:, None]
  if x.ndim == 4:  # each pixel is an entry
    present = jnp.repeat(present, x.shape[1] * x.shape[2], axis=0)
    x = x.reshape(-1, x.shape[-1])
    over, entries = 0, 1
  else:
    over, entries = None, x.shape[1]
  count = jnp.maximum(present.sum(), 1)
  mean = jnp.where(present, x, 0).sum(0) / count
  square = (jnp.where(present, x - mean, 0) ** 2).sum(over) / (count * entries)
  return {"mean": mean, "std": jnp.maximum(jnp.sqrt(square), 1e-6)}  # of what is constant, too


def standardised(x: Array, moments: dict[str, Array], dtype) -> Array:
  """x [B, D], or [B, H, W, C], with those moments taken out."""
  return (x.astype(dtype) - moments["mean"]) / moments["std"]


def own_draws(
  keys: Array, quantile: Callable[[Array], Array], shape: tuple[int, ...], dtype
) -> tuple[Array, Array]:
  """Times t [B] of the law `quantile`, and noise eps [B, *shape], by each example's own key [B]."""
  uniform = lambda key: jax.random.uniform(key, (), dtype, 1e-6, 1)
  normal = lambda key: jax.random.normal(key, shape, dtype)
  return quantile(jax.vmap(uniform)(fold_all(keys, 0))), jax.vmap(normal)(fold_all(keys, 1))


def hide(key: Array, cond: Array | None, share: float, nothing: int) -> Array | None:
  """Labels [B] or captions [B, L], with that share of them, each by chance, as `nothing`; None as
  it is."""
  if cond is None:
    return None
  hidden = jax.random.bernoulli(key, share, cond.shape[:1])
  return jnp.where(hidden.reshape(-1, *[1] * (cond.ndim - 1)), nothing, cond)


class Units(NamedTuple):
  """Between the data's units and the model's: mean 0 and deviation 1 of real values, of images in
  each channel; [-1, 1] of grey levels.

  fit: (x [B, ...], mask or None) -> moments. scaled: (x, moments) -> the model's. raw: its inverse,
  as the data are given. log_volume: moments -> log |dx / d scaled| of an example, of vectors.
  """

  fit: Callable[[Array, Array | None], dict]
  scaled: Callable[[Array, dict], Array]
  raw: Callable[[Array, dict], Array]
  log_volume: Callable[[dict], Array]


def units_of(spec: Spec, dtype) -> Units:
  """The units of vectors or images of real values, or of images of grey levels."""
  if spec.levels is None:
    given = lambda x, moments: standardised(x, moments, dtype)
    raw = lambda x, moments: (moments["mean"] + moments["std"] * x).astype(jnp.float32)
    fit = lambda x, mask: moments_of(x, mask, dtype)
  else:
    given = lambda x, moments: centre(x, spec.levels, dtype)
    raw, fit = lambda x, moments: quantize(x, spec.levels), lambda x, mask: {}

  def scaled(x, moments):
    chex.assert_shape(x, (None, *spec.shape))
    return given(x, moments)

  return Units(fit, scaled, raw, lambda moments: spec.shape[0] * jnp.log(moments["std"]))


def labels(conditional: bool) -> Callable[[dict | None], Array | None]:
  """cond -> its labels [B]; None of an unconditional model, or where there is no condition."""
  return lambda cond: label_of(cond) if conditional and cond is not None else None


def guide_of(state: PyTree, g: Guided, cond: dict | None) -> Denoise | None:
  """The network that guides, which `run.load.opened` puts into the state of a run; None for none.

  Raises:
    UserError: where it is asked for, and not there.
  """
  if not g.guide:
    return None
  if "guide" not in state:
    raise UserError(
      f"sample.guide={g.guide} guides what is drawn of a run folder, by --mode=sample, evaluate or"
      " gen_jax.load: leave it out in training"
    )
  return lambda x_t, level: state["guide"](x_t, level, cond)


def probes(trace: Trace, keys: Array | None, shape: tuple[int, ...], dtype) -> Array | None:
  """One vector of signs for each example's estimate of a divergence; None for the exact one.

  Raises:
    UserError: where there are no keys to draw them from.
  """
  if trace == "exact":
    return None
  if keys is None:
    raise UserError("likelihood.trace=hutchinson draws signs: log_prob needs keys")
  return rademacher(fold_all(keys, 2**20), shape, 1, dtype)


def one_player(
  name: str,
  init: Callable,
  loss: Callable,
  draw: Callable,
  *,
  ema: float,
  optimizer: Optimizer,
  frames: int,
  conditional: bool,
  **capabilities,
) -> Program:
  """The program of one network that minimises one loss.

  Args:
    name: of the player.
    init, loss: as `learn.game` takes them.
    draw: (state, keys, cond, frames) -> samples, or with frames their path.
    ema, optimizer: of the player.
    frames: of a path.
    conditional: on the label.
    **capabilities: the other fields of Model.
  """
  model = game(
    {name: Player(minimise(name, loss, optimizer.accumulate), optimizer.make())},
    init,
    ema={name: ema} if ema else {},
    sample=lambda state, keys, cond=None: draw(state, keys, cond, 0),
    trajectory=lambda state, keys, cond=None: draw(state, keys, cond, frames),
    cond=("label",) if conditional else (),
    **capabilities,
  )
  return single(model)


def taught(previous: list, fresh: dict) -> dict:
  """A student's fresh state (`models.diffusion`), which begins as the network of the stage before,
  its average where it has one: that is its teacher too, frozen in `mutable`. A `Stage.carry`."""
  old = previous[-1]
  teacher = averaged(old, "net")
  kept = {
    "params": {"net": teacher},
    "ema": dict.fromkeys(fresh["ema"], teacher),
    "mutable": {"net": old["mutable"]["net"], "teacher": teacher},
  }
  # A copy: two states must not share what a step donates.
  return jax.tree.map(jnp.copy, {**fresh, **kept})
