"""Pairs of images and pairs of domains made by rule, so that the right answer is known.

RULES turn each picture x into one picture y, its counterpart. "pairs:NAME" gives both together;
"domains:NAME" trains on pictures x and y of which none is another's counterpart, and its validation
and test splits hold counterparts, by which a translation is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gen_jax import core
from gen_jax.data import binarize, digits, shapes, source

NOISE = 0.5  # standard deviation, of pixels in [0, 1]
SEGMENTED = 16000  # sprites of pairs:segmentation


class Rule(NamedTuple):
  """A set of counterparts.

  size: how many there are.
  pair: positions [n] -> {x, y, label, label_y} of n examples.
  spec: of x and label; y is as x.
  counterpart: x [n, ...] -> y [n, ...] where one can be told from the other, or None.
  mask: pictures [n, H, W, C] -> which pixels [n, H, W] are of the thing seen, or None.
  """

  size: int
  pair: Callable[[np.ndarray], source.Example]
  spec: core.Spec
  counterpart: Callable[[np.ndarray], np.ndarray] | None = None
  mask: Callable[[np.ndarray], np.ndarray] | None = None


def _sprites(factor: str, before: str, after: str, counterpart=None):
  """Sprites with one value of a factor and with another, all other factors the same."""
  axis = list(shapes.FACTORS).index(factor)
  values = [shapes.FACTORS[factor].index(value) for value in (before, after)]

  def rule(resolution: int) -> Rule:
    resolution = shapes.check_resolution(resolution)
    factors = shapes.factors_of(np.arange(shapes.SIZE))
    factors = factors[factors[:, axis] == values[0]]
    partners = factors.copy()
    partners[:, axis] = values[1]
    index, other = shapes.index_of(factors), shapes.index_of(partners)

    def pair(i):
      x, y = (shapes.render(of[i], resolution) for of in (index, other))
      return {"x": x["x"], "y": y["x"], "label": x["label"], "label_y": y["label"]}

    spec = core.Spec.of((resolution, resolution, 3), 256, shapes.GRID[0], shapes.FACTORS["shape"])
    return Rule(len(index), pair, spec, counterpart, shapes.mask)

  return rule


def _inverted(resolution: int) -> Rule:
  """Digits, black and white exchanged."""
  if resolution not in (0, 8):
    raise core.UserError(f"data.resolution={resolution}: the digits are of 8x8 pixels, take 0 or 8")
  whole = digits.load(validation=0, test=0, split_seed=0)
  held = whole.splits["train"].arrays()
  invert = lambda x: (whole.spec.levels - 1 - x).astype(x.dtype)

  def pair(i):
    x, label = held["x"][i], held["label"][i]
    return {"x": x, "y": invert(x), "label": label, "label_y": label}

  return Rule(len(held["x"]), pair, whole.spec, invert)


# Red is the first channel and blue the last: the colours change places with the channels.
RULES: dict[str, Callable[[int], Rule]] = {
  "colour": _sprites("colour", "red", "blue", lambda x: x[..., ::-1]),
  "shape": _sprites("shape", "square", "ellipse"),
  "inverted": _inverted,
}


class _Rows(source.Split):
  """Some fields of the examples of a rule at some positions."""

  def __init__(self, read: Callable, rows: np.ndarray, names: tuple[str, ...]):
    self._read, self._rows, self._names = read, rows, names

  def __len__(self) -> int:
    return len(self._rows)

  def of(self, *names: str) -> _Rows:
    """The same examples, with these fields."""
    return _Rows(self._read, self._rows, names)

  def take(self, index: np.ndarray) -> source.Example:
    examples = self._read(self._rows[index])
    return {name: examples[name] for name in self._names}


def pairs(name: str, *, resolution: int, validation: float, test: float, split_seed: int):
  """x, its counterpart y (aligned) and the label of x, of one of RULES.

  Returns:
    A source; `notes["counterpart"]` is x -> y where the rule has one, `notes["mask"]` the rule's;
      `notes["counterparts"]` says that the splits hold them.
  """
  rule = RULES[name](resolution)
  split = dict(validation=validation, test=test, seed=split_seed)
  fields = {**rule.spec.fields, "y": rule.spec.x._replace(aligned=name != "shape")}
  splits = {
    part: _Rows(rule.pair, rows, ("x", "y", "label"))
    for part, (_, rows) in source.hold_out({"train": rule.size}, **split).items()
  }
  known = {"counterpart": rule.counterpart, "mask": rule.mask}
  notes = {name: value for name, value in known.items() if value is not None}
  notes["counterparts"] = True
  return source.Source(f"pairs:{name}", rule.spec._replace(fields=fields), splits, notes)


def domains(name: str, *, resolution: int, validation: float, test: float, split_seed: int):
  """x with its label, and y with its own, label_y, of the other domain, of one of RULES.

  The training examples are halved at random: one half is seen as x, the other as y, and each has an
  order of its own. In the other splits y is the counterpart of x.

  Returns:
    A source; `notes["counterpart"]` is x -> y where the rule has one, and `notes["counterparts"]`
    says that the other splits hold them.
  """
  paired = pairs(
    name, resolution=resolution, validation=validation, test=test, split_seed=split_seed
  )
  rule = RULES[name](resolution)
  _, rows = source.hold_out(
    {"train": rule.size}, validation=validation, test=test, seed=split_seed
  )["train"]
  halves = source.partition(len(rows), {"x": 0.5, "y": 0.5}, split_seed)
  train = source.Unpaired(
    _Rows(rule.pair, rows[halves["x"]], ("x", "label")),
    _Rows(rule.pair, rows[halves["y"]], ("y", "label_y")),
  )
  splits = {
    part: split.of("x", "y", "label", "label_y") for part, split in paired.splits.items()
  } | {"train": train}
  fields = {**rule.spec.fields, "y": rule.spec.x, "label_y": rule.spec.fields["label"]}
  spec = rule.spec._replace(fields=fields)
  return source.Source(f"domains:{name}", spec, splits, paired.notes)


def segmentation(*, resolution: int, validation: float, test: float, split_seed: int):
  """Sprites under noise, and which shape each pixel belongs to.

  x: uint8 [R, R, 3], Gaussian noise of standard deviation NOISE on pixels in [0, 1], rounded and
    cut to 0..255; a pure function of split_seed and the sprite.
  y: uint8 [R, R, 3], the picture without noise.
  segmentation: uint8 [R, R], 0 for background, 1 + shape where the sprite covers at least half the
    pixel.
  label: the shape.
  """
  from scipy.special import ndtri

  resolution = shapes.check_resolution(resolution)
  which = source.partition(shapes.SIZE, {"set": SEGMENTED / shapes.SIZE}, 0)["set"]

  def read(index):
    clean = shapes.render(index, resolution)
    one = (1, *clean["x"].shape[1:])
    draws = [binarize.uniform(split_seed, "noise", int(i), one) for i in index]
    # Of a draw that is rounded to 0 or 1 the noise is infinite, and the pixel black or white.
    noise = ndtri(np.concatenate(draws).astype(np.float32))
    noisy = clean["x"] + np.float32(255 * NOISE) * noise
    return {
      "x": np.clip(np.rint(noisy), 0, 255).astype(np.uint8),
      "y": clean["x"],
      "segmentation": clean["segmentation"] * (1 + clean["label"][:, None, None]).astype(np.uint8),
      "label": clean["label"],
    }

  names = ("background", *shapes.FACTORS["shape"])
  square = (resolution, resolution)
  spec = core.Spec.of(
    (*square, 3), 256, shapes.GRID[0], shapes.FACTORS["shape"],
    y=core.Field((*square, 3), 256, aligned=True),
    segmentation=core.Field(square, len(names), names, aligned=True),
  )  # fmt: skip
  chosen = source.hold_out({"train": len(which)}, validation=validation, test=test, seed=split_seed)
  splits = {
    part: _Rows(read, which[rows], ("x", "y", "segmentation", "label"))
    for part, (_, rows) in chosen.items()
  }
  return source.Source("pairs:segmentation", spec, splits)
