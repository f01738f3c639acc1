"""MeanFlow: one network of the average velocity between any two times, and samples in one step.

Nothing is distilled: the average obeys an identity with its own derivative along the flow
(`diffusion.mean_velocity`; Geng et al. 2025, arXiv:2505.13447), which is learnt from scratch. The
network is told t and t - r.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Program, Spec, UserError, fold_all
from gen_jax.diffusion import mean_velocity
from gen_jax.learn.game import averaged
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.denoisers import Dense, one_player, units_of
from gen_jax.nets.denoiser import DenoiserMLP
from gen_jax.schema import Count, Decay, Dtype, NonNegative, Positive, Share, builder

# Of the clock: the loss differentiates by it, and the network's fastest waves of it are 1000 long.
SLOW = 0.01


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  steps: calls of the network, each over an equal part of the time.
  """

  steps: Count = 1


class Objective(NamedTuple):
  """What an average velocity u learns, see `diffusion.mean_velocity`.

  name: of the system.
  times: (key, count, share, dtype) -> r, t [count] each, r < t in that share of them.
  share: of the examples in training.
  loss: (u, x0, eps [B, ...], r, t [B]) -> [B].
  measured: the same, as `evaluate` gives it.
  """

  name: str
  times: Callable
  share: float
  loss: Callable
  measured: Callable


@builder
def build(
  spec: Spec,
  *,
  share: Share = 0.5,
  tangent: mean_velocity.Tangent = "example",
  power: NonNegative = 0.0,
  floor: Positive = 1e-3,
  dense: Dense = Dense(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  sample: Sampler = Sampler(),
) -> Program:
  """MeanFlow of vectors [D] of real values, which are standardised by the first batch.

  `evaluate` gives mean_velocity_loss between two times of each example's own, and velocity_loss,
  that of flow matching, with r = t.

  Args:
    spec: of the data.
    share: of the examples that learn an average; the others learn the velocity itself.
    tangent: along whose velocity the average is differentiated: the example's, or the network's.
    power, floor: of the adaptive weight, see `mean_velocity.loss`; power 0 for none.
    dense: the network.
    dtype: of the network's computation.
    ema: decay of the parameter average that samples use; 0 for none.
    optimizer, sample: see there.

  Raises:
    UserError: for data of another kind.
  """
  objective = Objective(
    "meanflow", mean_velocity.time_pairs, share,
    partial(mean_velocity.loss, tangent=tangent, power=power, floor=floor),
    partial(mean_velocity.loss, tangent=tangent),
  )  # fmt: skip
  return wired(spec, objective, dense, dtype, ema, optimizer, sample)


def wired(
  spec: Spec, objective: Objective, dense: Dense, dtype: str, ema: float, optimizer: Optimizer,
  sample: Sampler,
) -> Program:  # fmt: skip
  """The program of one network that learns so, see `build`."""
  if len(spec.shape) != 1 or spec.levels is not None:
    raise UserError(
      f"{objective.name} models vectors of real values, not shape {spec.shape} of"
      f" {'real values' if spec.levels is None else 'integers'}"
    )
  real, (size,) = jnp.promote_types(dtype, jnp.float32), spec.shape
  net, units = DenoiserMLP(size, **vars(dense), dtype=jnp.dtype(dtype)), units_of(spec, real)
  scaled = units.scaled

  def average(params):
    """u(z, r, t)."""
    clocks = lambda r, t: SLOW * jnp.stack([t, t - r], axis=-1)
    return lambda z, r, t: net.apply({"params": params}, z, clocks(r, t))

  def init(key, batch):
    moments = units.fit(batch["x"], batch.get("mask"))
    clocks = jnp.zeros((1, 2), real)
    return {"net": net.init(key, jnp.zeros((1, size), real), clocks)["params"]}, {"net": moments}

  def loss(params, mutable, batch, key, step):
    del step
    x0 = scaled(batch["x"], mutable["net"])
    time_key, noise_key = jax.random.split(key)
    r, t = objective.times(time_key, len(x0), objective.share, real)
    eps = jax.random.normal(noise_key, x0.shape, real)
    return objective.loss(average(params["net"]), x0, eps, r, t), (mutable["net"], {})

  def evaluate(state, batch, keys):
    x0, u = scaled(batch["x"], state["mutable"]["net"]), average(averaged(state, "net"))
    pair = lambda key: objective.times(key, 1, 1.0, real)
    r, t = (times[:, 0] for times in jax.vmap(pair)(fold_all(keys, 0)))
    eps = jax.vmap(lambda key: jax.random.normal(key, (size,), real))(fold_all(keys, 1))
    of = lambda r: objective.measured(u, x0, eps, r, t)
    return {"mean_velocity_loss": of(r), "velocity_loss": of(t)}

  def draw(state, keys, cond, frames):
    del cond
    z = jax.vmap(lambda key: jax.random.normal(key, (size,), real))(fold_all(keys, 0))
    path = mean_velocity.sample(average(averaged(state, "net")), z, sample.steps)
    return units.raw(path if frames else path[-1], state["mutable"]["net"])

  return one_player(
    "net", init, loss, draw, ema=ema, optimizer=optimizer, frames=sample.steps,
    conditional=False, evaluate=evaluate, calls=sample.steps,
  )  # fmt: skip
