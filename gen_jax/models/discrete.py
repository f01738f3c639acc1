"""Autoencoders of images whose code is a grid: the first stage of systems with a prior over these.

  loss    || x - D(e) ||^2 / var(x) + what the codebook asks,  e what it makes of z = E(x)
  code    k [h, w] of z, by which x is restored as D(e_k)

Errors are means over dimensions, and pixels run from -1/2 to 1/2. A codebook is a `Codebook`, of a
VQ-VAE, a `Relaxed` one, of a discrete VAE, a `Finite` one, of which nothing is learnt, or none: a
`Gaussian` has codes of real numbers, which are their own entries.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import Array, Model, PyTree, Spec, UserError, unit
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import vq
from gen_jax.models.codebook import (
  Codebook,
  Learnt,
  Start,
  first_pixels,
  variance_of,
  with_pixels,
)
from gen_jax.models.common import in_levels, require_images, require_multiples, scaling
from gen_jax.models.finite import Finite, Levels
from gen_jax.models.gaussian import Gaussian, Options
from gen_jax.models.relaxation import Gumbel, Relaxed
from gen_jax.nets.vqvae import Decoder, Encoder
from gen_jax.schema import Count, Decay, Natural, NonNegative

Learning = Literal[Learnt, "gumbel", "finite"]
Book = Codebook | Relaxed | Finite | Gaussian


@dataclasses.dataclass(frozen=True)
class FirstStage:
  """The autoencoder of a system of several stages; see `models.vqvae.build`."""

  factor: Annotated[int, Ge(2)] = 4
  codes: Annotated[int, Ge(2)] = 512
  dim: Count = 64
  width: Count = 128
  blocks: Natural = 2
  residual: Count = 32
  codebook: Learning = "ema"
  decay: Decay = 0.99
  commitment: NonNegative = 0.25
  start: Start = "kmeans"
  restart: Decay = 0.01
  variance: NonNegative = 0.0
  gumbel: Gumbel = Gumbel()
  levels: Levels = (8, 8, 8)
  optimizer: Optimizer = Optimizer(learning_rate=3e-4)

  @property
  def size(self) -> int:
    """K."""
    return math.prod(self.levels) if self.codebook == "finite" else self.codes

  @property
  def grid(self) -> tuple[int, ...]:
    """L_1, ..., L_D of a finite codebook, of which the codes are points; () of others."""
    return self.levels if self.codebook == "finite" else ()


class Autoencoder(NamedTuple):
  """A first stage, and what lies between its encoder and its decoder.

  shape: height and width of the codes.
  vectors: (state, x) -> what its codebook takes, [B, h, w, channels].
  code: (state, these) -> codes [B, h, w], or [B, h, w, D] of a `Gaussian`, as `model.decode` takes
    them.
  """

  model: Model
  shape: tuple[int, int]
  vectors: Callable[[PyTree, Array], Array]
  code: Callable[[PyTree, Array], Array]


def first_stage(spec: Spec, own: FirstStage, dtype: str) -> Autoencoder:
  """The autoencoder with discrete codes of these options.

  Raises:
    UserError: if the data are not images with integer levels that `factor` divides.
  """
  if own.codebook == "gumbel":
    book: Book = Relaxed(own.codes, own.dim, own.gumbel)
  elif own.codebook == "finite":
    book = Finite(own.levels)
  else:
    book = Codebook(
      own.codes, own.dim, own.codebook, own.decay, own.restart, own.commitment, own.start
    )
  return autoencoder(spec, own, book, dtype)


def autoencoder(
  spec: Spec, own: FirstStage | Options, book: Book, dtype: str, name: str = "vqvae"
) -> Autoencoder:
  """Stage 1: `encode` gives codes [B, h, w] of the book, `decode` images of them.

  Args:
    spec: of the data.
    own: of which the networks, the variance and the optimiser count here.
    book: see there.
    dtype: of the networks' computation.
    name: of the player.

  Raises:
    UserError: see `check`.
  """
  check(spec, own.factor, name)
  shape = (spec.shape[0] // own.factor, spec.shape[1] // own.factor)
  shared = (int(math.log2(own.factor)), own.width, own.blocks, own.residual, jnp.dtype(dtype))
  encoder, decoder = Encoder(book.channels, *shared), Decoder(spec.shape[-1], *shared)
  entries = (lambda code, table: table[code]) if book.size else lambda code, table: code
  variance, optimizer = own.variance, own.optimizer
  real = jnp.promote_types(dtype, jnp.float32)
  scaled = scaling(spec, real, lambda x, levels, dtype: unit(x, levels, dtype) - 0.5)

  def embed(params, x):
    """What the codebook takes, [B, h, w, channels], of images in [-1/2, 1/2]."""
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
    # From the mean colour on: a background is no error that drowns what stands before it.
    mean = x.mean((0, 1, 2), where=vq.at_positions(mask, x))
    at_mean = decoder.clone(start=lambda key, shape, dtype: jnp.tile(mean, 4).astype(dtype))
    params = {
      "encoder": encoder.init(e_key, x[:1])["params"],
      "decoder": at_mean.init(d_key, jnp.zeros((1, *shape, book.dim), real))["params"],
    }
    z = embed(params, x)
    use = vq.at_positions(mask, z[..., 0]).reshape(-1)
    more, kept = book.begin(start_key, z.reshape(-1, z.shape[-1]), use)
    return {name: params | more}, {name: kept | {"pixels": first_pixels(x, mask)}}

  def loss(params, mutable, batch, key, step):
    p, kept, x = params[name], mutable[name], scaled(batch["x"])
    kept = {**kept, "pixels": with_pixels(kept["pixels"], x, batch.get("mask"))}
    e, price, kept, terms = book.learn(p, kept, embed(p, x), batch, key, step)
    error = vq.mean_square(restore(p, e) - x)
    value = error / unit_of_error(kept) + price
    return value, (kept, {"reconstruction_mse": error, **terms})

  def parts(state):
    """Parameters, what else is kept, and the codebook [K, D], if there is one."""
    params, kept = state["params"][name], state["mutable"][name]
    return params, kept, book.table(params, kept)

  def vectors(state, x):
    return embed(parts(state)[0], scaled(x))

  def code_of(state, z):
    return book.code(z, parts(state)[2])

  def encode(state, x, keys=None, cond=None):
    del keys, cond
    return code_of(state, vectors(state, x))

  def reconstructed(state, code):
    """Pixels in [-1/2, 1/2] from codes [B, h, w], or [B, h, w, D] of real numbers."""
    chex.assert_shape(code, (None, *shape) if book.size else (None, *shape, book.dim))
    params, _, table = parts(state)
    return restore(params, entries(code, table))

  def decode(state, code, cond=None):
    """Images in grey levels, real-valued."""
    del cond
    return in_levels(reconstructed(state, code) + 0.5, spec)

  def evaluate(state, batch, keys):
    """reconstruction_mse, mse_over_variance, what the codebook has to tell, and of discrete codes
    distinct_codes."""
    del keys
    (params, kept, table), x = parts(state), scaled(batch["x"])
    z = embed(params, x)
    code = book.code(z, table)
    error = vq.mean_square(reconstructed(state, code) - x)
    terms = {
      "reconstruction_mse": error,
      "mse_over_variance": error / unit_of_error(kept),
      **book.evaluate(z, entries(code, table)),
    }
    if book.size:
      each = jax.nn.one_hot(code.reshape(len(code), -1), book.size)
      terms["distinct_codes"] = each.max(1).sum(-1)
    return terms

  def alone(state):
    """Each code all over an image [K, H, W, C], in grey levels, the most used first."""
    order = jnp.argsort(-state["mutable"][name]["last_epoch"])
    return decode(state, jnp.broadcast_to(order[:, None, None], (book.size, *shape)))

  model = game(
    {name: Player(minimise(name, loss, optimizer.accumulate), optimizer.make())},
    init,
    evaluate=evaluate,
    encode=encode,
    decode=decode,
    pictures=(lambda state: {"codebook": alone(state)}) if book.size else None,
  )
  return Autoencoder(model, shape, vectors, code_of)


def check(spec: Spec, factor: int, who: str) -> None:
  """Refuses data that are no images, and a factor that does not fit them."""
  require_images(spec, who)
  if factor & (factor - 1):
    raise UserError(f"the autoencoder's factor must be a power of 2, not {factor}")
  require_multiples(spec, factor, f"the autoencoder's factor={factor} divides both sides")
