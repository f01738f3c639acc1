"""Codes of real numbers, each from a Gaussian: the KL-regularised autoencoder of latent diffusion.

  learn     e = mu + sigma noise,  (mu, log sigma^2) = E(x);  the loss has w KL(N(mu, sigma^2) ||
            N(0, 1)), a mean over positions
  code      mu

Rombach et al. 2022 (arXiv:2112.10752), section 3.1. w is small: the code is to be smooth and of no
runaway scale, and the prior over it is learnt afterwards.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import Array
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.kl import standard_kl
from gen_jax.models.relaxation import of_positions
from gen_jax.models.variational import code
from gen_jax.schema import Count, Natural, NonNegative

LOG_VAR = -30.0, 20.0  # its limits, as in the source


@dataclasses.dataclass(frozen=True)
class Options:
  """An autoencoder with such codes, and how it learns.

  factor: by which height and width shrink, a power of 2.
  dim: D, numbers of a code at each position.
  weight: w, of nats a position beside the squared error in units of the pixels' variance.
  width, blocks, residual, variance: as those of a VQ-VAE, see `models.vqvae.build`.
  """

  factor: Annotated[int, Ge(2)] = 4
  dim: Count = 4
  weight: NonNegative = 3e-3
  width: Count = 64
  blocks: Natural = 1
  residual: Count = 32
  variance: NonNegative = 0.0
  optimizer: Optimizer = Optimizer(learning_rate=2e-3)


class Gaussian(NamedTuple):
  """Codes of dim numbers each, with the functions of a `Codebook`; there are no entries."""

  dim: int
  weight: float

  @property
  def size(self) -> int:
    """0: its codes are no integers."""
    return 0

  @property
  def channels(self) -> int:
    """Numbers that an encoder gives it at each position: mu, then log sigma^2."""
    return 2 * self.dim

  def begin(self, key: Array, z: Array, use: Array) -> tuple[dict, dict]:
    """(own parameters, what is kept): none."""
    del key, z, use
    return {}, {}

  def table(self, params: dict, kept: dict) -> None:
    """There is none."""

  def code(self, z: Array, table: None = None) -> Array:
    """mu [..., D] of z [..., 2 D]."""
    del table
    return self.moments(z)[0]

  def moments(self, z: Array) -> tuple[Array, Array]:
    """mu and log sigma^2 [..., D] of z [..., 2 D]."""
    mean, log_var = jnp.split(z, 2, axis=-1)
    return mean, jnp.clip(log_var, *LOG_VAR)

  def drawn(self, z: Array, noise: Array) -> Array:
    """mu + sigma noise [..., D]."""
    return code(*self.moments(z), noise)

  def learn(
    self, own: dict, kept: dict, z: Array, batch: dict, key: Array, step: Array
  ) -> tuple[Array, Array, dict, dict[str, Array]]:
    """(what the decoder is given, [B, ..., D], the loss [B] besides the error, what is kept,
    metrics), of z [B, ..., 2 D]."""
    del own, batch, step
    e = self.drawn(z, jax.random.normal(key, (*z.shape[:-1], self.dim), z.dtype))
    terms = self.evaluate(z, e)
    return e, self.weight * terms["kl"], kept, terms

  def evaluate(self, z: Array, e: Array) -> dict[str, Array]:
    """kl [B] in nats a position, of z [B, ..., 2 D]."""
    del e
    return {"kl": of_positions(standard_kl(*self.moments(z)))}
