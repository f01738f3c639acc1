"""k-means: Lloyd's algorithm from k-means++ seeds.

inertia    sum_i min_k |x_i - c_k|^2
assign     k(i) = argmin_k |x_i - c_k|^2
move       c_k <- mean of the x_i with k(i) = k                (Lloyd 1982, section II)
seed       the next centre is x_i with probability proportional to its squared distance to the
           nearest so far; the best of a few draws is kept     (Arthur & Vassilvitskii 2007, 2.2)
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array, Program, Spec, single
from gen_jax.learn.em import em
from gen_jax.models.euclidean import space
from gen_jax.schema import Count, Natural, Wide, builder

matmul = functools.partial(jnp.matmul, precision="highest")


def nearest(x: Array, centres: Array) -> Array:
  """index [B] of the centre [K, D] nearest to each x [B, D]."""
  middle = centres.mean(0)  # an offset would cost digits
  x, centres = x - middle, centres - middle
  return ((centres**2).sum(1) - 2 * matmul(x, centres.T)).argmin(1)


def seed(key: Array, x: Array, k: int, weight: Array, tries: int = 0) -> Array:
  """Greedy k-means++: k of the points x [B, D] as centres [k, D].

  A point is drawn with a probability proportional to weight [B] times its squared distance to the
  nearest centre; of `tries` draws the one that leaves the least inertia is kept: 0 for the usual
  2 + floor(log k), 1 for k-means++ that is not greedy.
  """
  tries = tries or 2 + int(math.log(k))
  distances = lambda centre: ((x - centre) ** 2).sum(-1)
  first = x[jax.random.categorical(jax.random.fold_in(key, 0), jnp.log(weight))]
  centres = jnp.zeros((k, x.shape[1]), x.dtype).at[0].set(first)

  def add(i, carry):
    centres, least = carry
    logits = jnp.log(weight * least)
    drawn = jax.random.categorical(jax.random.fold_in(key, i), logits, shape=(tries,))
    lower = jnp.minimum(least, jax.vmap(distances)(x[drawn]))
    best = (lower * weight).sum(1).argmin()
    return centres.at[i].set(x[drawn[best]]), lower[best]

  return lax.fori_loop(1, k, add, (centres, distances(first)))[0]


def moments(x: Array, centres: Array, weight: Array) -> dict[str, Array]:
  """count [K] and sum [K, D] of x - c_k, over the points x [B, D] nearest to each c_k."""
  index = nearest(x, centres)
  member = weight[:, None] * jax.nn.one_hot(index, len(centres), dtype=x.dtype)
  return {"count": member.sum(0), "sum": matmul(member.T, x - centres[index])}


def move(centres: Array, sums: dict[str, Array]) -> Array:
  """Each centre [K, D] to the mean of its points; one without points stays."""
  return centres + sums["sum"] / jnp.maximum(sums["count"], 1)[:, None]


def start(key: Array, x: Array, k: int, weight: Array, iterations: int, tries: int = 0) -> Array:
  """Centres [k, D] of the points x [B, D]: k-means++ seeds, then Lloyd's iterations on them."""
  step = lambda _, centres: move(centres, moments(x, centres, weight))
  return lax.fori_loop(0, iterations, step, seed(key, x, k, weight, tries))


@builder
def build(
  spec: Spec,
  *,
  clusters: Count = 10,
  warmup: Natural = 0,
  dtype: Wide = "float32",
) -> Program:
  """k-means of any examples, flattened to D dimensions.

  `encode` gives the nearest centre as one-hot [B, K], `decode` that centre. `evaluate` gives the
  inertia of each example: its squared distance to the nearest centre, with grey levels scaled to
  [0, 1]. Seeds are points of the first batch: take a large one.

  Args:
    spec: of the data.
    clusters: K.
    warmup: Lloyd's iterations on the first batch before the first pass.
    dtype: of everything.

  Raises:
    UserError: if an option is out of range.
  """
  at = space(spec, dtype)

  def init(key, batch, weight):
    return {"centres": start(key, at.points(batch["x"]), clusters, weight, warmup)}

  def inertia(params, x):
    y, centres = at.points(x), params["centres"]
    return at.squared_distance(y - centres[nearest(y, centres)])

  def statistics(params, batch, weight, key):
    del key
    sums = moments(at.points(batch["x"]), params["centres"], weight)
    return sums, {"inertia": inertia(params, batch["x"])}

  def encode(state, x, keys=None, cond=None):
    del keys, cond
    index = nearest(at.points(x), state["params"]["centres"])
    return jax.nn.one_hot(index, clusters, dtype=at.dtype)

  def decode(state, code, cond=None):
    del cond
    return at.examples(matmul(code, state["params"]["centres"]))

  model = em(
    init,
    statistics,
    lambda params, sums: {"centres": move(params["centres"], sums)},
    dtype=at.dtype,
    evaluate=lambda state, batch, keys: {"inertia": inertia(state["params"], batch["x"])},
    decode=decode,
    encode=encode,
    pictures=lambda state: {"centres": at.examples(state["params"]["centres"])},
  )
  return single(model)
