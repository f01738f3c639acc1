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
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array, Program, Spec, Stage, UserError, quantize, unit
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import quantize as vq
from gen_jax.models.autoregressive import Sampler
from gen_jax.models.pixelcnn import build as build_pixelcnn
from gen_jax.models.transformer import build as build_transformer
from gen_jax.nets.vqvae import Decoder, Encoder


@dataclasses.dataclass(frozen=True)
class PixelCNN:
  """A PixelCNN over the codes, and how it learns: see `models.pixelcnn.build`."""

  width: int = 64
  dilations: tuple[int, ...] = (1, 1, 1, 1, 1)
  kernel: int = 3
  first_kernel: int = 5
  head: int = 128
  dropout: float = 0.1
  ema: float = 0.999
  optimizer: Optimizer = Optimizer(learning_rate=1e-3)


@dataclasses.dataclass(frozen=True)
class Transformer:
  """A transformer over the codes, and how it learns: see `models.transformer.build`."""

  width: int = 128
  layers: int = 4
  heads: int = 4
  dropout: float = 0.1
  ema: float = 0.999
  optimizer: Optimizer = Optimizer(learning_rate=1e-3, warmup=100)


def build(
  spec: Spec,
  *,
  factor: int = 4,
  codes: int = 512,
  dim: int = 64,
  width: int = 128,
  blocks: int = 2,
  residual: int = 32,
  codebook: Literal["ema", "loss"] = "ema",
  decay: float = 0.99,
  commitment: float = 0.25,
  start: Literal["kmeans", "data"] = "kmeans",
  restart: float = 0.01,
  variance: float = 0.0,
  conditional: bool = False,
  dtype: Literal["float32", "bfloat16", "float64"] = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=3e-4),  # noqa: B008
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
  check(spec, factor, codes, dim, width, residual, decay, restart, variance, commitment, blocks)
  real = jnp.promote_types(dtype, jnp.float32)
  height, wide, halvings = spec.shape[0] // factor, spec.shape[1] // factor, int(math.log2(factor))
  shared = (halvings, width, blocks, residual, jnp.dtype(dtype))
  encoder, decoder = Encoder(dim, *shared), Decoder(spec.shape[-1], *shared)

  def scaled(x):
    chex.assert_shape(x, (None, *spec.shape))
    return unit(x, spec.levels, real) - 0.5

  def embed(params, x):
    """z [B, h, w, D] of images."""
    return encoder.apply({"params": params["encoder"]}, scaled(x))

  def restore(params, e):
    """Pixels in [-1/2, 1/2] from the vectors of codes [B, h, w, D]."""
    return decoder.apply({"params": params["decoder"]}, e)

  def entries(params, kept):
    """The codebook [K, D]."""
    return kept["codebook"] if codebook == "ema" else params["codebook"] + kept["moved"]

  def init(key, batch):
    e_key, d_key, start_key = jax.random.split(key, 3)
    x = scaled(batch["x"])
    params = {
      "encoder": encoder.init(e_key, x[:1])["params"],
      "decoder": decoder.init(d_key, jnp.zeros((1, height, wide, dim), real))["params"],
    }
    z = embed(params, batch["x"])
    use = vq.at_positions(batch.get("mask"), z[..., 0]).reshape(-1)
    z = z.reshape(-1, dim)
    if start == "kmeans":
      first = vq.kmeans_start(start_key, z, codes, use)
    else:
      first = z[vq.choose(start_key, use.astype(real), codes)]
    kept = {
      "count": jnp.full(codes, use.sum() / codes, real),
      "epoch": jnp.zeros(codes, real),
      "last_epoch": jnp.zeros(codes, real),
      "pixels": {"n": jnp.zeros((), real), "moments": moments(x, batch)[1]},
    }
    if codebook == "ema":
      kept["codebook"] = first
    else:
      params["codebook"], kept["moved"] = first, jnp.zeros_like(first)
    return {"vqvae": params}, {"vqvae": kept}

  def moments(x, batch):
    """The number of examples of a batch, and the means of their pixels and of the squares."""
    use = vq.at_positions(batch.get("mask"), x)
    means = [jnp.mean(v, where=use) for v in (x, x**2)]
    return use[:, 0, 0, 0].sum().astype(real), jnp.stack(means)

  def watched(pixels, x, batch):
    """The moments of all pixels so far."""
    n, seen = moments(x, batch)
    total = pixels["n"] + n
    rate = n / jnp.maximum(total, 1)
    return {"n": total, "moments": pixels["moments"] + rate * (seen - pixels["moments"])}

  def variance_of(kept):
    """The variance of the pixels, or the one that is given."""
    mean, square = kept["pixels"]["moments"]
    return jnp.asarray(variance, real) if variance else jnp.maximum(square - mean**2, 1e-6)

  def loss(params, mutable, batch, key, step):
    del step
    own, kept, x = params["vqvae"], mutable["vqvae"], scaled(batch["x"])
    kept = {**kept, "pixels": watched(kept["pixels"], x, batch)}
    table = entries(own, kept)
    z = embed(own, batch["x"])
    code = vq.nearest(z, table)
    e = table[code]
    error = vq.mean_square(restore(own, vq.straight_through(z, e)) - x)
    committed = vq.commitment_loss(z, e)
    value = error / variance_of(kept) + commitment * committed
    if codebook == "loss":
      value = value + vq.codebook_loss(z, e)
    kept, terms = followed(kept, jax.lax.stop_gradient((table, z)), code, batch, key)
    return value, (kept, {"reconstruction_mse": error, "commitment": committed, **terms})

  def followed(kept, table_and_z, code, batch, key):
    """What is kept of the codebook after a batch, and how it is used."""
    (table, z), mask = table_and_z, batch.get("mask")
    n, total = vq.assigned(z, code, codes, mask)
    moved, count = vq.average(table, kept["count"], n, total, decay)
    moved = moved if codebook == "ema" else table
    even = n.sum() / codes
    dead = count < restart * even
    if restart:
      use = vq.at_positions(mask, code).reshape(-1)
      moved = vq.restart(key, moved, dead, z.reshape(-1, dim), use)
      count = jnp.where(dead, even, count)
    seen, ends = kept["epoch"] + n, batch["last"].any()
    last_epoch = jnp.where(ends, seen, kept["last_epoch"])
    kept = {**kept, "count": count, "epoch": jnp.where(ends, 0, seen), "last_epoch": last_epoch}
    if codebook == "ema":
      kept["codebook"] = moved
    else:
      # What a restart adds to the parameter, which belongs to the optimiser.
      kept["moved"] = kept["moved"] + jnp.where(dead[:, None], moved - table, 0)
    terms = {
      "perplexity": jnp.exp(vq.entropy(n)),
      "codes_used": (n > 0).sum().astype(real),
      "epoch_perplexity": jnp.exp(vq.entropy(last_epoch)),
      "epoch_codes_used": (last_epoch > 0).sum().astype(real),
      "restarted": dead.sum().astype(real),
    }
    return kept, terms

  def table_of(state):
    return entries(state["params"]["vqvae"], state["mutable"]["vqvae"])

  def codes_of(state, x):
    """Codes [B, h, w] of images."""
    return vq.nearest(embed(state["params"]["vqvae"], x), table_of(state))

  def reconstructed(state, code):
    """Pixels in [-1/2, 1/2] from codes [B, h, w]."""
    chex.assert_shape(code, (None, height, wide))
    return restore(state["params"]["vqvae"], table_of(state)[code])

  def alone(state):
    """Each code all over an image [K, H, W, C], in grey levels, the most used first."""
    order = jnp.argsort(-state["mutable"]["vqvae"]["last_epoch"])
    code = jnp.broadcast_to(order[:, None, None], (codes, height, wide))
    return levels_of(reconstructed(state, code), spec.levels)

  def evaluate(state, batch, keys):
    """reconstruction_mse, mse_over_variance, commitment and distinct_codes."""
    del keys
    z = embed(state["params"]["vqvae"], batch["x"])
    code = vq.nearest(z, table_of(state))
    error = vq.mean_square(reconstructed(state, code) - scaled(batch["x"]))
    seen = jax.nn.one_hot(code.reshape(len(code), -1), codes).max(1)
    return {
      "reconstruction_mse": error,
      "mse_over_variance": error / variance_of(state["mutable"]["vqvae"]),
      "commitment": vq.commitment_loss(z, table_of(state)[code]),
      "distinct_codes": seen.sum(-1),
    }

  first = game(
    {"vqvae": Player(minimise("vqvae", loss, optimizer.accumulate), optimizer.make())},
    init,
    evaluate=evaluate,
    encode=lambda state, x, keys=None, cond=None: codes_of(state, x),
    decode=lambda state, code, cond=None: levels_of(reconstructed(state, code), spec.levels),
    pictures=lambda state: {"codebook": alone(state)},
  )

  code_spec = Spec.of((height, wide, 1), codes, spec.classes)
  common = dict(conditional=conditional, dtype=dtype, sample=sample)
  if prior == "pixelcnn":
    chosen = build_pixelcnn(code_spec, embed=True, **common, **vars(pixelcnn))
  else:
    chosen = build_transformer(code_spec, **common, **vars(transformer))
  second = chosen.stages[0].model

  def view(previous, batch, key=None):
    """Images as codes, one grey image [h, w, 1] of K levels each."""
    return {**batch, "x": codes_of(previous[0], batch["x"])[..., None]}

  def evaluate_both(states, batch, keys):
    nll = second.evaluate(states[1], view(states, batch), keys)["nll"]
    terms = first.evaluate(states[0], batch, keys)
    return {**terms, "nats_per_code": nll / (height * wide)}

  def draw_codes(states, keys, cond=None):
    return second.sample(states[1], keys, cond)[..., 0].astype(jnp.int32)

  def draw(states, keys, cond=None):
    x = reconstructed(states[0], draw_codes(states, keys, cond))
    return quantize(2 * x, spec.levels)

  whole = second._replace(
    evaluate=evaluate_both,
    prior=draw_codes,
    decode=lambda states, code, cond=None: first.decode(states[0], code, cond),
    encode=lambda states, x, keys=None, cond=None: codes_of(states[0], x),
    sample=draw,
    log_prob=None,
    pictures=lambda states: first.pictures(states[0]),
  )
  return Program((Stage(first), Stage(second, view=view)), whole)


