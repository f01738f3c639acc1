"""Coloured sprites on black with known factors of variation, made by rule.

In the manner of dSprites (Matthey et al. 2017), with colour. Orientations span less than a
quarter turn, so that no two combinations of factors give the same picture of a square, and the
factors of any picture are identifiable.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import NamedTuple, Sequence

import numpy as np

from gen_jax import core
from gen_jax.data import source, vocabulary
from gen_jax.schema import nearest

COLOURS = {
  "red": (255, 0, 0),
  "green": (0, 255, 0),
  "blue": (0, 0, 255),
  "yellow": (255, 255, 0),
  "magenta": (255, 0, 255),
  "cyan": (0, 255, 255),
}

# Name -> values in the order of the factor's index. Lengths are in frames (1 is the picture's
# width): `scale` is the radius of the circle around the sprite, `x` and `y` the position of its
# centroid from the left and from the top. `orientation` is in degrees, counterclockwise.
FACTORS = {
  "shape": ("square", "ellipse", "heart", "triangle"),
  "colour": tuple(COLOURS),
  "scale": tuple(8.5 / 32 * s for s in (0.4, 0.6, 0.8, 1.0)),
  "orientation": (0, 15, 30, 45, 60, 75),
  "x": tuple((9 + 2 * i) / 32 for i in range(8)),
  "y": tuple((9 + 2 * i) / 32 for i in range(8)),
}
GRID = tuple(len(values) for values in FACTORS.values())
SIZE = math.prod(GRID)

_SCALE_WORDS = ("tiny", "small", "medium", "large")
_ROWS = ("top",) * 3 + ("",) * 2 + ("bottom",) * 3
_COLUMNS = ("left",) * 3 + ("",) * 2 + ("right",) * 3
VOCABULARY = vocabulary.Vocabulary(
  vocabulary.SPECIAL
  + ("a", *_SCALE_WORDS, *COLOURS, *FACTORS["shape"])
  + ("at", "the", "top", "bottom", "left", "right", "centre")
)
CAPTION_LENGTH = 10  # <bos> a large red heart at the top left <eos>

LEFT_OUT = "left_out"  # the split of the combinations that no other has

_OVERSAMPLING = 8


def factors_of(index: np.ndarray) -> np.ndarray:
  """Factor indices int32 [..., 6], in the order of FACTORS, of positions [...] in the set."""
  return np.stack(np.unravel_index(index, GRID), -1).astype(np.int32)


def index_of(factors: np.ndarray) -> np.ndarray:
  """Positions int64 [...] in the set of factor indices [..., 6]."""
  return np.ravel_multi_index(tuple(np.moveaxis(np.asarray(factors), -1, 0)), GRID)


def caption_of(factors: Sequence[int]) -> str:
  """The caption of one sprite with factor indices [6]; it leaves out the orientation."""
  shape, colour, scale, _, x, y = factors
  place = " ".join(filter(None, (_ROWS[y], _COLUMNS[x]))) or "centre"
  words = _SCALE_WORDS[scale], FACTORS["colour"][colour], FACTORS["shape"][shape]
  return f"a {' '.join(words)} at the {place}"


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
  """Whether points (u right, v up) are in the shape of centroid 0 and circumradius 1."""
  if shape == "square":
    return np.maximum(abs(u), abs(v)) <= math.sqrt(0.5)
  if shape == "ellipse":
    return u**2 + (v / 0.6) ** 2 <= 1
  if shape == "triangle":
    return np.maximum(-v, v / 2 + math.sqrt(0.75) * abs(u)) <= 0.5
  # A heart is a square on its corner with half a disc on each upper side.
  lobe = math.pi / 4
  centroid = lobe * (0.5 + 2 / (3 * math.pi)) * math.sqrt(0.5) / (1 + lobe)
  side = 1 / (math.sqrt(0.5) + centroid)
  u, v = abs(u) / side, v / side + centroid
  disc = (u - math.sqrt(0.125)) ** 2 + (v - math.sqrt(0.125)) ** 2 <= 0.25
  return disc | (u + abs(v) <= math.sqrt(0.5))


@functools.lru_cache(maxsize=2)
def coverage(resolution: int) -> np.ndarray:
  """Coverage uint8 [4, 4, 6, 8, 8, R, R] in 0..255 by shape, scale, orientation, x and y."""
  fine = resolution * _OVERSAMPLING
  step = fine // 16  # from one position to the next
  reach = 7 * step
  # Every position is a window of one large canvas, whose sprite is at the windows' first
  # position seen from the last window.
  centre = FACTORS["x"][0] * fine + reach
  u = np.arange(fine + reach) + 0.5 - centre
  u, v = np.meshgrid(u, -u)
  counts = [GRID[i] for i in (0, 2, 3, 4, 5)]
  out = np.empty((*counts, resolution, resolution), np.uint8)
  for shape, scale, turn in itertools.product(*map(range, counts[:3])):
    angle = math.radians(FACTORS["orientation"][turn])
    cos, sin = (f(angle) / (FACTORS["scale"][scale] * fine) for f in (math.cos, math.sin))
    canvas = _inside(FACTORS["shape"][shape], cos * u + sin * v, cos * v - sin * u)
    # Sums over blocks are differences of this, the sums over all above and to the left.
    total = np.zeros((fine + reach + 1,) * 2, np.int32)
    total[1:, 1:] = canvas.cumsum(0, dtype=np.int32).cumsum(1)
    for x, y in np.ndindex(*counts[3:]):
      left, top = reach - x * step, reach - y * step
      window = total[top : top + fine + 1, left : left + fine + 1]
      covered = np.diff(np.diff(window[::_OVERSAMPLING, ::_OVERSAMPLING], axis=0), axis=1)
      out[shape, scale, turn, x, y] = np.rint(covered * (255 / _OVERSAMPLING**2))
  return out


def render(index: np.ndarray, resolution: int = 32) -> source.Example:
  """The examples at positions [N] of the set, a pure function of the arguments.

  Args:
    index: [N] in 0..SIZE-1.
    resolution: R, even.

  Returns:
    x: uint8 [N, R, R, 3].
    label: int32 [N], the shape.
    factors: int32 [N, 6], indices in the order of FACTORS.
    caption: int32 [N, 10], tokens of VOCABULARY.
    segmentation: uint8 [N, R, R], 1 where the sprite covers at least half the pixel.
  """
  factors = factors_of(index)
  shape, colour, scale, orientation, x, y = factors.T.copy()
  mask = coverage(resolution)[shape, scale, orientation, x, y]
  bright = np.array(list(COLOURS.values()), np.uint8) // 255
  return {
    "x": mask[..., None] * bright[colour][:, None, None],
    "label": shape,
    "factors": factors,
    "caption": _captions()[shape, colour, scale, x, y],
    "segmentation": (mask >= 128).astype(np.uint8),
  }


def mask(x: np.ndarray) -> np.ndarray:
  """Which pixels bool [n, R, R] of sprites x uint8 [n, R, R, 3] are covered by half or more."""
  return x.max(-1) >= 128


@functools.cache
def _captions() -> np.ndarray:
  """Tokens int32 [4, 6, 4, 8, 8, 10] by shape, colour, scale, x and y."""
  counts = [GRID[i] for i in (0, 1, 2, 4, 5)]
  encode = functools.cache(lambda text: VOCABULARY.encode(text, CAPTION_LENGTH))
  tokens = [encode(caption_of((*f[:3], 0, *f[3:]))) for f in np.ndindex(*counts)]
  return np.stack(tokens).reshape(*counts, CAPTION_LENGTH)


class _Sprites(source.Split):
  """A split of the set."""

  def __init__(self, indices: np.ndarray, resolution: int):
    self._indices, self._resolution = indices, resolution

  def __len__(self) -> int:
    return len(self._indices)

  def take(self, index: np.ndarray) -> source.Example:
    return render(self._indices[index], self._resolution)


class Sprites(NamedTuple):
  """How pictures of the set are read back.

  size: how many there are. draw: positions [n] -> x uint8 [n, R, R, 3]. factors_of: positions ->
  [n, 6]. captions_of: positions -> tokens [n, T]. counts: factor -> number of its values, in order.
  words: kind of word -> its tokens, of which a caption has one or, of a row or column, none.
  """

  size: int
  draw: Callable[[np.ndarray], np.ndarray]
  factors_of: Callable[[np.ndarray], np.ndarray]
  captions_of: Callable[[np.ndarray], np.ndarray]
  counts: dict[str, int]
  words: dict[str, tuple[int, ...]]


def sprites(resolution: int) -> Sprites:
  """The set at that resolution."""
  kinds = {
    "size": _SCALE_WORDS, "colour": tuple(COLOURS), "shape": FACTORS["shape"],
    "row": ("top", "bottom"), "column": ("left", "right"),
  }  # fmt: skip

  def captions_of(index):
    shape, colour, scale, _, x, y = factors_of(index).T
    return _captions()[shape, colour, scale, x, y]

  return Sprites(
    SIZE,
    lambda index: render(index, resolution)["x"],
    factors_of,
    captions_of,
    dict(zip(FACTORS, GRID)),
    {kind: tuple(VOCABULARY.words.index(word) for word in words) for kind, words in kinds.items()},
  )


def check_resolution(resolution: int) -> int:
  """The resolution of the pictures, 32 for 0.

  Raises:
    UserError: for an odd one or one outside 8..128.
  """
  resolution = resolution or 32
  if resolution % 2 or not 8 <= resolution <= 128:
    raise core.UserError(
      f"data.resolution={resolution}: shapes are drawn at even resolutions from 8 to 128"
    )
  return resolution


def combinations(leave_out: Sequence[str]) -> np.ndarray:
  """Which positions bool [SIZE] are of one of these colours and shapes, such as "red heart".

  Raises:
    UserError: for what is none, and where none is left of a colour or a shape.
  """
  shape, colour, *_ = factors_of(np.arange(SIZE)).T
  known = {
    f"{of_colour} {of_shape}": (i, j)
    for i, of_shape in enumerate(FACTORS["shape"])
    for j, of_colour in enumerate(COLOURS)
  }
  out = np.zeros(SIZE, bool)
  for name in leave_out:
    if name not in known:
      raise core.UserError(
        f"data.leave_out: no {name!r} here{nearest(name, known)}; such as 'red heart'"
      )
    i, j = known[name]
    out |= (shape == i) & (colour == j)
  if (alone := len(np.unique(shape[~out])) < GRID[0]) or len(np.unique(colour[~out])) < GRID[1]:
    what = "shape" if alone else "colour"
    raise core.UserError(f"data.leave_out leaves no sprite of some {what}: leave out fewer")
  return out


def load(
  *, resolution: int, validation: float, test: float, split_seed: int,
  leave_out: tuple[str, ...] = (),
) -> source.Source:  # fmt: skip
  """36864 sprites, as `render` gives them.

  Args:
    resolution: of the pictures in pixels, 0 for 32.
    validation, test, split_seed: see `gen_jax.data.load`.
    leave_out: colours and shapes of the split `LEFT_OUT` alone, see `combinations`.

  Returns:
    A source; `notes["sprites"]` reads its pictures back.

  Raises:
    UserError: for an odd resolution or one outside 8..128, or colours and shapes that are none.
  """
  resolution = check_resolution(resolution)
  spec = core.Spec.of(
    (resolution, resolution, 3), 256, GRID[0], FACTORS["shape"],
    factors=core.Field((len(GRID),), max(GRID)),
    caption=core.Field((CAPTION_LENGTH,), len(VOCABULARY), VOCABULARY.words),
    segmentation=core.Field((resolution, resolution), 2, ("background", "sprite"), aligned=True),
  )  # fmt: skip
  out = combinations(leave_out)
  kept = np.flatnonzero(~out)
  chosen = source.hold_out({"train": len(kept)}, validation=validation, test=test, seed=split_seed)
  splits = {name: _Sprites(kept[where], resolution) for name, (_, where) in chosen.items()}
  if out.any():
    splits[LEFT_OUT] = _Sprites(np.flatnonzero(out), resolution)
  return source.Source("shapes", spec, splits, {"sprites": sprites(resolution)})
