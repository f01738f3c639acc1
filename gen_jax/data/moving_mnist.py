"""Moving MNIST of the user's MNIST (Srivastava et al. 2015, arXiv:1502.04681, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gen_jax import core
from gen_jax.core import Array
from gen_jax.data import arrays, source, tfds, video

DIGITS = 2  # in a clip
STEP = 0.1  # from frame to frame, of the way that a digit has from edge to edge
SIDES = (32, 64)  # of a frame; the source's is 64, of digits of 28 pixels


def load(
  *, path: str, data_dir: str, frames: int, clips: int, resolution: int, validation: float,
  test: float, split_seed: int,
) -> source.Source:  # fmt: skip
  """x uint8 [T, R, R, 1] of two digits that move straight on, and are thrown back at the edges.

  Digits are those of the set's own split of the same name; splits and their sizes as in
  `video.moving`. At R = 32 digits are the means of 2x2 of their pixels, 14 wide.

  Args:
    path: of an .npz file with digits x [N, 28, 28, 1], or "" for tfds:mnist.
    data_dir: of that.
    resolution: R, 32 (also for 0) or 64.
    frames, clips, validation, test, split_seed: see `gen_jax.data.load`.

  Raises:
    UserError: where there is no MNIST, or it is of another size, or for another resolution.
  """
  side = resolution or SIDES[0]
  if side not in SIDES:
    raise core.UserError(f"data.resolution={side}: digits move on {SIDES[0]} or {SIDES[1]} pixels")
  held_out = dict(validation=validation, test=test, split_seed=split_seed)
  digits = mnist(path, data_dir, held_out)
  splits: dict[str, source.Split] = {}
  for stream, (split, size) in enumerate({"train": clips, **video.HELD_OUT}.items()):
    if split in digits.splits:
      shrunk = shrink(digits.splits[split].arrays()["x"][..., 0], side)
      rng = np.random.default_rng([split_seed, stream])
      states = walk(rng, size, frames, len(shrunk), side - shrunk.shape[1])
      splits[split] = video.Clips(states, None, {"digits": shrunk}, painter(side))
  spec = core.Spec.of((frames, side, side, 1), 256)
  return source.Source("moving:mnist", spec, splits, digest=digits.digest)


def mnist(path: str, data_dir: str, held_out: Mapping) -> source.Source:
  """The digits.

  Raises:
    UserError: where there are none, or they are not of 28 pixels.
  """
  if path:
    digits = arrays.load(path=path, **held_out)
  else:
    digits = tfds.load(
      "mnist", data_dir=data_dir, resolution=0, channels=0, resize="crop", **held_out
    )
  if digits.spec.shape != (28, 28, 1) or digits.spec.levels != 256:
    raise core.UserError(
      f"moving:mnist is made of digits [28, 28, 1] of 256 levels, not of {digits.spec.shape}"
    )
  return digits


def shrink(digits: np.ndarray, side: int) -> np.ndarray:
  """Digits uint8 [N, 28, 28] as they are on frames of 64 pixels; half as wide on those of 32."""
  if side == SIDES[1]:
    return digits
  pixels = digits.reshape(len(digits), 14, 2, 14, 2).astype(np.float32)
  return np.rint(pixels.mean((2, 4))).astype(np.uint8)


def walk(rng: np.random.Generator, n: int, frames: int, digits: int, room: int) -> np.ndarray:
  """States int32 [n, T, DIGITS, 3] of clips: which digit, and its top and left in 0..room."""
  which = rng.integers(digits, size=(n, DIGITS))
  start, angle = rng.random((n, DIGITS, 2)), 2 * np.pi * rng.random((n, DIGITS))
  speed = STEP * np.stack([np.sin(angle), np.cos(angle)], -1)
  way = start[:, None] + np.arange(frames)[:, None, None] * speed[:, None]
  # Thrown back at 0 and 1: a wave of period 2, that rises and falls.
  way = way % 2
  corner = np.rint(np.minimum(way, 2 - way) * room)
  which = np.broadcast_to(which[:, None, :, None], (n, frames, DIGITS, 1))
  return np.concatenate([which, corner], -1).astype(np.int32)


def painter(side: int):
  """(tables, states [..., DIGITS, 3]) -> x uint8 [..., side, side, 1], where digits meet the
  brighter."""
  pixel = np.arange(side)

  def paint(tables: Mapping, states: Array | np.ndarray) -> Array | np.ndarray:
    digits = tables["digits"]
    width = digits.shape[1]
    which, top, left = (states[..., i, None] for i in range(3))
    row, column = pixel - top, pixel - left
    inside = lambda at: (at >= 0) & (at < width)
    at = row.clip(0, width - 1)[..., :, None], column.clip(0, width - 1)[..., None, :]
    seen = inside(row)[..., :, None] & inside(column)[..., None, :]
    return (digits[(which[..., None], *at)] * seen).max(-3)[..., None]

  return paint
