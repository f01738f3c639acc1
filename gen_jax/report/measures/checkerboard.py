"""What an upsampling leaves on every second row and column of a picture."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import metrics
from gen_jax.core import Spec, UserError, fold_each, stream
from gen_jax.report.measures.table import measure, translates
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

STRIDE = 2


def unfit(system: System) -> str:
  """Flat pictures are restored, without conditions."""
  spec = system.spec
  if len(spec.shape) != 3 or spec.levels is None or any(n % STRIDE for n in spec.shape[:2]):
    return f"needs images with grey levels, of even height and width, not of shape {spec.shape}"
  if found := translates(system):
    return found
  if system.program.model.cond:
    return "shows flat pictures, and this model needs conditions besides"
  return ""


def flat_pictures(spec: Spec) -> np.ndarray:
  """Pictures [n, H, W, C] of one colour each: 1/4, 1/2 or 3/4 of the levels in each channel."""
  colours = list(itertools.product((0.25, 0.5, 0.75), repeat=spec.shape[-1]))
  levels = np.round((spec.levels - 1) * np.array(colours))[:, None, None]
  return np.broadcast_to(levels, (len(colours), *spec.shape)).astype(spec.x.dtype)


def middle(y: jax.Array) -> jax.Array:
  """The middle quarter of each side of y [n, H, W, C], out of reach of most borders."""
  top, left = 3 * y.shape[1] // 8, 3 * y.shape[2] // 8
  return y[:, top : y.shape[1] - top, left : y.shape[2] - left]


def restored_by(scene: Scene) -> Callable:
  """(states, x, keys) -> what the model makes of x as `observe` gives it."""
  observe, transform = scene.model.observe, scene.model.transform

  def restored(states, x, keys):
    given = x if observe is None else observe(states, x, keys, None)
    made = transform(states, given, keys, None)
    return made.astype(jnp.promote_types(made.dtype, jnp.float32))

  return restored


@measure(
  "checkerboard_flat", "checkerboard_lattice", "checkerboard_replicas", needs=("transform",),
  obstacle=unfit,
)  # fmt: skip
def checkerboard(scene: Scene) -> dict[str, Record]:
  """Three ways to say how much of what is restored is the upsampling's, of stride 2, own:

  checkerboard_flat: of pictures of one colour, the standard deviation of the means of the four
    phases, (even or odd row, even or odd column), over the root mean square. The middle quarter of
    each side; a ratio of sums over the pictures.
  checkerboard_lattice: of the error x' - x, the share of its energy that is the variance of those
    means.
  checkerboard_replicas: of what is restored from x without the frequencies that half the resolution
    cannot hold (and at half the contrast, out of reach of black and white), the share of its energy
    at those. Edges that are made sharp again are in it too.

  Energies are without the mean, and the last two are ratios of sums over the split.

  Raises:
    UserError: where what is restored has another shape than x, or has no energy.
  """
  restored, spec = restored_by(scene), scene.spec
  flat = flat_pictures(spec)
  keys = fold_each(stream(scene.key, "evaluate"), jnp.arange(len(flat)))
  made = jax.jit(restored)(scene.states, flat, keys)
  if made.shape != flat.shape:
    raise UserError(f"the measure checkerboard needs x restored in its shape, not {made.shape[1:]}")

  def terms(states, batch, keys):
    x = batch["x"].astype(made.dtype)
    error = restored(states, batch["x"], keys) - x
    smooth = restored(states, (spec.levels - 1) / 4 + metrics.low_pass(x, STRIDE) / 2, keys)
    return {
      "lattice": metrics.lattice_energy(error, STRIDE), "error": metrics.energy(error),
      "replicas": metrics.replica_energy(smooth, STRIDE), "smooth": metrics.energy(smooth),
    }  # fmt: skip

  sums = {name: np.sum(value, dtype=np.float64) for name, value in scene.terms(terms).items()}
  part = middle(made)
  uneven = float(metrics.lattice_energy(part, STRIDE).sum())
  square = float((part**2).mean((1, 2)).sum())
  return {
    "checkerboard_flat": {
      "value": np.sqrt(ratio(uneven, square, "flat pictures")), "examples": len(flat),
      "split": "flat pictures", "stride": STRIDE,
    },
    "checkerboard_lattice": scene.of_split(
      ratio(sums["lattice"], sums["error"], "the error"), stride=STRIDE
    ),
    "checkerboard_replicas": scene.of_split(
      ratio(sums["replicas"], sums["smooth"], "smooth pictures"), stride=STRIDE
    ),
  }  # fmt: skip


def ratio(part: float, whole: float, what: str) -> float:
  """part / whole.

  Raises:
    UserError: where the whole is 0.
  """
  if whole == 0:
    raise UserError(f"the measure checkerboard has nothing to share out: {what} had no energy")
  return float(part / whole)
