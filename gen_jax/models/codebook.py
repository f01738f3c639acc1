"""The codebook of a VQ-VAE while it is learnt, and the pixels it has seen.

What is kept beside the parameters is a dict:

  count       [K]     how many vectors of a batch have each code, a moving average
  epoch       [K]     how often each code was used in the epoch so far
  last_epoch  [K]     and in the last whole one
  pixels              the number of images and the moments of their pixels, see `moments`
  codebook    [K, D]  where the entries are moving averages of their vectors; or
  moved       [K, D]  what restarts add to entries that are parameters of the loss
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.losses import vq
from gen_jax.models import kmeans

Start = Literal["kmeans", "data"]
Learnt = Literal["ema", "loss"]


class Codebook(NamedTuple):
  """K = size entries of dim numbers, of which a vector has the nearest.

  learnt: ema, by moving averages of the vectors of each code, or loss, by the codebook loss.
  decay: of the averages, of which `count` decides on restarts.
  restart: an entry used less than this share of even use is set to a vector of the batch.
  commitment: weight of the distance of vectors to their entries.
  start: how the entries begin.
  """

  size: int
  dim: int
  learnt: Learnt
  decay: float
  restart: float
  commitment: float
  start: Start

  @property
  def channels(self) -> int:
    """Numbers that an encoder gives it at each position."""
    return self.dim

  def begin(self, key: Array, z: Array, use: Array) -> tuple[dict, dict]:
    """(own parameters, what is kept), from the vectors z [N, D] with use [N] True."""
    weight = use.astype(z.dtype)
    if self.start == "kmeans":
      first = kmeans.start(key, z, self.size, weight, iterations=10, tries=1)
    else:
      first = z[vq.choose(key, weight, self.size)]
    zeros = jnp.zeros(self.size, z.dtype)
    kept = {"count": zeros + use.sum() / self.size, "epoch": zeros, "last_epoch": zeros}
    if self.learnt == "ema":
      return {}, {**kept, "codebook": first}
    return {"codebook": first}, {**kept, "moved": jnp.zeros_like(first)}

  def table(self, params: dict, kept: dict) -> Array:
    """The entries [K, D]."""
    if self.learnt == "ema":
      return kept["codebook"]
    return params["codebook"] + kept["moved"]

  def code(self, z: Array, table: Array) -> Array:
    """Of vectors z [..., D], [...] int32."""
    return vq.nearest(z, table)

  def learn(
    self, own: dict, kept: dict, z: Array, batch: dict, key: Array, step: Array
  ) -> tuple[Array, Array, dict, dict[str, Array]]:
    """(what the decoder is given, [B, ..., D], the loss [B] besides the error, what is kept after
    the batch, metrics), of vectors z [B, ..., D]."""
    del step
    table = self.table(own, kept)
    code = vq.nearest(z, table)
    e = table[code]
    committed = vq.commitment_loss(z, e)
    price = self.commitment * committed
    if self.learnt == "loss":
      price = price + vq.codebook_loss(z, e)
    kept, terms = self.follow(kept, *jax.lax.stop_gradient((table, z)), code, batch, key)
    return vq.straight_through(z, e), price, kept, {"commitment": committed, **terms}

  def evaluate(self, z: Array, e: Array) -> dict[str, Array]:
    """commitment [B], of vectors and their entries [B, ..., D]."""
    return {"commitment": vq.commitment_loss(z, e)}

  def follow(
    self, kept: dict, table: Array, z: Array, code: Array, batch: dict, key: Array
  ) -> tuple[dict, dict[str, Array]]:
    """(what is kept after a batch, how the batch and the last epoch use the codes).

    Args:
      kept: before the batch.
      table: the entries [K, D].
      z: vectors [B, ..., D] of the batch.
      code: of each, [B, ...].
      batch: its `mask`, if it has one, and its `last`.
      key: of restarts.
    """
    mask = batch.get("mask")
    n, total = vq.assigned(z, code, self.size, mask)
    moved, count = vq.average(table, kept["count"], n, total, self.decay)
    moved = moved if self.learnt == "ema" else table
    even = n.sum() / self.size
    dead = count < self.restart * even
    if self.restart:
      use = vq.at_positions(mask, code).reshape(-1)
      moved = vq.restart(key, moved, dead, z.reshape(-1, z.shape[-1]), use)
      count = jnp.where(dead, even, count)
    kept = {**kept, "count": count, **counted(kept, n, batch)}
    if self.learnt == "ema":
      kept["codebook"] = moved
    else:
      kept["moved"] = kept["moved"] + jnp.where(dead[:, None], moved - table, 0)
    return kept, use_of(n, kept["last_epoch"]) | {"restarted": dead.sum().astype(z.dtype)}


def counted(kept: dict, n: Array, batch: dict) -> dict[str, Array]:
  """`epoch` and `last_epoch` after a batch in which codes were used n [K] times."""
  seen, ends = kept["epoch"] + n, batch["last"].any()
  last_epoch = jnp.where(ends, seen, kept["last_epoch"])
  return {"epoch": jnp.where(ends, 0, seen), "last_epoch": last_epoch}


def use_of(n: Array, last_epoch: Array) -> dict[str, Array]:
  """Perplexity and number of the codes used, n [K] in a batch and last_epoch [K] in an epoch."""
  return {
    "perplexity": jnp.exp(vq.entropy(n)),
    "codes_used": (n > 0).sum().astype(n.dtype),
    "epoch_perplexity": jnp.exp(vq.entropy(last_epoch)),
    "epoch_codes_used": (last_epoch > 0).sum().astype(n.dtype),
  }


def moments(x: Array, mask: Array | None) -> tuple[Array, Array]:
  """The number of images x [B, H, W, C] with mask [B] True, and the means of x and of x^2, [2]."""
  use = vq.at_positions(mask, x)
  means = [jnp.mean(v, where=use) for v in (x, x**2)]
  return use[:, 0, 0, 0].sum().astype(x.dtype), jnp.stack(means)


def first_pixels(x: Array, mask: Array | None) -> dict[str, Array]:
  """Moments of pixels to begin with: a batch's, which count for nothing once others are added."""
  return {"n": jnp.zeros((), x.dtype), "moments": moments(x, mask)[1]}


def with_pixels(pixels: dict[str, Array], x: Array, mask: Array | None) -> dict[str, Array]:
  """The moments of all pixels so far and of the images x."""
  n, seen = moments(x, mask)
  total = pixels["n"] + n
  rate = n / jnp.maximum(total, 1)
  return {"n": total, "moments": pixels["moments"] + rate * (seen - pixels["moments"])}


def variance_of(pixels: dict[str, Array]) -> Array:
  """The variance of the pixels so far; 1e-6 where they are all the same."""
  mean, square = pixels["moments"]
  return jnp.maximum(square - mean**2, 1e-6)
