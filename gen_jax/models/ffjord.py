"""FFJORD: density estimation by a continuous flow (Grathwohl et al. 2019, arXiv:1810.01367).

f is an ActNorm that standardises the points, and an ordinary differential equation whose field is a
net, solved by Runge-Kutta steps on a fixed grid (`flows.continuous`); the divergence is exact, not
Hutchinson's estimate, as in the source for few dimensions. Training on a coarse grid pays a penalty
on the kinetic energy, without which the field learns to gain by the solver's errors. What is
reported, drawn and encoded is computed on a finer grid, and the likelihood on both: nll beside
nll_train_grid. Density and samples are those of `models.flow`.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal

import jax.numpy as jnp
from annotated_types import Interval

from gen_jax.core import Program, Spec
from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.bijection import chain
from gen_jax.flows.continuous import continuous
from gen_jax.flows.dequantize import logit
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import flow as flows
from gen_jax.nets.field import VectorField
from gen_jax.nets.mlp import activation_of
from gen_jax.schema import Count, Decay, Dtype, NonNegative, builder


@dataclasses.dataclass(frozen=True)
class Likelihood(flows.Likelihood):
  """As of every flow, and the grid of the finished model.

  steps: of Runge-Kutta, for densities, codes and samples.
  """

  steps: Count = 48


@builder
def build(
  spec: Spec,
  *,
  steps: Count = 12,
  kinetic: NonNegative = 0.05,
  width: Count = 64,
  layers: Count = 3,
  activation: Literal["tanh", "silu", "gelu"] = "tanh",
  alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05,
  conditional: bool = False,
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: flows.Sampler = flows.Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """FFJORD of vectors [D], real-valued or with integer levels.

  Args:
    spec: of the data.
    steps: of Runge-Kutta in training.
    kinetic: weight of the kinetic energy in the loss.
    width, layers, activation: of the field's net; layers are hidden ones.
    alpha: of the logit that integers go through.
    conditional: condition on the label.
    dtype: of the net's computation; the flow itself is float32 or wider.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are of another shape, labels are asked for that they lack, or an option
      is out of range.
  """
  flows.check_vectors(spec, "ffjord")
  net = VectorField(width, layers, activation_of(activation), jnp.dtype(dtype))
  (coarse, transport), (fine, _) = (continuous(net, n) for n in (steps, likelihood.steps))
  front = actnorm() if spec.levels is None else chain(logit(spec.levels, alpha), actnorm())

  def regularised(params, x, cond):
    of_front, own = params
    x, log_det = front.forward(of_front, x, cond)
    way = transport(own, x, cond)
    return way.y, log_det + way.log_det, kinetic * way.energy

  return flows.flow(
    spec, chain(front, coarse), fine=chain(front, fine), regularised=regularised,
    conditional=conditional, dtype=jnp.promote_types(dtype, jnp.float32), ema=ema,
    optimizer=optimizer, sample=sample, likelihood=likelihood,
  )  # fmt: skip
