"""Binary versions of image sources: x in {0, 1}, the other fields as they are."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable

import numpy as np

from gen_jax import core
from gen_jax.data import source

_CHUNK = 4096  # examples whose random numbers are in memory at once


def binarize(data: source.Source, how: str, seed: int) -> source.Source:
  """The source with binary pixels; its examples are still read when they are asked for.

  Args:
    data: of images with grey levels; channels are treated as pixels of their own.
    how: "static" makes a pixel 1 with the probability of its intensity, once for all: which pixels
      is a pure function of (seed, split, position of the example). "threshold" makes it 1 from
      half intensity on. "" leaves everything as it is.
    seed: of "static".

  Raises:
    UserError: for data that are not images with grey levels.
  """
  if not how:
    return data
  spec = data.spec
  if len(spec.shape) != 3 or spec.levels is None:
    raise core.UserError(
      f"data.binarize={how} needs images with grey levels, and {data.name} has examples of shape"
      f" {spec.shape}: leave it empty"
    )

  def binary(name):
    high = spec.levels - 1
    if how == "threshold":
      return lambda x, first: 2 * x.astype(np.int64) >= high
    return lambda x, first: uniform(seed, name, first, x.shape) * high < x

  splits = {name: Binary(split, binary(name)) for name, split in data.splits.items()}
  return data._replace(spec=spec._replace(x=spec.x._replace(levels=2)), splits=splits)


def uniform(seed: int, split: str, first: int, shape: tuple[int, ...]) -> np.ndarray:
  """Random numbers in [0, 1) for the examples at positions first, first + 1, ... of a split.

  Those of an example depend on seed, split and its position only.

  Args:
    seed, split: of the stream.
    first: position of the first example.
    shape: (n, ...), n examples.

  Returns:
    [n, ...] float64.
  """
  dims = math.prod(shape[1:])
  blocks = -(-dims // 4)  # Philox makes four numbers at each count of its counter
  key = np.array([seed % 2**64, zlib.crc32(split.encode())], np.uint64)
  # Raw bits, as numpy keeps a bit generator's stream for ever.
  bits = np.random.Philox(key=key, counter=first * blocks).random_raw(shape[0] * blocks * 4)
  bits = bits.reshape(shape[0], -1)[:, :dims] >> np.uint64(11)
  return (bits * 2.0**-53).reshape(shape)


class Binary(source.Split):
  """A split whose x are made binary as they are read.

  Args:
    split: with grey images.
    binary: (x [n, H, W, C], position of the first) -> [n, H, W, C] bool.
  """

  def __init__(self, split: source.Split, binary: Callable[[np.ndarray, int], np.ndarray]):
    self._split, self._binary = split, binary

  def __len__(self) -> int:
    return len(self._split)

  def take(self, index: np.ndarray) -> source.Example:
    examples = self._split.take(index)
    x = [self._binary(x[None], int(i)) for x, i in zip(examples["x"], index, strict=True)]
    return {**examples, "x": np.concatenate(x).astype(np.uint8)}

  def arrays(self) -> source.Example:
    arrays = self._split.arrays()
    x = np.empty(arrays["x"].shape, np.uint8)
    for first in range(0, len(x), _CHUNK):
      x[first : first + _CHUNK] = self._binary(arrays["x"][first : first + _CHUNK], first)
    return {**arrays, "x": x}
