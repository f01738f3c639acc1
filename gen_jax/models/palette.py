"""The colours of pictures as clusters of their pixels: k-means or mean shift of points

  (L, a, b, place row, place column)     CIE L*a*b*, and the pixel's place, in units of colour

(Comaniciu & Meer 2002, section 3.2). What is learnt are the clusters of the pixels of all pictures;
a picture is segmented by those, or by clusters of its own:

  kmeans      Lloyd's iterations on its pixels, from the learnt centres
  meanshift   the climb of a grid of its pixels, which needs nothing learnt
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import chex
import jax.numpy as jnp
import numpy as np
from annotated_types import Interval
from jax import lax

from gen_jax.colour import lab_to_rgb, rgb_to_lab
from gen_jax.core import Array, Program, Spec, UserError, quantize, single, unit
from gen_jax.learn.em import em
from gen_jax.models import kmeans, meanshift
from gen_jax.schema import Count, Natural, NonNegative, Positive, Wide, builder


def grid_of(height: int, width: int, most: int) -> np.ndarray:
  """Rows [n] of pixels on an even grid over a picture, `most` at most, counted row by row."""
  step = max(1, math.ceil(math.sqrt(height * width / most)))
  rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
  return (rows[:, None] * width + columns).reshape(-1)[:most]


def points_of(x: Array, levels: int, place: float, dtype) -> Array:
  """x [B, H, W, 3] in grey levels -> [B, H W, 5], see above."""
  chex.assert_shape(x, (None, None, None, 3))
  lab, (height, width) = rgb_to_lab(unit(x, levels, dtype)), x.shape[1:3]
  long = max(height, width, 2) - 1
  rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
  at = jnp.stack([rows, columns], -1).astype(dtype) * (place / long)
  at = jnp.broadcast_to(at, (*lab.shape[:3], 2))
  return jnp.concatenate([lab, at], -1).reshape(len(x), height * width, 5)


def greatest(found: dict[str, Array], count: int) -> dict[str, Array]:
  """centres [count, 5] and kept [count] of the modes of mean shift, the greatest first; where there
  are fewer, others that are not kept."""
  more = max(count - len(found["kept"]), 0)
  pad = lambda a: jnp.pad(a[:count], ((0, more), *[(0, 0)] * (a.ndim - 1)))
  return {"centres": pad(found["modes"]), "kept": pad(found["kept"])}


@builder
def build(
  spec: Spec,
  *,
  method: Literal["kmeans", "meanshift"] = "meanshift",
  colours: Annotated[int, Interval(ge=1, le=256)] = 8,
  bandwidth: Positive = 12.0,
  place: NonNegative = 0.0,
  own: Natural = 50,
  seeds: Count = 256,
  pixels: Count = 8192,
  dtype: Wide = "float32",
) -> Program:
  """Colour segmentation of RGB images [H, W, 3] with grey levels, of any size.

  `predict` gives minus half the squared distance of each pixel to each cluster, [B, H, W, K];
  `transform` each pixel in the colour of the nearest; `pictures` the learnt colours. `evaluate`
  gives the squared_distance [B] of an example's pixels to the nearest, their mean, in L*a*b*.

  Args:
    spec: of the data.
    method: k-means, or mean shift with a flat kernel.
    colours: K of k-means; the most modes that mean shift keeps.
    bandwidth: h of mean shift, in units of L, which goes from 0 to 100.
    place: how far the ends of a picture's longer side are apart, in those units; 0 for colour only.
    own: iterations on the picture's own pixels, at most; 0 for the learnt clusters as they are.
    seeds: of mean shift, at most.
    pixels: on a grid, at most, of which clusters of a picture's own are taken; all are segmented.
    dtype: of everything.

  Raises:
    UserError: if the data are no such images, or an option is out of range.
  """
  if len(spec.shape) != 3 or spec.shape[-1] != 3 or spec.levels is None:
    raise UserError(f"a palette is of RGB images with grey levels, not of shape {spec.shape}")
  real, shift = jnp.dtype(dtype), method == "meanshift"
  h = jnp.asarray(bandwidth, real)

  points = lambda x: points_of(x, spec.levels, place, real)

  def init(key, batch, weight):
    y = points(batch["x"])
    if shift:
      grid = grid_of(*spec.shape[:2], max(1, seeds // len(y)))
      first = y[:, grid].reshape(-1, 5)[:seeds]
      alive = jnp.repeat(weight > 0, len(grid))[:seeds]
      state = meanshift.start(first, alive, h)
      found = greatest(state, colours)
      return {k: v for k, v in state.items() if k != "modes"} | found
    grid = grid_of(*spec.shape[:2], max(1, pixels // len(y)))
    own_weight = jnp.repeat(weight, len(grid))
    flat = y[:, grid].reshape(-1, 5)
    centres = kmeans.start(key, flat, colours, own_weight, 10)
    return {"centres": centres, "kept": jnp.ones(colours, bool)}

  def statistics(params, batch, weight, key):
    del key
    y = points(batch["x"])
    each, flat = jnp.repeat(weight, y.shape[1]), y.reshape(-1, 5)
    if shift:
      sums = meanshift.pull(flat, each, params["seeds"], h, "flat")
    else:
      sums = kmeans.moments(flat, params["centres"], each)
    count = jnp.full(len(y), params["kept"].sum(), real)
    return sums, {"squared_distance": distance(params, y), "colours": count}

  def solve(params, sums):
    if not shift:
      return {**params, "centres": kmeans.move(params["centres"], sums)}
    moved = meanshift.step(params, sums)
    found = meanshift.merge(moved["seeds"], moved["weight"], h)
    return {**moved, **greatest(found, colours)}

  def distances(found, y):
    """Squared, [N, K] of y [N, 5]; infinite where a colour is not kept."""
    far = meanshift.squared_distances(y, found["centres"])
    return jnp.where(found["kept"], far, jnp.inf)

  def distance(params, y):
    return lax.map(lambda y: distances(params, y).min(1).mean(), y)

  def clusters(params, y, height, width):
    """Of one picture's points y [H W, 5], see above: centres [K, 5] and kept [K]."""
    if not own:
      return {"centres": params["centres"], "kept": params["kept"]}
    some = y[grid_of(height, width, pixels)]
    ones = jnp.ones(len(some), real)
    if shift:
      first = y[grid_of(height, width, seeds)]
      return greatest(meanshift.climb(some, ones, first, h, "flat", own), colours)
    step = lambda _, c: kmeans.move(c, kmeans.moments(some, c, ones))
    return {"centres": lax.fori_loop(0, own, step, params["centres"]), "kept": params["kept"]}

  def predict(state, x):
    height, width = x.shape[1:3]

    def logits(y):
      far = distances(clusters(state["params"], y, height, width), y)
      return -far.reshape(height, width, colours) / 2

    return lax.map(logits, points(x))

  def transform(state, x, keys=None, cond=None):
    del keys, cond
    height, width = x.shape[1:3]

    def painted(y):
      found = clusters(state["params"], y, height, width)
      rows = y.reshape(height, width, 5)
      index = lax.map(lambda row: distances(found, row).argmin(1), rows)
      return colour_of(found["centres"][index])

    return lax.map(painted, points(x))

  def colour_of(centres):
    return quantize(2 * lab_to_rgb(centres[..., :3]) - 1, spec.levels)

  def pictures(state):
    """One picture of each learnt colour; where there are fewer, of the first again."""
    params = state["params"]
    centres = jnp.where(params["kept"][:, None], params["centres"], params["centres"][0])
    ones = jnp.ones((colours, *spec.shape), real)
    return {"colours": (ones * colour_of(centres)[:, None, None]).astype(spec.x.dtype)}

  model = em(
    init,
    statistics,
    solve,
    dtype=real,
    evaluate=lambda state, batch, keys: {
      "squared_distance": distance(state["params"], points(batch["x"]))
    },
    predict=predict,
    transform=transform,
    pictures=pictures,
    stride=1,
  )
  return single(model)
