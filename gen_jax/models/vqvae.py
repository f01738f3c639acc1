"""VQ-VAE and a prior over its codes (van den Oord et al. 2017, arXiv:1711.00937).

  stage 1    || x - D(z_q) ||^2 / var(x) + beta || z - sg(e) ||^2,  z = E(x),  e = e_k nearest to z,
             z_q = z + sg(e - z); the codebook by || sg(z) - e ||^2 (eq. 3) or by moving averages of
             the vectors of each code (appendix A.1); or a discrete VAE (`models.relaxation`), or
             codes on a grid that is not learnt (`models.finite`)
  stage 2    -log p(k | c) of the codes k [h, w] of the frozen first stage, by a prior: a gated
             PixelCNN, a causal transformer, or masked diffusion, which has a bound on it
  sample     x = D(e_k),  k ~ p(k | c)

Errors and losses are means over positions and dimensions, and pixels run from -1/2 to 1/2, as in
DeepMind Sonnet's example, whose setting the defaults are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Literal

import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import Model, Program, Spec, Stage, UserError, as_integers
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.autoregressive import Sampler
from gen_jax.models.codebook import Start
from gen_jax.models.discrete import FirstStage, Learning, first_stage
from gen_jax.models.finite import Levels
from gen_jax.models.masked import Decoding, Likelihood
from gen_jax.models.masked import Sampler as MaskedSampler
from gen_jax.models.masked import build as build_masked
from gen_jax.models.pixelcnn import Kernel
from gen_jax.models.pixelcnn import build as build_pixelcnn
from gen_jax.models.relaxation import Gumbel
from gen_jax.models.transformer import build as build_transformer
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, Share, builder


@dataclasses.dataclass(frozen=True)
class PixelCNN:
  """A PixelCNN over the codes, and how it learns: see `models.pixelcnn.build`."""

  width: Count = 64
  dilations: tuple[Count, ...] = (1, 1, 1, 1, 1)
  kernel: Kernel = 3
  first_kernel: Kernel = 5
  head: Count = 128
  dropout: Decay = 0.1
  ema: Decay = 0.999
  optimizer: Optimizer = Optimizer(learning_rate=1e-3)


@dataclasses.dataclass(frozen=True)
class Transformer:
  """A transformer over the codes, and how it learns: see `models.transformer.build`."""

  width: Count = 128
  layers: Count = 4
  heads: Count = 4
  dropout: Decay = 0.1
  ema: Decay = 0.999
  optimizer: Optimizer = Optimizer(learning_rate=1e-3, warmup=100)


@dataclasses.dataclass(frozen=True)
class Masked(Transformer):
  """Masked diffusion of the codes, and how it learns: see `models.masked.build`."""

  condition_dropout: Share = 0.0


@builder
def build(
  spec: Spec,
  *,
  factor: Annotated[int, Ge(2)] = 4,
  codes: Annotated[int, Ge(2)] = 512,
  dim: Count = 64,
  width: Count = 128,
  blocks: Natural = 2,
  residual: Count = 32,
  codebook: Learning = "ema",
  decay: Decay = 0.99,
  commitment: NonNegative = 0.25,
  start: Start = "kmeans",
  restart: Decay = 0.01,
  variance: NonNegative = 0.0,
  gumbel: Gumbel = Gumbel(),
  levels: Levels = (8, 8, 8),
  conditional: bool = False,
  dtype: Dtype = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=3e-4),
  prior: Literal["pixelcnn", "transformer", "masked"] = "pixelcnn",
  pixelcnn: PixelCNN = PixelCNN(),
  transformer: Transformer = Transformer(),
  masked: Masked = Masked(),
  sample: Decoding = Decoding(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """VQ-VAE of images [H, W, C] with integer levels: codes [H / factor, W / factor] in 0..K-1.

  Two stages: the VQ-VAE, then the prior over its codes. `encode` gives codes [B, h, w]; `prior`
  draws them; `decode` gives the image, real-valued, in grey levels; `sample` is decode of prior.

  `evaluate` of the whole gives reconstruction_mse (pixels in [0, 1], mean over dimensions),
  mse_over_variance (of the pixels), commitment (squared distance of vectors to their codes),
  distinct_codes (in one image) and nats_per_code, -log p(codes | label) / (h w), of masked
  diffusion a bound from above. Training logs how the batch uses the codebook (perplexity,
  codes_used) and how the last whole epoch did (epoch_perplexity, epoch_codes_used; 1 and 0 before
  there is one). `pictures` are the codes as the decoder sees them, each all over an image, the most
  used first.

  Args:
    spec: of the data.
    factor: by which height and width shrink, a power of 2.
    codes, dim: K and D of the codebook.
    width, blocks, residual: of `Encoder` and `Decoder`.
    codebook: learnt by moving averages, or by the codebook loss; or gumbel for a discrete VAE, of
      which dim, factor, the networks, variance and `gumbel` count (see `models.relaxation`); or
      finite for a grid of `levels`, of which factor, the networks and variance count (see
      `models.finite`).
    decay: of the averages, of which those of how often codes are used decide on restarts.
    commitment: beta.
    start: the codebook begins as the k-means of the first batch's vectors, or as any of them.
    restart: a code used less than this share of even use (1 / K of the vectors), on average, is
      set to a vector of the batch; 0 for never.
    variance: of the pixels in [0, 1], the unit of the squared error; 0 for that of the pixels seen
      so far.
    gumbel: see there.
    levels: steps of each of the D numbers of a finite codebook, whose K is their product.
    conditional: condition the prior on the label.
    dtype: of the networks' computation.
    optimizer: of stage 1.
    prior: the network of stage 2.
    pixelcnn, transformer, masked: its options, of which those of the chosen one count.
    sample: how codes are drawn; of an autoregressive prior by temperature and top_k alone.
    likelihood: of masked diffusion.

  Raises:
    UserError: if the data are not images with integer levels that `factor` divides, labels are
      asked for that they lack, or an option is out of range.
  """
  own = FirstStage(
    factor, codes, dim, width, blocks, residual, codebook, decay, commitment, start, restart,
    variance, gumbel, levels, optimizer,
  )  # fmt: skip
  first, shape, *_ = first_stage(spec, own, dtype)
  code_spec = Spec.of((*shape, 1), own.size, spec.classes)
  common = dict(conditional=conditional, dtype=dtype)
  if prior == "masked":
    common |= dict(sample=MaskedSampler(**vars(sample)), likelihood=likelihood)
    chosen = build_masked(code_spec, **common, **vars(masked))
  elif prior == "pixelcnn":
    common |= dict(sample=in_order(sample, likelihood, prior))
    chosen = build_pixelcnn(code_spec, embed=True, **common, **vars(pixelcnn))
  else:
    common |= dict(sample=in_order(sample, likelihood, prior))
    chosen = build_transformer(code_spec, **common, **vars(transformer))
  return two_stages(first, chosen.stages[0].model, spec, shape)


def two_stages(
  first: Model, second: Model, spec: Spec, shape: tuple[int, ...], *, given: int = 0,
  of_cond: Callable = lambda states, cond: cond,
) -> Program:  # fmt: skip
  """The autoencoder, then a prior over its codes [h, w] = shape, which it takes as images.

  given: how many of the codes the prior is given.
  of_cond: (states, cond) -> cond as the prior takes it.
  """

  def view(previous, batch, key=None):
    """Images as codes, one grey image [h, w, 1] of K levels each."""
    return {**batch, "x": first.encode(previous[0], batch["x"], None, None)[..., None]}

  def evaluate(states, batch, keys):
    nll = second.evaluate(states[1], view(states, batch), keys)["nll"]
    terms = first.evaluate(states[0], batch, keys)
    return {**terms, "nats_per_code": nll / (math.prod(shape) - given)}

  def prior(states, keys, cond=None):
    return second.sample(states[1], keys, of_cond(states, cond))[..., 0].astype(jnp.int32)

  def decode(states, code, cond=None):
    return first.decode(states[0], code, cond)

  def sample(states, keys, cond=None):
    return as_integers(jnp.round(decode(states, prior(states, keys, cond))), spec.levels)

  whole = second._replace(
    evaluate=evaluate,
    prior=prior,
    decode=decode,
    encode=lambda states, x, keys=None, cond=None: first.encode(states[0], x, keys, cond),
    sample=sample,
    log_prob=None,
    trajectory=None,
    observe=None,
    transform=None,
    pictures=lambda states: first.pictures(states[0]),
  )
  return Program((Stage(first), Stage(second, view=view)), whole)


def in_order(sample: Decoding, likelihood: Likelihood, prior: str) -> Sampler:
  """The options of a sampler that draws codes in their order; refuses the others."""
  own = [field.name for field in dataclasses.fields(Sampler)]
  given = {f"sample.{k}": (v, getattr(Decoding(), k)) for k, v in vars(sample).items()}
  given["likelihood.counts"] = (likelihood.counts, 0)
  for name, (value, default) in given.items():
    if value != default and name.removeprefix("sample.") not in own:
      raise UserError(f"{name}={value} is of model.prior=masked, and this is {prior}")
  return Sampler(**{name: getattr(sample, name) for name in own})
