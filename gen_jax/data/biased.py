"""Pictures whose colour goes with their class in training and not in testing, made by rule.

In the manner of the biased MNIST of Kim et al. 2019. The field `group` is the colour: it says how a
classifier treats pictures of either, or is what debiasing takes away.
"""

from __future__ import annotations

import colorsys

import numpy as np

from gen_jax import core
from gen_jax.data import digits, shapes, source

WARM = ("red", "yellow", "magenta")


class _Rows(source.Split):
  """Sprites at some positions, as hearts or others, warm or cool."""

  def __init__(self, rows: np.ndarray, resolution: int):
    self._rows, self._resolution = rows, resolution

  def __len__(self) -> int:
    return len(self._rows)

  def take(self, index: np.ndarray) -> source.Example:
    rows = self._rows[index]
    heart, cool = kinds(rows)
    x = shapes.render(rows, self._resolution)["x"]
    return {"x": x, "label": heart.astype(np.int32), "group": cool.astype(np.int32)}


def kinds(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Whether the sprites at positions [N] are hearts, and of a cool colour, bool [N] each."""
  factors = shapes.factors_of(index)
  warm = [shapes.FACTORS["colour"].index(name) for name in WARM]
  return factors[:, 0] == shapes.FACTORS["shape"].index("heart"), ~np.isin(factors[:, 1], warm)


def hearts(
  *, resolution: int, validation: float, test: float, split_seed: int, tint: float = 0.95
) -> source.Source:
  """Sprites: is it a heart? Of the hearts to learn from, `tint` are red, yellow or magenta, where
  of the other shapes, and of hearts in the test split, half are.

  Args:
    resolution, validation, test, split_seed: see `gen_jax.data.load`.
    tint: share of the training and validation hearts in warm colours; at least half.

  Returns:
    A source with x uint8 [R, R, 3], label (other, heart), group (warm, cool).

  Raises:
    UserError: for a resolution that sprites do not have, or a share below a half.
  """
  resolution = shapes.check_resolution(resolution)
  if tint < 0.5:
    raise core.UserError(f"data.tint={tint}: warm hearts are half of the hearts or more, to 1")
  held_out = dict(validation=validation, test=test, seed=split_seed)
  splits = {}
  for name, (_, rows) in source.hold_out({"train": shapes.SIZE}, **held_out).items():
    if name != "test":
      heart, cool = kinds(rows)
      rare = np.flatnonzero(heart & cool)
      count = min(round((heart & ~cool).sum() * (1 - tint) / tint), len(rare))
      left = rare[core.permutation(len(rare), split_seed)[count:]]
      rows = np.delete(rows, left)
    splits[name] = _Rows(rows, resolution)
  spec = core.Spec.of(
    (resolution, resolution, 3), 256, 2, ("other", "heart"),
    group=core.Field((), 2, ("warm", "cool")),
  )  # fmt: skip
  return source.Source("shapes:hearts", spec, splits)


COLOURS = tuple(tuple(round(v * 255) for v in colorsys.hsv_to_rgb(i / 10, 1, 1)) for i in range(10))


def dyed(grey: np.ndarray, colour: np.ndarray) -> np.ndarray:
  """Pictures [N, H, W, 1] in 0..255 in the colours of these numbers [N], uint8 [N, H, W, 3]."""
  tone = np.array(COLOURS, np.float64) / 255
  return np.rint(grey * tone[colour][:, None, None]).astype(np.uint8)


def tinted(*, validation: float, test: float, split_seed: int, tint: float = 0.95) -> source.Source:
  """Digits in ten colours: in training class c has colour c with probability `tint`, or else one of
  the others; in the test split all colours are as likely.

  Returns:
    A source with x uint8 [8, 8, 3], label and group, the colour, 0..9.
  """
  plain = digits.load(validation=validation, test=test, split_seed=split_seed)
  splits = {}
  for stream, (name, split) in enumerate(plain.splits.items()):
    held = split.arrays()
    label, rng = held["label"], np.random.default_rng([split_seed, stream])
    other = (label + rng.integers(1, 10, len(label))) % 10
    own = np.where(rng.random(len(label)) < tint, label, other)
    group = rng.integers(10, size=len(label)) if name == "test" else own
    x = dyed(held["x"] * (255 / 16), group)
    arrays = {"x": x, "label": label, "group": group.astype(np.int32)}
    splits[name] = source.ArraySplit(arrays)
  names = plain.spec.fields["label"].names
  spec = core.Spec.of((8, 8, 3), 256, 10, names, group=core.Field((), 10))
  return source.Source("digits:tinted", spec, splits)
