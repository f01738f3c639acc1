"""Autoregressive flows: density estimation in one pass of a masked net (Papamakarios, Pavlakou &
Murray 2017, arXiv:1705.07057), or sampling in one pass (inverse autoregressive flows: Kingma et al.
2016, arXiv:1606.04934).

f is a chain of layers, each an ActNorm where the first paper has batch normalisation, an
autoregressive map whose parameters a MADE gives, and the entries in reverse order, or mixed by a
learnt linear map. The map of each entry is affine, or a rational-quadratic spline (Durkan et al.
2019, arXiv:1906.04032). Density, bounds and samples are those of `models.flow`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import jax.numpy as jnp
from annotated_types import Ge, Interval, Le

from gen_jax.core import Program, Spec
from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.autoregressive import autoregressive, invert
from gen_jax.flows.bijection import chain, repeat, reverse
from gen_jax.flows.dequantize import logit
from gen_jax.flows.elementwise import affine
from gen_jax.flows.linear import lu
from gen_jax.flows.spline import rational_quadratic
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.flow import Likelihood, Sampler, check_vectors, flow
from gen_jax.nets.made import MADE
from gen_jax.nets.mlp import Activation, activation_of
from gen_jax.schema import Count, Decay, Dtype, Positive, builder


@builder
def build(
  spec: Spec,
  *,
  layers: Count = 5,
  one_pass: Literal["density", "sampling"] = "density",
  map: Literal["affine", "spline"] = "affine",
  bins: Annotated[int, Ge(2), Le(500)] = 8,
  bound: Positive = 4.0,
  mixing: Literal["reverse", "lu"] = "reverse",
  width: Count = 128,
  hidden: Count = 2,
  activation: Activation = "relu",
  alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05,
  conditional: bool = False,
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """Autoregressive flow of vectors [D], real-valued or with integer levels.

  Args:
    spec: of the data.
    layers: of the flow.
    one_pass: what takes one pass of each net: the density of given points (MAF), so that sampling
      takes D, or the other way round (IAF), where each step of training takes D too.
    map: of each entry.
    bins, bound: K and B of splines; B in standard deviations of the first batch.
    mixing: of the entries between layers.
    width, hidden, activation: of each MADE, its hidden layers.
    alpha: of the logit that integers go through.
    conditional: condition on the label.
    dtype: of the nets' computation; the flow itself is float32 or wider.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are of another shape, labels are asked for that they lack, or an option
      is out of range.
  """
  check_vectors(spec, "maf")
  of_entry = affine if map == "affine" else rational_quadratic(bins, bound)
  how = {"activation": activation_of(activation), "dtype": jnp.dtype(dtype)}
  part = autoregressive(MADE(of_entry.size, width, hidden, **how), of_entry)
  if one_pass == "sampling":
    part = invert(part)
  f = repeat(chain(actnorm(), part, reverse() if mixing == "reverse" else lu()), layers)
  if spec.levels is not None:
    f = chain(logit(spec.levels, alpha), f)
  return flow(
    spec, f, conditional=conditional, dtype=jnp.promote_types(dtype, jnp.float32), ema=ema,
    optimizer=optimizer, sample=sample, likelihood=likelihood,
  )  # fmt: skip
