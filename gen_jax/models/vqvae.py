"""VQ-VAE and an autoregressive prior over its codes (van den Oord et al. 2017, arXiv:1711.00937).

  stage 1    || x - D(z_q) ||^2 / var(x) + beta || z - sg(e) ||^2,  z = E(x),  e = e_k nearest to z,
             z_q = z + sg(e - z); the codebook by || sg(z) - e ||^2 (eq. 3) or by moving averages of
             the vectors of each code (appendix A.1)
  stage 2    -log p(k | c) of the codes k [h, w] of the frozen first stage, by an autoregressive
             prior: a gated PixelCNN or a causal transformer
  sample     x = D(e_k),  k ~ p(k | c)

Errors and losses are means over positions and dimensions, and pixels run from -1/2 to 1/2, as in
DeepMind Sonnet's example, whose setting the defaults are.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Literal

import chex
import jax
import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import Model, Program, Spec, Stage, UserError, as_integers, unit
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import vq
from gen_jax.models.autoregressive import Sampler
from gen_jax.models.codebook import (
  Codebook,
  Learnt,
  Start,
  first_pixels,
  variance_of,
  with_pixels,
)
from gen_jax.models.common import in_levels, require_images, require_multiples, scaling
from gen_jax.models.pixelcnn import Kernel
from gen_jax.models.pixelcnn import build as build_pixelcnn
from gen_jax.models.transformer import build as build_transformer
from gen_jax.nets.vqvae import Decoder, Encoder
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, builder


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
class FirstStage:
  """The VQ-VAE of a system of several stages; see `build`."""

  factor: Annotated[int, Ge(2)] = 4
  codes: Annotated[int, Ge(2)] = 512
  dim: Count = 64
  width: Count = 128
  blocks: Natural = 2
  residual: Count = 32
  codebook: Learnt = "ema"
  decay: Decay = 0.99
  commitment: NonNegative = 0.25
  start: Start = "kmeans"
  restart: Decay = 0.01
  variance: NonNegative = 0.0
  optimizer: Optimizer = Optimizer(learning_rate=3e-4)


def first_stage(spec: Spec, own: FirstStage, dtype: str) -> tuple[Model, tuple[int, int]]:
  """Its model, and the height and width of its codes.

  Raises:
    UserError: if the data are not images with integer levels that `factor` divides.
  """
  check(spec, own.factor)
  shape = (spec.shape[0] // own.factor, spec.shape[1] // own.factor)
  shared = (int(math.log2(own.factor)), own.width, own.blocks, own.residual, jnp.dtype(dtype))
  model = autoencoder(
    spec, Encoder(own.dim, *shared), Decoder(spec.shape[-1], *shared),
    Codebook(own.codes, own.codebook, own.decay, own.restart), shape, own.dim,
    start=own.start, commitment=own.commitment, variance=own.variance, dtype=dtype,
    optimizer=own.optimizer,
  )  # fmt: skip
  return model, shape


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
  codebook: Learnt = "ema",
  decay: Decay = 0.99,
  commitment: NonNegative = 0.25,
  start: Start = "kmeans",
  restart: Decay = 0.01,
  variance: NonNegative = 0.0,
  conditional: bool = False,
  dtype: Dtype = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=3e-4),
  prior: Literal["pixelcnn", "transformer"] = "pixelcnn",
  pixelcnn: PixelCNN = PixelCNN(),
  transformer: Transformer = Transformer(),
  sample: Sampler = Sampler(),
) -> Program:
  """VQ-VAE of images [H, W, C] with integer levels: codes [H / factor, W / factor] in 0..K-1.

  Two stages: the VQ-VAE, then the prior over its codes. `encode` gives codes [B, h, w]; `prior`
  draws them; `decode` gives the image, real-valued, in grey levels; `sample` is decode of prior.

  `evaluate` of the whole gives reconstruction_mse (pixels in [0, 1], mean over dimensions),
  mse_over_variance (of the pixels), commitment (squared distance of vectors to their codes),
  distinct_codes (in one image) and nats_per_code, -log p(codes | label) / (h w). Training logs how
  the batch uses the codebook (perplexity, codes_used) and how the last whole epoch did
  (epoch_perplexity, epoch_codes_used; 1 and 0 before there is one). `pictures` are the codes as
  the decoder sees them, each all over an image, the most used first.

  Args:
    spec: of the data.
    factor: by which height and width shrink, a power of 2.
    codes, dim: K and D of the codebook.
    width, blocks, residual: of `Encoder` and `Decoder`.
    codebook: learnt by moving averages, or by the codebook loss.
    decay: of the averages, of which those of how often codes are used decide on restarts.
    commitment: beta.
    start: the codebook begins as the k-means of the first batch's vectors, or as any of them.
    restart: a code used less than this share of even use (1 / K of the vectors), on average, is
      set to a vector of the batch; 0 for never.
    variance: of the pixels in [0, 1], the unit of the squared error; 0 for that of the pixels seen
      so far.
    conditional: condition the prior on the label.
    dtype: of the networks' computation.
    optimizer: of stage 1.
    prior: the network of stage 2.
    pixelcnn, transformer: its options, of which those of the chosen one count.
    sample: how codes are drawn.

  Raises:
    UserError: if the data are not images with integer levels that `factor` divides, labels are
      asked for that they lack, or an option is out of range.
  """
  own = FirstStage(
    factor, codes, dim, width, blocks, residual, codebook, decay, commitment, start, restart,
    variance, optimizer,
  )  # fmt: skip
  first, shape = first_stage(spec, own, dtype)
  code_spec = Spec.of((*shape, 1), codes, spec.classes)
  common = dict(conditional=conditional, dtype=dtype, sample=sample)
  if prior == "pixelcnn":
    chosen = build_pixelcnn(code_spec, embed=True, **common, **vars(pixelcnn))
  else:
    chosen = build_transformer(code_spec, **common, **vars(transformer))
  return two_stages(first, chosen.stages[0].model, spec, shape)


def autoencoder(
  spec: Spec, encoder: Encoder, decoder: Decoder, book: Codebook, shape: tuple[int, int], dim: int,
  *, start: Start, commitment: float, variance: float, dtype: str, optimizer: Optimizer,
) -> Model:  # fmt: skip
  """Stage 1: `encode` gives codes [B, h, w], `decode` images of them, (h, w) = shape."""
  real = jnp.promote_types(dtype, jnp.float32)
  scaled = scaling(spec, real, lambda x, levels, dtype: unit(x, levels, dtype) - 0.5)

  def embed(params, x):
    """z [B, h, w, D] of images in [-1/2, 1/2]."""
    return encoder.apply({"params": params["encoder"]}, x)

  def restore(params, e):
    """Pixels in [-1/2, 1/2] from the vectors of codes [B, h, w, D]."""
    return decoder.apply({"params": params["decoder"]}, e)

  def unit_of_error(kept):
    """The variance of the pixels, or the one that is given."""
    return jnp.asarray(variance, real) if variance else variance_of(kept["pixels"])

  def init(key, batch):
    e_key, d_key, start_key = jax.random.split(key, 3)
    x, mask = scaled(batch["x"]), batch.get("mask")
    params = {
      "encoder": encoder.init(e_key, x[:1])["params"],
      "decoder": decoder.init(d_key, jnp.zeros((1, *shape, dim), real))["params"],
    }
    z = embed(params, x)
    use = vq.at_positions(mask, z[..., 0]).reshape(-1)
    own, kept = book.begin(start_key, z.reshape(-1, dim), use, start)
    return {"vqvae": params | own}, {"vqvae": kept | {"pixels": first_pixels(x, mask)}}

  def loss(params, mutable, batch, key, step):
    del step
    own, kept, x = params["vqvae"], mutable["vqvae"], scaled(batch["x"])
    kept = {**kept, "pixels": with_pixels(kept["pixels"], x, batch.get("mask"))}
    table, z = book.table(own, kept), embed(own, x)
    code = vq.nearest(z, table)
    e = table[code]
    error = vq.mean_square(restore(own, vq.straight_through(z, e)) - x)
    committed = vq.commitment_loss(z, e)
    value = error / unit_of_error(kept) + commitment * committed
    if book.learnt == "loss":
      value = value + vq.codebook_loss(z, e)
    kept, terms = book.follow(kept, *jax.lax.stop_gradient((table, z)), code, batch, key)
    return value, (kept, {"reconstruction_mse": error, "commitment": committed, **terms})

  def parts(state):
    """Parameters, what else is kept, and the codebook [K, D]."""
    params, kept = state["params"]["vqvae"], state["mutable"]["vqvae"]
    return params, kept, book.table(params, kept)

  def encode(state, x, keys=None, cond=None):
    del keys, cond
    params, _, table = parts(state)
    return vq.nearest(embed(params, scaled(x)), table)

  def reconstructed(state, code):
    """Pixels in [-1/2, 1/2] from codes [B, h, w]."""
    chex.assert_shape(code, (None, *shape))
    params, _, table = parts(state)
    return restore(params, table[code])

  def decode(state, code, cond=None):
    """Images in grey levels, real-valued."""
    del cond
    return in_levels(reconstructed(state, code) + 0.5, spec)

  def evaluate(state, batch, keys):
    """reconstruction_mse, mse_over_variance, commitment and distinct_codes."""
    del keys
    (params, kept, table), x = parts(state), scaled(batch["x"])
    z = embed(params, x)
    code = vq.nearest(z, table)
    error = vq.mean_square(reconstructed(state, code) - x)
    return {
      "reconstruction_mse": error,
      "mse_over_variance": error / unit_of_error(kept),
      "commitment": vq.commitment_loss(z, table[code]),
      "distinct_codes": jax.nn.one_hot(code.reshape(len(code), -1), book.size).max(1).sum(-1),
    }

  def alone(state):
    """Each code all over an image [K, H, W, C], in grey levels, the most used first."""
    order = jnp.argsort(-state["mutable"]["vqvae"]["last_epoch"])
    return decode(state, jnp.broadcast_to(order[:, None, None], (book.size, *shape)))

  return game(
    {"vqvae": Player(minimise("vqvae", loss, optimizer.accumulate), optimizer.make())},
    init,
    evaluate=evaluate,
    encode=encode,
    decode=decode,
    pictures=lambda state: {"codebook": alone(state)},
  )


def two_stages(first: Model, second: Model, spec: Spec, shape: tuple[int, ...]) -> Program:
  """The autoencoder, then a prior over its codes [h, w] = shape, which it takes as images."""

  def view(previous, batch, key=None):
    """Images as codes, one grey image [h, w, 1] of K levels each."""
    return {**batch, "x": first.encode(previous[0], batch["x"], None, None)[..., None]}

  def evaluate(states, batch, keys):
    nll = second.evaluate(states[1], view(states, batch), keys)["nll"]
    terms = first.evaluate(states[0], batch, keys)
    return {**terms, "nats_per_code": nll / math.prod(shape)}

  def prior(states, keys, cond=None):
    return second.sample(states[1], keys, cond)[..., 0].astype(jnp.int32)

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
    pictures=lambda states: first.pictures(states[0]),
  )
  return Program((Stage(first), Stage(second, view=view)), whole)


def check(spec: Spec, factor: int) -> None:
  """Refuses data that are no images, and a factor that does not fit them."""
  require_images(spec, "vqvae")
  if factor & (factor - 1):
    raise UserError(f"model.factor must be a power of 2, not {factor}")
  require_multiples(spec, factor, f"model.factor={factor} divides both sides")
