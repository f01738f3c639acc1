"""Latent diffusion: a diffusion model of an autoencoder's codes (Rombach et al. 2022,
arXiv:2112.10752).

  stage 1    x ~ D(z),  z ~ q(z | x) [h, w, D]: of real numbers, with a small weight of their KL to
             N(0, I) (KL-reg, `models.gaussian`), or the vectors of a VQ-VAE before they are
             quantised, which its decoder then does (VQ-reg, `models.discrete`)
  stage 2    diffusion of (z - mean) / std of the frozen first stage, mean and std of each channel
             in the first batch                       (`models.diffusion`, of real-valued images)
  sample     x = D(mean + std z_0),  z_0 from noise

The second stage is `models.diffusion.build` itself, which takes mean and std out of its data and
puts them back into its samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import (
  Array,
  Model,
  Program,
  PyTree,
  Spec,
  Stage,
  UserError,
  as_integers,
  fold_all,
)
from gen_jax.diffusion.denoise import Kind
from gen_jax.diffusion.path import PATHS
from gen_jax.diffusion.times import TIMES
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import diffusion
from gen_jax.models.denoisers import Convolutional, Transformer
from gen_jax.models.diffusion import Sampler
from gen_jax.models.discrete import FirstStage, autoencoder, first_stage
from gen_jax.models.gaussian import Gaussian
from gen_jax.models.gaussian import Options as KL
from gen_jax.schema import Decay, Dtype, Positive, Share, builder

DRAWS = 2**16  # of z, beside those that the second stage makes of the same keys


class Latents(NamedTuple):
  """An autoencoder as a model of its codes takes it.

  model: that learns it.
  shape: (h, w, D) of z.
  draw: (state, x, keys [B] or None) -> z [B, h, w, D]; without keys there is no chance in it.
  decode: (state, z) -> x in grey levels, real-valued.
  """

  model: Model
  shape: tuple[int, int, int]
  draw: Callable[[PyTree, Array, Array | None], Array]
  decode: Callable[[PyTree, Array], Array]


def kl_latents(spec: Spec, own: KL, dtype: str) -> Latents:
  """Codes of real numbers, each from a Gaussian."""
  book = Gaussian(own.dim, own.weight)
  first = autoencoder(spec, own, book, dtype, "autoencoder")
  shape = (*first.shape, own.dim)

  def draw(state, x, keys):
    z = first.vectors(state, x)
    if keys is None:
      return book.code(z)
    return book.drawn(z, jax.vmap(lambda key: jax.random.normal(key, shape, z.dtype))(keys))

  return Latents(first.model, shape, draw, first.model.decode)


def vq_latents(spec: Spec, own: FirstStage, dtype: str) -> Latents:
  """The vectors of a VQ-VAE, which are quantised when they are decoded.

  Raises:
    UserError: for a discrete VAE.
  """
  if own.codebook == "gumbel":
    raise UserError(
      "model.vq.codebook=gumbel makes logits, each code's own, and no vectors: take ema, loss or"
      " finite"
    )
  first = first_stage(spec, own, dtype)
  dim = len(own.levels) if own.codebook == "finite" else own.dim

  def decode(state, z):
    return first.model.decode(state, first.code(state, z))

  draw = lambda state, x, keys: first.vectors(state, x)
  return Latents(first.model, (*first.shape, dim), draw, decode)


@builder
def build(
  spec: Spec,
  *,
  codes: Literal["kl", "vq"] = "kl",
  kl: KL = KL(),
  vq: FirstStage = FirstStage(codes=512, dim=4, width=64, blocks=1),
  path: Literal[*PATHS] = "linear",
  prediction: Kind = "velocity",
  times: Literal[*TIMES] = "uniform",
  times_mean: float = 0.0,
  times_std: Positive = 1.0,
  conditional: bool = False,
  label_dropout: Share = 0.1,
  network: Literal["unet", "dit"] = "unet",
  unet: Convolutional = Convolutional(),
  dit: Transformer = Transformer(),
  dtype: Dtype = "float32",
  ema: Decay = 0.998,
  optimizer: Optimizer = Optimizer(learning_rate=2e-3, warmup=200, clip=1.0),
  sample: Sampler = Sampler(),
) -> Program:
  """Latent diffusion of images [H, W, C] with integer levels, in two stages.

  `encode` gives z [B, h, w, D], a draw for keys and its mean without; `prior` draws z; `decode`
  gives the image, real-valued, in grey levels; `sample` is decode of prior, `trajectory` that of
  the way from noise. There is no `log_prob`: a diffusion's log p(z) would bound log p(x) with a
  density of x given z, and what is learnt of the decoder is a squared error.

  `evaluate` of the whole gives the first stage's terms: reconstruction_mse (pixels in [0, 1], mean
  over dimensions), mse_over_variance (of the pixels), and kl, in nats a position, or those of
  `models.vqvae`; and denoising_loss, of a z drawn by each example's own key.

  Args:
    spec: of the data.
    codes: whether z is that of an autoencoder with a KL, or of a VQ-VAE.
    kl, vq: its options, of which those of the chosen one count.
    path, prediction, times, times_mean, times_std, conditional, label_dropout, dtype, ema,
      optimizer, sample: of the diffusion, see `models.diffusion.build`; dtype of both stages.
    network, unet, dit: its network.

  Raises:
    UserError: if the data are not images with integer levels that the factor divides, for what
      `models.diffusion` refuses, or a discrete VAE.
  """
  first = kl_latents(spec, kl, dtype) if codes == "kl" else vq_latents(spec, vq, dtype)
  second = diffusion.build(
    Spec.of(first.shape, None, spec.classes),
    path=path, prediction=prediction, times=times, times_mean=times_mean, times_std=times_std,
    conditional=conditional, label_dropout=label_dropout, network_of_images=network, unet=unet,
    dit=dit, dtype=dtype, ema=ema, optimizer=optimizer, sample=sample,
  )  # fmt: skip
  return of_latents(first, second.stages[0].model, spec)


def of_latents(first: Latents, second: Model, spec: Spec) -> Program:
  """The autoencoder, then a model of its z, which it takes as images of real values."""

  def view(previous, batch, key=None):
    """Images as draws of z; without a key as their means."""
    keys = None if key is None else jax.random.split(key, len(batch["x"]))
    return {**batch, "x": first.draw(previous[0], batch["x"], keys)}

  def evaluate(states, batch, keys):
    z = first.draw(states[0], batch["x"], fold_all(keys, DRAWS))
    terms = first.model.evaluate(states[0], batch, keys)
    return {**terms, **second.evaluate(states[1], {**batch, "x": z}, keys)}

  def encode(states, x, keys=None, cond=None):
    del cond
    return first.draw(states[0], x, keys)

  def prior(states, keys, cond=None):
    return second.sample(states[1], keys, cond)

  def decode(states, z, cond=None):
    del cond
    return first.decode(states[0], z)

  def shown(states, z):
    return as_integers(jnp.round(decode(states, z)), spec.levels)

  def sample(states, keys, cond=None):
    return shown(states, prior(states, keys, cond))

  def trajectory(states, keys, cond=None):
    return jax.lax.map(lambda z: shown(states, z), second.trajectory(states[1], keys, cond))

  whole = second._replace(
    evaluate=evaluate, encode=encode, prior=prior, decode=decode, sample=sample,
    trajectory=trajectory, denoise=None,
  )  # fmt: skip
  return Program((Stage(first.model), Stage(second, view=view)), whole)
