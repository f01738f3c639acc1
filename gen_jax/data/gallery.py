"""Images read as one set: looked at once before training, and again when they are asked for."""

from __future__ import annotations

import collections
import concurrent.futures
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from gen_jax import core
from gen_jax.data import files as files_lib
from gen_jax.data import images, source


class Facts(NamedTuple):
  """What a first reading of an image says of it; size is (width, height) in pixels."""

  size: tuple[int, int] = (0, 0)
  mode: str = ""
  error: str = ""


def each[T](look: Callable[[str], T], names: Sequence[str]) -> list[T]:
  """look(name) for every name, in several threads."""
  with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor(source.THREADS) as pool:
    # Pillow warns of what `decode` refuses.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return list(pool.map(look, names))


def inspect(files: files_lib.Files, names: Sequence[str]) -> list[Facts]:
  """Decodes every image once, so that broken ones are known before training."""

  def look(name):
    try:
      image = images.decode(files.read(name))
    except images.BadImage as error:
      return Facts(error=str(error))
    return Facts(image.size, image.mode)

  return each(look, names)


def some(items: Sequence[str]) -> str:
  """The first five, and how many there are more."""
  return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def refuse_broken(names: Sequence[str], facts: Sequence[Facts], path: str) -> None:
  """Refuses a set of which any image cannot be read.

  Raises:
    UserError: naming the first five.
  """
  broken = [f"{name} ({f.error})" for name, f in zip(names, facts, strict=True) if f.error]
  if broken:
    raise core.UserError(
      f"{len(broken)} of {len(names)} images in {path} cannot be read: {some(broken)}"
    )


def common_size(sizes: Sequence[tuple[int, int]], resolution: int, path: str) -> tuple[int, int]:
  """(H, W) in pixels that the images have, or are brought to.

  Raises:
    UserError: if they have several sizes, and no resolution is given.
  """
  if resolution:
    return resolution, resolution
  found = collections.Counter(sizes)
  if len(found) > 1:
    examples = [f"{w}x{h}" for (w, h), _ in found.most_common(3)]
    raise core.UserError(
      f"the images in {path} have {len(found)} sizes ({', '.join(examples)}...): "
      "set data.resolution, such as 64"
    )
  return sizes[0][::-1]


def common_channels(facts: Sequence[Facts]) -> int:
  """1 where most images are grey, else 3."""
  return 1 if 2 * sum(f.mode == "L" for f in facts) > len(facts) else 3


def reader(
  files: files_lib.Files, names: Sequence[str], channels: int, resolution: int, resize: str
) -> Callable[[int], np.ndarray]:
  """i -> the pixels of image i, uint8 [H, W, C]."""
  return lambda i: images.fit(images.decode(files.read(names[i])), channels, resolution, resize)
