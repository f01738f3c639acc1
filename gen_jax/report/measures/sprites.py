"""Samples of `shapes`, read by the nearest of all its sprites: no classifier is asked."""

from __future__ import annotations

from typing import Any

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


def read(scene: Scene, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Positions of the nearest sprites, and whether x lies near enough to be read, and nearer than to
  an empty picture."""
  known, scale = scene.source.notes["sprites"], scene.spec.levels - 1
  flat = lambda pictures: pictures.reshape(len(pictures), -1) / np.float32(scale)
  draw = lambda index: flat(known.draw(index))
  x = flat(np.asarray(x))
  index, distance = metrics.nearest_drawn(x, draw, known.size)
  near = distance * (32 / scene.spec.shape[0]) ** 2 < LEGIBLE
  return index, near & (distance < (x.astype(np.float64) ** 2).sum(axis=1))


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
    index, legible = read(scene, x)
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
  """How often the sprite that is read in a sample is as its caption says, in all of its words and
  in those of each kind; beside it, the same against captions in another order. A sample that cannot
  be read counts as wrong."""
  asked = scene.samples["caption"]
  said, legible = told(scene, scene.samples["x"])
  found = accuracies(scene, said, legible, asked)
  chance = accuracies(scene, said, legible, np.roll(asked, len(asked) // 2, axis=0))
  return {
    f"caption_accuracy_{kind}".rstrip("_"): scene.record(
      value, of_other_captions=chance[kind], legible=float(legible.mean())
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
  said, legible = told(scene, drawn["x"])
  found = accuracies(scene, said, legible, drawn["caption"])
  value, facts = found.pop(""), {"legible": float(legible.mean())}
  return {"caption_accuracy_left_out": scene.record(value, **found, **facts) | {"split": LEFT_OUT}}


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

  said, legible = told(scene, scene.terms(restored)["x"])
  found = accuracies(scene, said, legible, scene.real["caption"])
  value, facts = found.pop(""), {"legible": float(legible.mean())}
  return {"caption_accuracy_reconstructed": scene.of_split(value, **found, **facts)}


def told(scene: Scene, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The captions [n, T] of the sprites that are read in x, and whether each can be read."""
  index, legible = read(scene, x)
  return scene.source.notes["sprites"].captions_of(index), legible


def accuracies(
  scene: Scene, said: np.ndarray, legible: np.ndarray, asked: np.ndarray
) -> dict[str, float]:
  """Kind of word -> in what share it is the one that is asked for; of all kinds together, "".

  Args:
    said, legible: see `told`.
    asked: captions [n, T].
  """
  words = scene.source.notes["sprites"].words
  right = {
    kind: legible & (word_of(said, words[kind]) == word_of(asked, words[kind])) for kind in KINDS
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
  index, legible = read(scene, np.clip(np.asarray(x).round(), 0, scene.spec.levels - 1))
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
