"""Neural spline flow: density estimation with rational-quadratic couplings (Durkan, Bekasov, Murray
& Papamakarios 2019, arXiv:1906.04032).

f is a chain of steps, each an ActNorm that keeps the points within the splines, a learnt linear map
in LU form, and a coupling whose map of each entry is a spline of K bins on [-B, B] and the identity
outside (section 3). Masks take every other entry by turns. In autoregressive form the splines are
those of `models.maf`. Density, bounds and samples are those of `models.flow`.
"""

from __future__ import annotations

from typing import Annotated

import jax.numpy as jnp
from annotated_types import Ge, Interval, Le

from gen_jax.core import Program, Spec
from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.bijection import chain
from gen_jax.flows.coupling import coupling
from gen_jax.flows.dequantize import logit
from gen_jax.flows.linear import lu
from gen_jax.flows.spline import rational_quadratic
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.flow import Likelihood, Sampler, check_coupled, check_vectors, flow, vector_flow
from gen_jax.nets.coupling import Conditioner
from gen_jax.nets.mlp import Activation, activation_of
from gen_jax.schema import Count, Decay, Dtype, Natural, Positive, builder


@builder
def build(
  spec: Spec,
  *,
  couplings: Count = 8,
  bins: Annotated[int, Ge(2), Le(500)] = 8,
  bound: Positive = 4.0,
  width: Count = 64,
  blocks: Natural = 1,
  activation: Activation = "relu",
  alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05,
  conditional: bool = False,
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """Spline flow of vectors [D], real-valued or with integer levels.

  Args:
    spec: of the data.
    couplings: how many; even.
    bins: K of each spline.
    bound: B, in standard deviations of the first batch.
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
  check_vectors(spec, "nsf")
  check_coupled(spec, "nsf", couplings, scales=1)
  map = rational_quadratic(bins, bound)

  def step(mask, features):
    how = {"activation": activation_of(activation), "dtype": jnp.dtype(dtype)}
    net = Conditioner(map.size * int((~mask).sum()), width, blocks, **how)
    return chain(actnorm(), lu(), coupling(mask, net, map, compact=True))

  f = vector_flow(spec.shape[0], step, couplings)
  if spec.levels is not None:
    f = chain(logit(spec.levels, alpha), f)
  return flow(
    spec, f, conditional=conditional, dtype=jnp.promote_types(dtype, jnp.float32), ema=ema,
    optimizer=optimizer, sample=sample, likelihood=likelihood,
  )  # fmt: skip
