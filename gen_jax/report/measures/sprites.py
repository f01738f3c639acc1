"""Samples of `shapes`, read by the nearest of all its sprites: no classifier is asked."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import metrics
from gen_jax.core import UserError, as_integers, fold_each, stream
from gen_jax.data import LEFT_OUT
from gen_jax.report.measures.paths import discrete_codes
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.conditions import conditions

# Squared distance, of pixels in [0, 1] at 32x32: one step of the orientation, the smallest factor.
# White noise of deviation 0.05 comes to as much.
LEGIBLE = 8.0
UNREAD = "orientation"  # several orientations of a tiny sprite are one picture


class Reading(NamedTuple):
  """index [n] of the nearest sprites; seen [n], whether x is nearer to them than to an empty
  picture; legible [n], whether it is also as near as one sprite is to the next."""

  index: np.ndarray
  seen: np.ndarray
  legible: np.ndarray


def read(scene: Scene, x: np.ndarray) -> Reading:
  """Pictures x [n, H, W, C], read by the nearest of all sprites."""
  known, scale = scene.source.notes["sprites"], scene.spec.levels - 1
  flat = lambda pictures: pictures.reshape(len(pictures), -1) / np.float32(scale)
  draw = lambda index: flat(known.draw(index))
  x = flat(np.asarray(x))
  index, distance = metrics.nearest_drawn(x, draw, known.size)
  near = distance * (32 / scene.spec.shape[0]) ** 2 < LEGIBLE
  seen = distance < (x.astype(np.float64) ** 2).sum(axis=1)
  return Reading(index, seen, near & seen)


def evenness(factors: np.ndarray, counts: dict[str, int]) -> tuple[dict[str, float], ...]:
  """Of each factor, the smallest share of a value times the number of values, and 1 less the total
  variation of the shares to uniform ones.

  Args:
    factors: [n, F] indices.
    counts: name -> number of values, in their order.
  """
  least, even = {}, {}
  for column, (name, count) in zip(factors.T, counts.items(), strict=True):
    shares = np.bincount(column, minlength=count) / max(len(column), 1)
    least[name] = float(shares.min() * count)
    even[name] = float(1 - np.abs(shares - 1 / count).sum() / 2)
  return least, even


@measure("legible", "smallest_factor_share", needs=("sample",), notes=("sprites",))
def sprites(scene: Scene) -> dict[str, Record]:
  """What share of the samples are sprites, and how evenly these take the values of each factor but
  the orientation: the smallest share of a value, 1 where all are alike probable. Beside both, the
  same of as many real examples."""
  known = scene.source.notes["sprites"]

  def taken(x) -> dict[str, Any]:
    index, _, legible = read(scene, x)
    least, even = evenness(known.factors_of(index[legible]), known.counts)
    smallest = min(value for name, value in least.items() if name != UNREAD)
    return {"legible": legible.mean(), "smallest": smallest, "least": least, "even": even}

  drawn = taken(scene.samples["x"])
  real = taken(scene.real["x"][: len(scene.samples["x"])])
  facts = {f"smallest_{name}_share": value for name, value in drawn["least"].items()}
  facts |= {f"{name}_evenness": value for name, value in drawn["even"].items()}
  return {
    "legible": scene.record(drawn["legible"], of_real_data=float(real["legible"])),
    "smallest_factor_share": scene.record(
      drawn["smallest"], of_real_data=real["smallest"], **facts
    ),
  }


KINDS = ("size", "colour", "shape", "row", "column")


@measure(
  "caption_accuracy", *(f"caption_accuracy_{kind}" for kind in KINDS), needs=("sample",),
  cond=("caption",), notes=("sprites",),
)  # fmt: skip
def caption_faithful(scene: Scene) -> dict[str, Record]:
  """How often the nearest sprite to a sample is as its caption says, in all of its words and in
  those of each kind; beside it, how often it is and the sample is legible (as `sprites` has it),
  and the first against captions in another order. What is nearer to an empty picture is wrong."""
  asked = scene.samples["caption"]
  reading = read(scene, scene.samples["x"])
  found, strict = accuracies(scene, reading, asked), accuracies(scene, reading, asked, strict=True)
  chance = accuracies(scene, reading, np.roll(asked, len(asked) // 2, axis=0))
  return {
    f"caption_accuracy_{kind}".rstrip("_"): scene.record(
      value, legible_and_right=strict[kind], of_other_captions=chance[kind]
    )
    for kind, value in found.items()
  }


@measure(
  "caption_accuracy_left_out", needs=("sample",), cond=("caption",), notes=("sprites",),
  settings=("leave_out",),
)  # fmt: skip
def captions_left_out(scene: Scene) -> dict[str, Record]:
  """The accuracy of all words, of samples whose captions name a shape and a colour that no training
  example has together; beside it, that of the words of each kind."""
  drawn = scene.drawn(LEFT_OUT)
  facts = accuracies_beside(scene, drawn["x"], drawn["caption"])
  return {"caption_accuracy_left_out": scene.record(**facts) | {"split": LEFT_OUT}}


@measure(
  "caption_accuracy_reconstructed", needs=("encode", "decode"), fields=("caption",),
  notes=("sprites",),
)  # fmt: skip
def captions_reconstructed(scene: Scene) -> dict[str, Record]:
  """The accuracy of all words, of real pictures after encode and decode, by their own captions;
  beside it, that of the words of each kind. What is lost there no prior of the codes brings back.
  """
  model, levels = scene.model, scene.spec.levels

  def restored(states, batch, keys):
    cond = scene.cond(batch)
    x = model.decode(states, model.encode(states, batch["x"], None, cond), cond)
    return {"x": as_integers(jnp.round(x), levels)}

  facts = accuracies_beside(scene, scene.terms(restored)["x"], scene.real["caption"])
  return {"caption_accuracy_reconstructed": scene.of_split(**facts)}


def accuracies_beside(scene: Scene, x: np.ndarray, asked: np.ndarray) -> dict[str, float]:
  """`value`, the accuracy of all words of captions [n, T] in x, and beside it that of each kind,
  the share that is `legible` and the share that is `legible_and_right`."""
  reading = read(scene, x)
  found, strict = accuracies(scene, reading, asked), accuracies(scene, reading, asked, strict=True)
  legible = float(reading.legible.mean())
  return {"value": found.pop(""), **found, "legible": legible, "legible_and_right": strict[""]}


def accuracies(
  scene: Scene, reading: Reading, asked: np.ndarray, strict: bool = False
) -> dict[str, float]:
  """Kind of word -> in what share it is the one that is asked for; of all kinds together, "".

  Args:
    reading: of n pictures.
    asked: captions [n, T].
    strict: what is not legible is wrong.
  """
  words = scene.source.notes["sprites"].words
  said = scene.source.notes["sprites"].captions_of(reading.index)
  can = reading.legible if strict else reading.seen
  right = {
    kind: can & (word_of(said, words[kind]) == word_of(asked, words[kind])) for kind in KINDS
  }
  right = {"": np.logical_and.reduce(list(right.values())), **right}
  return {kind: float(value.mean()) for kind, value in right.items()}


def word_of(captions: np.ndarray, tokens: tuple[int, ...]) -> np.ndarray:
  """Which of these tokens each caption [n, T] has, 0 for none: [n]."""
  return np.where(np.isin(captions, tokens), captions, 0).max(axis=1)


ORDERED = ("scale", "x", "y")  # factors that a line can tell


@measure("read_out", needs=("prior", "decode"), notes=("sprites",), obstacle=discrete_codes)
def read_out(scene: Scene) -> dict[str, Record]:
  """How much of the scale and the place of the sprites that are drawn a linear function of their
  code tells: the mean R^2, on codes that it was not fitted to; and where a code has styles, of
  these."""
  known, model, n = scene.source.notes["sprites"], scene.model, scene.settings.samples
  cond = conditions(model, scene.spec, n, split=scene.source.splits["train"])

  @jax.jit
  def drawn(states, keys, cond):
    code = model.prior(states, keys, cond or None)
    spaces = {"read_out": code}
    if model.styles is not None:
      spaces["read_out_styles"] = model.styles(states, code, cond or None)
    return model.decode(states, code, cond or None), spaces

  keys = fold_each(stream(scene.key, "measure"), np.arange(n))
  x, spaces = drawn(scene.states, keys, cond)
  index, _, legible = read(scene, np.clip(np.asarray(x).round(), 0, scene.spec.levels - 1))
  columns = [list(known.counts).index(name) for name in ORDERED]
  factors = known.factors_of(index[legible])[:, columns]
  if legible.sum() < 100 or not (factors != factors[:1]).any(axis=0).all():
    raise UserError(f"{legible.sum()} of {n} draws are sprites that can be read, too few")
  out = {}
  for name, code in spaces.items():
    found = metrics.linear_r2(np.asarray(code).reshape(n, -1)[legible], factors)
    each = dict(zip(ORDERED, map(float, found), strict=True))
    facts = {"examples": n, "split": scene.settings.split, "legible": float(legible.mean())}
    out[name] = {"value": float(found.mean()), **facts, **each}
  return out
