"""Mean shift: seeds climb to the modes of a kernel density (Comaniciu & Meer 2002, section 2).

  climb    m <- sum_i k(|x_i - m|) x_i / sum_i k(|x_i - m|)
           k(d) = 1 where d <= h (flat), exp(-d^2 / 2 h^2) (gaussian)
  stop     where a step is at most h / 1000, or no point weighs anything
  merge    of the ends, the one of the greatest weight sum_i k first, one within h of an earlier one
           that was kept is left out
  assign   a point belongs to the nearest mode
  h        where none is given: the mean distance of a point to its (quantile n)-th nearest, itself
           counted

Ends of equal weight are taken by their coordinates, the largest first. All this is as in
scikit-learn's MeanShift and estimate_bandwidth.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Literal

import jax.numpy as jnp
from annotated_types import Interval
from jax import lax

from gen_jax.core import Array, Program, Spec, single
from gen_jax.learn.em import em
from gen_jax.models.euclidean import space
from gen_jax.schema import Natural, NonNegative, Wide, builder

STOP = 1e-3  # of the bandwidth
SAME = 1e-4  # of the bandwidth, or of a point's weight: no difference
SHOWN = 64  # modes, at most, as pictures

# (d / h)^2 -> k(d)
KERNELS: dict[str, Callable[[Array], Array]] = {
  "flat": lambda t: (t <= 1).astype(t.dtype),
  "gaussian": lambda t: jnp.exp(-t / 2),
}
Kernel = Literal[tuple(KERNELS)]

matmul = functools.partial(jnp.matmul, precision="highest")


def squared_distances(a: Array, b: Array) -> Array:
  """[S, B] of a [S, D] to b [B, D], coordinate by coordinate: the edge of a flat kernel does not
  bear the rounding of |a|^2 - 2 a b + |b|^2."""
  add = lambda total, of: (total + (of[0][:, None] - of[1]) ** 2, None)
  return lax.scan(add, jnp.zeros((len(a), len(b)), a.dtype), (a.T, b.T))[0]


def bandwidth_of(x: Array, weight: Array, quantile: float) -> Array:
  """h of the points x [B, D] whose weight [B] is 1, not 0."""
  far = jnp.where(weight > 0, squared_distances(x, x), jnp.inf)
  count = weight.sum().astype(jnp.int32)
  k = jnp.maximum(jnp.floor(count * quantile).astype(jnp.int32), 1)
  distance = jnp.sqrt(jnp.sort(far, axis=1)[:, k - 1])
  return jnp.where(weight > 0, distance, 0).sum() / count


def pull(x: Array, weight: Array, seeds: Array, h: Array, kernel: Kernel) -> dict[str, Array]:
  """weight [S] and sum [S, D] of k(|x_i - m|) (x_i - m), of points x [B, D] and seeds m [S, D]."""
  k = weight * KERNELS[kernel](squared_distances(seeds, x) / h**2)
  total = k.sum(1)
  return {"weight": total, "sum": matmul(k, x) - total[:, None] * seeds}


def start(seeds: Array, alive: Array, h: Array) -> dict[str, Array]:
  """What is known of seeds [S, D] before they move, of which those `alive` [S] do."""
  ends = {"seeds": seeds, "weight": alive.astype(seeds.dtype), "moving": alive}
  return {**ends, "bandwidth": h, **merge(ends["seeds"], ends["weight"], h)}


def step(params: dict[str, Array], sums: dict[str, Array]) -> dict[str, Array]:
  """Each moving seed to the mean about it, without merging."""
  total, h = sums["weight"], params["bandwidth"]
  shift = sums["sum"] / jnp.where(total > 0, total, 1)[:, None]
  goes = params["moving"] & (total > 0)
  far = (shift**2).sum(1) > (STOP * h) ** 2
  return {
    **params,
    "seeds": jnp.where(goes[:, None], params["seeds"] + shift, params["seeds"]),
    "weight": jnp.where(params["moving"], total, params["weight"]),
    "moving": goes & far,
  }


def merge(ends: Array, weight: Array, h: Array) -> dict[str, Array]:
  """modes [S, D]: of the ends [S, D] those that are kept, the greatest weight [S] first, then the
  others; kept [S], whether each of these is."""
  order = jnp.arange(len(ends))
  by = lambda order, values: (order[jnp.argsort(-values[order], stable=True)], None)
  # Rounded, for where two are equal the noise of summation must not decide.
  order, _ = lax.scan(by, order, jnp.round(ends.T / (SAME * h)), reverse=True)
  order, _ = by(order, jnp.round(weight / SAME))
  ends = ends[order]

  def visit(i, kept):
    near = ((ends - ends[i]) ** 2).sum(1) <= h**2
    return jnp.where(kept[i], kept & ~near, kept).at[i].set(kept[i])

  kept = lax.fori_loop(0, len(ends), visit, weight[order] > 0)
  first = jnp.argsort(~kept, stable=True)
  return {"modes": ends[first], "kept": kept[first]}


def nearest(x: Array, modes: Array, kept: Array) -> tuple[Array, Array]:
  """Index [B] of the nearest mode that is kept, and the squared distance [B] to it."""
  far = jnp.where(kept, squared_distances(x, modes), jnp.inf)
  return far.argmin(1), far.min(1)


def climb(
  x: Array, weight: Array, seeds: Array, h: Array, kernel: Kernel, iterations: int
) -> dict[str, Array]:
  """Modes of points x [B, D] with weight [B] that are all at hand, see `merge`; of seeds [S, D]
  that are moved until all stop, `iterations` times at most."""

  def move(carry):
    i, params = carry
    return i + 1, step(params, pull(x, weight, params["seeds"], h, kernel))

  more = lambda carry: (carry[0] < iterations) & carry[1]["moving"].any()
  params = start(seeds, jnp.ones(len(seeds), bool), h)
  _, params = lax.while_loop(more, move, (0, params))
  return merge(params["seeds"], params["weight"], h)


@builder
def build(
  spec: Spec,
  *,
  kernel: Kernel = "flat",
  bandwidth: NonNegative = 0.0,
  quantile: Annotated[float, Interval(gt=0, le=1)] = 0.3,
  seeds: Natural = 0,
  dtype: Wide = "float32",
) -> Program:
  """Mean shift of any examples, flattened to D dimensions: a pass of the data is one step.

  `encode` gives the nearest mode's number [B], the greatest first, `decode` that mode. `evaluate`
  gives the inertia of each example, its squared distance to the nearest mode, with grey levels
  scaled to [0, 1], and whether it is within the bandwidth of it. Seeds are points of the first
  batch, and so is what the bandwidth is estimated from: take a large one; with one batch a pass
  and all points as seeds the modes are scikit-learn's.

  Args:
    spec: of the data.
    kernel: flat or gaussian.
    bandwidth: h, in units of the points: of real values, or of (x + u) / levels; 0 to estimate it.
    quantile: of that estimate.
    seeds: how many of the first batch, 0 for all.
    dtype: of everything.

  Raises:
    UserError: if an option is out of range.
  """
  at = space(spec, dtype)

  def init(key, batch, weight):
    del key
    x = at.points(batch["x"])
    h = jnp.asarray(bandwidth, at.dtype) if bandwidth else bandwidth_of(x, weight, quantile)
    count = min(seeds or len(x), len(x))
    return start(x[:count], weight[:count] > 0, h)

  def distance(params, x):
    """Squared, of each example to the nearest mode: of points, and of pixels in [0, 1]."""
    index, squared = nearest(at.points(x), params["modes"], params["kept"])
    return squared, at.squared_distance(at.points(x) - params["modes"][index])

  def terms(params, x):
    squared, inertia = distance(params, x)
    return {"inertia": inertia, "within": (squared <= params["bandwidth"] ** 2).astype(at.dtype)}

  def statistics(params, batch, weight, key):
    del key
    x = at.points(batch["x"])
    sums = pull(x, weight, params["seeds"], params["bandwidth"], kernel)
    of_all = {"modes": params["kept"].sum(), "moving": params["moving"].mean()}
    each = {name: jnp.full(len(x), v, at.dtype) for name, v in of_all.items()}
    return sums, terms(params, batch["x"]) | each

  def solve(params, sums):
    moved = step(params, sums)
    return moved | merge(moved["seeds"], moved["weight"], moved["bandwidth"])

  def encode(state, x, keys=None, cond=None):
    del keys, cond
    params = state["params"]
    return nearest(at.points(x), params["modes"], params["kept"])[0].astype(jnp.int32)

  def decode(state, code, cond=None):
    del cond
    return at.examples(state["params"]["modes"][code])

  def pictures(state):
    """The greatest modes; where there are fewer, the first again."""
    modes, kept = (state["params"][name][:SHOWN] for name in ("modes", "kept"))
    return {"modes": at.examples(jnp.where(kept[:, None], modes, modes[0]))}

  model = em(
    init,
    statistics,
    solve,
    dtype=at.dtype,
    evaluate=lambda state, batch, keys: terms(state["params"], batch["x"]),
    decode=decode,
    encode=encode,
    pictures=pictures,
  )
  return single(model)
