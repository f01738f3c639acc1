"""Images read as one set: looked at once before training, and again when they are asked for."""

from __future__ import annotations

import collections
import concurrent.futures
import posixpath
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from gen_jax import core
from gen_jax.data import files as files_lib
from gen_jax.data import images, source

CAPTIONS = "captions.tsv"
TABLES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xml")
_SAYING = ("annotations", "captions", "classes", "labels", "list", "metadata")
_NO_IMAGES = TABLES + (
  ".avi", ".bin", ".gz", ".html", ".ipynb", ".log", ".md", ".mp4", ".npz", ".pdf", ".pt", ".py",
  ".rst", ".sh", ".tar", ".tgz", ".txt", ".wav", ".yaml", ".yml", ".zip",
)  # fmt: skip

PATIENCE = 20.0  # seconds for which a file that cannot be read is tried again in training
PAUSE = 1.0  # seconds after which files that could not be read at the start are tried again


class Facts(NamedTuple):
  """What a first reading of an image says of it.

  size: (width, height) in pixels.
  highest: the highest of its 16-bit values; 0 for an image of 8 bits.
  """

  size: tuple[int, int] = (0, 0)
  mode: str = ""
  error: str = ""
  highest: int = 0


def find(files: files_lib.Files, strict: bool) -> tuple[list[str], int]:
  """Names of the images, and how many others there are that are not read; the latter are said.

  Raises:
    UserError: if there is no image; or with `strict`, if an image is of a format that is not read,
      or a file cannot be looked at.
  """
  names = [name for name in files.names if name.lower().endswith(images.EXTENSIONS)]
  rest = sorted(set(files.names) - set(names))
  unread = [name for name, is_one in zip(rest, each(_other(files), rest)) if is_one]
  line = ""
  if unread:
    endings = collections.Counter(posixpath.splitext(name)[1].lower() for name in unread)
    counts = [f"{n} {ending or 'without an ending'}" for ending, n in endings.most_common(8)]
    line = (
      f"{len(unread)} files in {files.path} are not read, and seem to be images or cannot be opened"
      f" ({', '.join(counts)}): {source.some(unread)}"
    )
  if not names:
    looked = f"no images in {files.path}: looked for {' '.join(images.EXTENSIONS)}"
    raise core.UserError(f"{looked}; {line}" if line else looked)
  if line and strict:
    raise core.UserError(f"{line}; convert them to .png or .jpg, or set data.strict=False")
  if line:
    logging.warning("%s; convert them to .png or .jpg if they belong to the data.", line)
  tables = _tables(names, rest)
  if tables:
    logging.warning(
      "%s in %s: no labels or captions are read from there, but from the names of folders and from"
      " lines file<tab>caption in %s.", source.some(tables), files.path, CAPTIONS,
    )  # fmt: skip
  return names, len(unread)


def _tables(names, rest):
  """Those of other files that seem to say something of the images."""
  stem = lambda name: posixpath.splitext(name)[0]
  stems = {stem(name) for name in names}

  def says_something(name):
    base = posixpath.basename(name).lower()
    if base.endswith((".txt", ".caption")):
      return stem(name) in stems or stem(base) in _SAYING
    return base.endswith(TABLES) and posixpath.basename(name) != CAPTIONS

  return list(filter(says_something, rest))


def _other(files):
  """name -> whether this is an image all the same, or a link to nothing."""

  def look(name):
    if name.lower().endswith(images.OTHER):
      return True
    if name.lower().endswith(_NO_IMAGES):
      return False
    try:
      return images.looks_like_one(files.head(name))
    except images.BadImage:
      return True

  return look


def each[T](look: Callable[[str], T], names: Sequence[str]) -> list[T]:
  """look(name) for every name, in several threads."""
  with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor(source.THREADS) as pool:
    # Pillow warns of what `decode` refuses.
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)
    return list(pool.map(look, names))


def inspect(files: files_lib.Files, names: Sequence[str]) -> list[Facts]:
  """Decodes every image once, so that broken ones are known before training."""

  gone = set()

  def look(name):
    try:
      image = images.decode(files.read(name))
    except images.BadImage as error:
      if isinstance(error, images.Gone):
        gone.add(name)
      return Facts(error=str(error))
    return Facts(image.size, image.mode, "", image.info.get(images.HIGHEST, 0))

  found = each(look, names)
  if gone:
    time.sleep(PAUSE)
    found = [look(name) if name in gone else f for name, f in zip(names, found, strict=True)]
  highest = max((f.highest for f in found), default=0)
  if 0 < highest < 2**14:
    wide = sum(f.highest > 0 for f in found)
    logging.warning(
      "%d images in %s have 16-bit values of %d at most, which are read as parts of 65535: %d of"
      " 256 grey levels are left. Bring them to the whole range if they are of %d bits.",
      wide, files.path, highest, 1 + (highest * 255 + 32767) // 65535, highest.bit_length(),
    )  # fmt: skip
  return found


def refuse_broken(names: Sequence[str], facts: Sequence[Facts], path: str) -> None:
  """Refuses a set of which any image cannot be read.

  Raises:
    UserError: naming the first five.
  """
  broken = [f"{name} ({f.error})" for name, f in zip(names, facts, strict=True) if f.error]
  if broken:
    raise core.UserError(
      f"{len(broken)} of {len(names)} images in {path} cannot be read: {source.some(broken)}"
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
  return lambda i: images.fit(again(files, names[i]), channels, resolution, resize)


def again[T](files: files_lib.Files, name: str, decode: Callable[[bytes], T] = images.decode) -> T:
  """An image that could be read before; where it cannot now, it is tried again for PATIENCE.

  Raises:
    UserError: naming it, if it stays unreadable or has changed.
  """
  until, said = time.monotonic() + PATIENCE, False
  while True:
    try:
      return decode(files.read(name))
    except images.BadImage as error:
      if time.monotonic() >= until:
        raise core.UserError(
          f"{name} in {files.path} could be read before, and now cannot for {PATIENCE:.0f} seconds"
          f" ({error}): put it back, and the same command goes on"
        ) from error
      if not said:
        logging.warning("%s in %s cannot be read now (%s): trying again.", name, files.path, error)
      said = True
      time.sleep(min(0.2, PATIENCE))
