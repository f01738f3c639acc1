"""Examples of the user's own: image or text files as a trained model takes them."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from gen_jax import core
from gen_jax.data import files as files_lib
from gen_jax.data import gallery, images
from gen_jax.data.vocabulary import SPECIAL, Vocabulary, split_words


class Inputs(NamedTuple):
  """names: of the examples, for files made of them. x: each an example [...]; of one shape, but for
  models that take images of any size. sizes: (height, width) of each image before it was padded to
  a multiple of the model's stride; () otherwise."""

  names: tuple[str, ...]
  x: tuple[np.ndarray, ...]
  sizes: tuple[tuple[int, int], ...] = ()


def is_text(field: core.Field) -> bool:
  """Whether examples of a field are sentences: sequences of the tokens of a vocabulary."""
  return len(field.shape) == 1 and field.names[: len(SPECIAL)] == SPECIAL


def read_input(
  path: str | Path, field: core.Field, stride: int = 0, tokens: str = "words"
) -> Inputs:
  """An image file, all of a folder, or a text file of one sentence a line.

  Args:
    path: of the file or folder.
    field: what x is. Images are brought to its channels and grey levels and, unless there is a
      stride, cropped about their centre and resized to its shape; with 2 or 4 channels the last is
      their alpha. Words that the vocabulary lacks become <unk>.
    stride: images keep their size, padded by their border to multiples of this; 0 for the field's
      own size.
    tokens: of sentences: see `gen_jax.data.load`.

  Raises:
    UserError: if nothing can be read there, in one line.
  """
  root, alpha = Path(path).expanduser(), len(field.shape) == 3 and field.shape[-1] in (2, 4)
  if is_text(field):
    return read_text(root, field, str.split if tokens == "spaces" else split_words)
  if len(field.shape) != 3 or field.levels is None:
    raise core.UserError(f"--input reads images and sentences, not examples of shape {field.shape}")
  if root.is_dir():
    inside = files_lib.open_top(str(root))
    files = [Path(name) for name in gallery.find(inside, strict=False)[0]]
    pictures = [opened(lambda f=f: inside.read(str(f)), root / f, alpha) for f in files]
  else:
    files = [root]
    read = lambda: files_lib.read_file(str(root), images.MAX_BYTES, "--input")
    pictures = [opened(read, root, alpha)]
  x = [to_levels(fitted(p, field, stride), field.levels) for p in pictures]
  sizes = tuple((p.height, p.width) for p in pictures) if stride else ()
  stems = collections.Counter(file.stem for file in files)
  names = [file.stem if stems[file.stem] == 1 else file.name for file in files]
  return Inputs(tuple(names), tuple(x), sizes)


def opened(read: Callable[[], bytes], file: Path, alpha: bool = False) -> Image.Image:
  """A decoded image.

  Raises:
    UserError: naming the file.
  """
  try:
    return images.decode(read(), alpha)
  except images.BadImage as error:
    raise core.UserError(f"--input={file} cannot be read: {error}") from error


def fitted(image: Image.Image, field: core.Field, stride: int) -> np.ndarray:
  """uint8 [H, W, C] of the field's shape, or of its own size padded to multiples of the stride."""
  height, width, channels = field.shape
  image = image.convert({1: "L", 2: "LA", 4: "RGBA"}.get(channels, "RGB"))
  if not stride:
    image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
  x = np.asarray(image).reshape(image.height, image.width, channels)
  if stride:
    more = [math.ceil(n / stride) * stride - n for n in x.shape[:2]]
    x = np.pad(x, ((0, more[0]), (0, more[1]), (0, 0)), mode="edge")
  return x


def to_levels(x: np.ndarray, levels: int) -> np.ndarray:
  """Bytes as grey levels 0..levels-1."""
  if levels == 256:
    return x
  return np.round(x / 255 * (levels - 1)).astype(np.min_scalar_type(levels - 1))


def read_text(file: Path, field: core.Field, words_of: Callable = split_words) -> Inputs:
  """The sentences of a file, one a line, each cut into words by `words_of`."""
  content = files_lib.read_file(str(file), images.MAX_BYTES, "--input")
  try:
    lines = content.decode("utf-8").splitlines()
  except UnicodeDecodeError as error:
    raise core.UserError(f"--input={file} cannot be read as UTF-8 text: {error}") from error
  if not any(line.strip() for line in lines):
    raise core.UserError(f"--input={file} has no sentences")
  most, vocabulary = field.shape[0] - 2, Vocabulary(field.names)
  for number, line in enumerate(lines, 1):
    words = len(words_of(line))
    if not 0 < words <= most:
      raise core.UserError(
        f"--input={file}, line {number} has {words} words, and 1 to {most} are read: leave it out"
      )
  x = tuple(vocabulary.encode_words(words_of(line), field.shape[0]) for line in lines)
  return Inputs(tuple(f"{file.stem}-{i}" for i in range(len(x))), x)
