"""NICE: density estimation with couplings that keep the volume (Dinh et al. 2014, arXiv:1410.8516).

  coupling   y_1 = x_1,  y_2 = x_2 + m(x_1)                                    (eq. 9 and 10)
  scaling    z = exp(s) y, entry by entry, the only part that changes the volume (section 3.3)

Couplings are those of `models.realnvp` with the additive map; the scaling is an ActNorm behind the
last of them, so that the flow begins with z of mean 0 and variance 1. Density, bounds and samples
are those of `models.flow`, whose prior is normal (section 3.4 has it beside the logistic).
"""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Interval

from gen_jax.core import Program, Spec
from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.bijection import chain
from gen_jax.flows.coupling import coupling
from gen_jax.flows.dequantize import logit
from gen_jax.flows.elementwise import additive
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.flow import Likelihood, Sampler, check_coupled, coupled_flow, flow
from gen_jax.nets.coupling import Conditioner
from gen_jax.nets.mlp import Activation, activation_of
from gen_jax.schema import Count, Decay, Dtype, Natural, builder


@builder
def build(
  spec: Spec,
  *,
  couplings: Count = 4,
  width: Count = 1000,
  blocks: Natural = 1,
  activation: Activation = "relu",
  alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 1e-5,
  conditional: bool = False,
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """NICE of vectors [D] or images [H, W, C], real-valued or with integer levels.

  Args:
    spec: of the data.
    couplings: of a vector flow; of an image flow, which has one more, on checkerboards.
    width, blocks, activation: of the `Conditioner` of each coupling.
    alpha: of the logit that integers go through.
    conditional: condition on the label.
    dtype: of the conditioners' computation; the flow itself is float32 or wider.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are of another shape, labels are asked for that they lack, or an option
      is out of range.
  """
  check_coupled(spec, "nice", couplings, scales=1)
  how = {"activation": activation_of(activation), "dtype": jnp.dtype(dtype)}

  def coupled(mask, features):
    return coupling(mask, Conditioner(additive.size * features, width, blocks, **how), additive)

  f = chain(coupled_flow(spec.shape, coupled, couplings, 1), actnorm())
  if spec.levels is not None:
    f = chain(logit(spec.levels, alpha), f)
  return flow(
    spec, f, conditional=conditional, dtype=jnp.promote_types(dtype, jnp.float32), ema=ema,
    optimizer=optimizer, sample=sample, likelihood=likelihood,
  )  # fmt: skip
