"""What a model fills holes with, beside what needs no learning and a linear rival."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from gen_jax import metrics
from gen_jax.core import Spec, UserError, as_integers, permutation, unit
from gen_jax.holes import blend, harmonic, over_hole
from gen_jax.report.measures.table import measure, translates
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System

LEARNT_FROM, LARGEST = 2000, 20_000  # examples and dimensions of the linear rival, at most


def unfit(system: System) -> str:
  """Holes are in images with grey levels, whose right answer is x."""
  spec = system.spec
  if found := translates(system):
    return found
  fits = len(spec.shape) == 3 and spec.levels
  return "" if fits else f"needs images with grey levels, not data of shape {spec.shape}"


def fills_of(spec: Spec, train: np.ndarray) -> Callable:
  """(x, hole) -> {name: [B, H, W, C]}: what takes the hole's place in images in [0, 1], as it was
  learnt from examples [N, H, W, C].

  mean is the mean colour, linear the conditional mean of a Gaussian of few directions.
  """
  mean = train.mean(axis=(0, 1, 2))
  gaussian = metrics.fit_gaussian(train) if math.prod(spec.shape) <= LARGEST else None

  def fills(x, hole):
    out = {"mean": jnp.broadcast_to(mean, x.shape), "harmonic": harmonic(x, hole)}
    if gaussian is not None:
      out["linear"] = metrics.conditional_mean(gaussian, x, hole)
      out["linear_blended"] = blend(out["linear"], x, hole)
    return out

  return fills


@measure("hole_psnr", "hole_gradient", needs=("observe", "transform"), obstacle=unfit)
def hole_psnr(scene: Scene) -> dict[str, Record]:
  """Of pictures that are given with a hole, which `observe` tells by an alpha of 0, and come back
  rounded to the data's levels:

  hole_psnr: -10 log10 of the squared error in [0, 1] in dB, a mean over each hole and then over the
    split. Pixels outside count nothing. Beside it that of the training split's mean colour, of the
    harmonic extension of what is around the hole, of the conditional mean of a Gaussian fitted to
    the training split (probabilistic PCA), and of that with Poisson blending.
  hole_gradient: mean gradient magnitude in the holes over that of the real pictures there, a ratio
    of sums: below 1 where what is filled in is too smooth. Beside it that of the others.

  Raises:
    UserError: where `observe` gives no alpha, or no hole.
  """
  spec, model = scene.spec, scene.model
  train = scene.source.splits["train"]
  some = train.take(permutation(len(train))[:LEARNT_FROM])["x"]
  fills = fills_of(spec, np.asarray(some, np.float32) / (spec.levels - 1))

  def terms(states, batch, keys):
    cond = scene.cond(batch)
    given = model.observe(states, batch["x"], keys, cond)
    if given.shape != (*batch["x"].shape[:-1], spec.shape[-1] + 1):
      raise UserError("the measure hole_psnr needs pictures with an alpha that is 0 in a hole")
    hole, x = given[..., -1] == 0, unit(batch["x"], spec.levels)
    made = as_integers(jnp.round(model.transform(states, given, keys, cond)), spec.levels)
    sets = {"made": unit(made, spec.levels), **fills(x, hole)}
    out = {"share": hole.mean(axis=(1, 2))}
    out["gradient_real"] = over_hole(metrics.gradient_magnitude(x), hole)
    for name, filled in sets.items():
      whole = jnp.where(hole[..., None], filled, x)
      out[f"error_{name}"] = over_hole((whole - x) ** 2, hole)
      out[f"gradient_{name}"] = over_hole(metrics.gradient_magnitude(whole), hole)
    return out

  means = {name: float(np.mean(v, dtype=np.float64)) for name, v in scene.terms(terms).items()}
  if not means["share"]:
    raise UserError("the measure hole_psnr found no hole in these pictures")
  errors = {n.removeprefix("error_"): v for n, v in means.items() if n.startswith("error_")}
  real = means["gradient_real"]
  share = {n: means[f"gradient_{n}"] / real if real else None for n in errors}
  beside = [name for name in errors if name != "made"]
  psnr = lambda error: float(metrics.decibels(error))
  facts = {f"of_{name}": psnr(errors[name]) for name in beside}
  gradients = {f"of_{name}": share[name] for name in beside}
  records = {
    "hole_psnr": scene.of_split(psnr(errors["made"]), share_hidden=means["share"], **facts)
  }
  if real:
    records["hole_gradient"] = scene.of_split(share["made"], of_real=real, **gradients)
  else:
    why = "real pictures are flat in these holes"
    records["hole_gradient"] = {"value": None, "why": why, "split": scene.settings.split}
  return records


@measure(
  "completion_accuracy", needs=("observe", "transform"), fields=("label",), obstacle=unfit
)  # fmt: skip
def completion_accuracy(scene: Scene) -> dict[str, Record]:
  """How often a classifier of real data reads a picture as its class when what `observe` hides of
  it is filled in. `told` are the fields that the model is conditioned on as it fills it.

  Beside it: `of_given`, what it reads in the picture with the hole at level 0, and `of_real`.

  Raises:
    UserError: where `observe` gives no alpha.
  """
  observe, real, label = scene.model.observe, scene.real["x"], scene.real["label"]
  given = scene.terms(
    lambda states, batch, keys: {"x": observe(states, batch["x"], keys, scene.cond(batch))}
  )["x"]
  if given.shape[1:] != (*real.shape[1:-1], real.shape[-1] + 1):
    raise UserError("the measure completion_accuracy needs pictures with an alpha, 0 in a hole")
  made = np.asarray(as_integers(np.rint(scene.transformed), scene.spec.levels))
  right = lambda x: float((scene.judge.predict(x) == label).mean())
  facts = {
    "of_given": right(np.where(given[..., -1:] == 0, 0, given[..., :-1])),
    "of_real": right(real),
    "share_hidden": float((given[..., -1] == 0).mean()),
    "told": list(scene.model.cond),
  }
  return {"completion_accuracy": scene.of_split(right(made), **facts, **scene.extractor())}
