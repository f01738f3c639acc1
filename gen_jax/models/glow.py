"""Glow: density estimation of images with invertible 1x1 convolutions (Kingma & Dhariwal 2018,
arXiv:1807.03039).

A scale is a squeeze, steps of flow, and half of the channels factored out (section 3, figure 2):

  step    ActNorm, 1x1 convolution y = W x in LU form, affine coupling of the channels' halves
  split   z_2 ~ N(mu(z_1), sigma(z_1)^2), mu and sigma from a convolution that begins at zero

The split's density is one more affine coupling: (z_2 - mu) / sigma is normal. So the whole of z is,
and `sample.temperature` scales the noise of every scale (section 5). Density, bounds and samples
are those of `models.flow`; grey levels go through a logit, where the source divides by 256.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

import jax.numpy as jnp
from annotated_types import Interval

from gen_jax.core import Program, Spec, UserError
from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.bijection import Bijection, chain, flatten, split, squeeze
from gen_jax.flows.coupling import channels, coupling
from gen_jax.flows.dequantize import logit
from gen_jax.flows.elementwise import additive, affine, gated
from gen_jax.flows.linear import lu
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.common import require_multiples
from gen_jax.models.flow import Likelihood, Sampler, flow
from gen_jax.nets.glow import GlowNet, ZeroConv
from gen_jax.nets.mlp import Activation, activation_of
from gen_jax.schema import Count, Decay, Dtype, Natural, builder

MAPS = {"affine": affine, "gated": gated, "additive": additive}


def multiscale(
  shape: tuple[int, ...], step: Callable, prior: Callable, steps: int, scales: int
) -> Bijection:
  """[B, H, W, C] -> [B, D].

  Args:
    shape: H, W, C.
    step: number of channels -> a step of flow.
    prior: number of channels -> what is between the last step and the split.
    steps: K, at each scale.
    scales: L.
  """
  h, w, c = shape[0] // 2, shape[1] // 2, 4 * shape[2]
  here = [squeeze(), *(step(c) for _ in range(steps))]
  if scales == 1:
    return chain(*here, actnorm(), flatten((h, w, c)))
  rest = multiscale((h, w, c // 2), step, prior, steps, scales - 1)
  return chain(*here, prior(c), split(rest, (h, w, c)))


@builder
def build(
  spec: Spec,
  *,
  steps: Natural = 6,
  scales: Count = 2,
  width: Count = 64,
  map: Literal[tuple(MAPS)] = "affine",
  activation: Activation = "relu",
  alpha: Annotated[float, Interval(gt=0, lt=0.5)] = 0.05,
  conditional: bool = False,
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """Glow of images [H, W, C], real-valued or with integer levels.

  Args:
    spec: of the data.
    steps: K, steps of flow at each scale.
    scales: L, each of which halves height and width.
    width, activation: of the hidden layers of each coupling's net.
    map: of the couplings: affine with a scale exp(s) as RealNVP's, the source's sigmoid (gated), or
      none (additive).
    alpha: of the logit that integers go through.
    conditional: condition on the label.
    dtype: of the nets' computation; the flow itself is float32 or wider.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are no images, H or W cannot be halved often enough, labels are asked for
      that the data lack, or an option is out of range.
  """
  if len(spec.shape) != 3:
    raise UserError(f"glow models images, not shape {spec.shape}")
  require_multiples(spec, 2**scales, f"model.scales={scales} halve the image {scales} times")
  kind = jnp.dtype(dtype)

  def step(features):
    of_entry, halves = MAPS[map], channels((features,))
    net = GlowNet(of_entry.size * features // 2, width, activation_of(activation), kind)
    return chain(actnorm(), lu(), coupling(halves, net, of_entry, compact=True))

  def prior(features):
    net = ZeroConv(affine.size * features // 2, kind)
    return coupling(channels((features,)), net, affine, compact=True)

  f = multiscale(spec.shape, step, prior, steps, scales)
  if spec.levels is not None:
    f = chain(logit(spec.levels, alpha), f)
  return flow(
    spec, f, conditional=conditional, dtype=jnp.promote_types(dtype, jnp.float32), ema=ema,
    optimizer=optimizer, sample=sample, likelihood=likelihood,
  )  # fmt: skip
