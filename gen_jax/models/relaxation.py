"""The relaxed codebook of a discrete VAE (Ramesh et al. 2021, arXiv:2102.12092, section 2.1).

  learn     e = s C,  s = softmax((l + g) / tau),  l = E(x) the logits of the codes, C the entries;
            the loss has beta KL(softmax(l) || uniform), a mean over positions
  code      k = argmax_k l_k, of which every figure but those of training is

tau falls, and beta rises, by half a cosine. Unlike the source's, the error is a squared one (theirs
is of logit-Laplace distributions).
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.losses import gumbel, vq
from gen_jax.models.codebook import counted, use_of
from gen_jax.nets.dense import product
from gen_jax.schema import Count, NonNegative, Positive


@dataclasses.dataclass(frozen=True)
class Gumbel:
  """How the relaxation goes.

  first, last: tau at the beginning, and after `steps` steps.
  kl: beta after `kl_steps` steps, of which it is 0 at the first. The source's weight, 6.6 in units
    of its sums, is 6.6 / 192 in these; others found smaller ones to work, or none.
  """

  first: Positive = 1.0
  last: Positive = 1 / 16
  steps: Count = 150_000
  kl: NonNegative = 5e-4
  kl_steps: Count = 5000


class Relaxed(NamedTuple):
  """K = size entries of dim numbers, mixed by logits; with the functions of a `Codebook`.

  `epoch` and `last_epoch` [K] are kept, as by that.
  """

  size: int
  dim: int
  how: Gumbel

  @property
  def channels(self) -> int:
    """Numbers that an encoder gives it at each position."""
    return self.size

  def begin(self, key: Array, z: Array, use: Array) -> tuple[dict, dict]:
    """(own parameters, what is kept), whatever the logits z [N, K] are."""
    del use
    zeros = jnp.zeros(self.size, z.dtype)
    first = jax.random.normal(key, (self.size, self.dim), z.dtype)
    return {"codebook": first}, {"epoch": zeros, "last_epoch": zeros}

  def table(self, params: dict, kept: dict) -> Array:
    """The entries [K, D]."""
    del kept
    return params["codebook"]

  def code(self, z: Array, table: Array) -> Array:
    """The likeliest of logits z [..., K], [...] int32."""
    del table
    return z.argmax(-1).astype(jnp.int32)

  def learn(
    self, own: dict, kept: dict, z: Array, batch: dict, key: Array, step: Array
  ) -> tuple[Array, Array, dict, dict[str, Array]]:
    """(what the decoder is given, [B, ..., D], the loss [B] besides the error, what is kept after
    the batch, metrics), of logits z [B, ..., K]."""
    how, code = self.how, self.code(z, own["codebook"])
    tau = gumbel.cosine(step, how.first, how.last, how.steps).astype(z.dtype)
    s = gumbel.relaxed(z, jax.random.gumbel(key, z.shape, z.dtype), tau)
    kl = of_positions(gumbel.uniform_kl(z))
    beta = gumbel.cosine(step, 0.0, how.kl, how.kl_steps).astype(z.dtype)
    ones = jnp.ones((*code.shape, 1), z.dtype)
    n, _ = vq.assigned(ones, code, self.size, batch.get("mask"))
    kept = {**kept, **counted(kept, n, batch)}
    terms = {"kl": kl, "temperature": tau, **use_of(n, kept["last_epoch"])}
    return product(s, own["codebook"]), beta * kl, kept, terms

  def evaluate(self, z: Array, e: Array) -> dict[str, Array]:
    """kl [B] in nats a position, of logits [B, ..., K]."""
    del e
    return {"kl": of_positions(gumbel.uniform_kl(z))}


def of_positions(value: Array) -> Array:
  """The mean over positions [B, ...] -> [B]."""
  return value.reshape(len(value), -1).mean(1)
