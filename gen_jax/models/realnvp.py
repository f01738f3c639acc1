"""RealNVP: density estimation with affine couplings (Dinh et al. 2017, arXiv:1605.08803).

f is a chain of affine couplings, each behind an ActNorm (Kingma & Dhariwal 2018) where the paper
has batch normalisation. For vectors the masks take every other entry; for images a scale is
couplings with checkerboard masks, a squeeze, couplings with channel masks, and half of the channels
factored out to the prior (section 3.6). As options, labels as a condition of every coupling, and
noise that is learnt (variational dequantisation, Ho et al. 2019, arXiv:1902.00275, section 3.1).
Density, bounds and samples are those of `models.flow`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import jax.numpy as jnp
from annotated_types import Interval

from gen_jax.core import Program, Spec, UserError
from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.bijection import chain
from gen_jax.flows.coupling import checkerboard, coupling
from gen_jax.flows.dequantize import logit
from gen_jax.flows.dequantize import noise as squashed
from gen_jax.flows.elementwise import affine
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
  scales: Count = 1,
  width: Count = 64,
  blocks: Natural = 1,
  activation: Activation = "relu",
  alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05,
  dequantization: Literal["uniform", "variational"] = "uniform",
  conditional: bool = False,
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """RealNVP of vectors [D] or images [H, W, C], real-valued or with integer levels.

  Args:
    spec: of the data.
    couplings: of a vector flow; of each kind of mask at each scale of an image flow, whose last
      scale has one more.
    scales: of an image flow; each but the first halves height and width.
    width, blocks, activation: of the `Conditioner` of each coupling.
    alpha: of the logit that integers go through.
    dequantization: the noise that makes integers real.
    conditional: condition on the label.
    dtype: of the conditioners' computation; the flow itself is float32 or wider.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are of another shape, H or W cannot be halved often enough, labels are
      asked for that the data lack, or an option is out of range.
  """
  check_coupled(spec, "realnvp", couplings, scales)
  learnt_noise = dequantization == "variational"
  if learnt_noise and (spec.levels is None or len(spec.shape) == 1):
    raise UserError("model.dequantization=variational is for images with integer grey levels")

  def coupled(mask, features):
    how = {"activation": activation_of(activation), "dtype": jnp.dtype(dtype)}
    net = Conditioner(affine.size * features, width, blocks, **how)
    return coupling(mask, net, affine)

  f = coupled_flow(
    spec.shape, lambda mask, features: chain(actnorm(), coupled(mask, features)), couplings, scales
  )
  if spec.levels is not None:
    f = chain(logit(spec.levels, alpha), f)
  noise = None
  if learnt_noise:
    boards = [checkerboard(spec.shape, i % 2) for i in range(4)]
    noise = squashed(chain(*(coupled(board, spec.shape[-1]) for board in boards)))
  return flow(
    spec, f, noise=noise, conditional=conditional, dtype=jnp.promote_types(dtype, jnp.float32),
    ema=ema, optimizer=optimizer, sample=sample, likelihood=likelihood,
  )  # fmt: skip