def levels_of(x: Array, levels: int) -> Array:
  """Pixels in [-1/2, 1/2] in grey levels 0..levels-1, real-valued."""
  return (levels - 1) * jnp.clip(x + 0.5, 0, 1)


def check(spec, factor, codes, dim, width, residual, decay, restart, variance, commitment, blocks):
  """Refuses what the builder cannot serve, in one line."""
  if len(spec.shape) != 3 or spec.levels is None:
    raise UserError(f"vqvae models images with integer grey levels, not data of shape {spec.shape}")
  if factor < 2 or factor & (factor - 1):
    raise UserError(f"model.factor must be a power of 2 from 2 on, not {factor}")
  if any(size % factor for size in spec.shape[:2]):
    raise UserError(
      f"model.factor={factor} must divide the image's height and width,"
      f" {spec.shape[0]}x{spec.shape[1]}: give another, or another data.resolution"
    )
  for name, value in (("dim", dim), ("width", width), ("residual", residual)):
    if value < 1:
      raise UserError(f"model.{name} must be 1 or more, not {value}")
  if codes < 2:
    raise UserError(f"model.codes must be 2 or more, not {codes}")
  for name, value in (("variance", variance), ("commitment", commitment), ("blocks", blocks)):
    if value < 0:
      raise UserError(f"model.{name} must be 0 or more, not {value}")
  if not 0 <= decay < 1:
    raise UserError(f"model.decay must lie between 0 and 1 (1 not included), not {decay}")
  if not 0 <= restart < 1:
    raise UserError(f"model.restart must be a share of even use below 1, not {restart}")
