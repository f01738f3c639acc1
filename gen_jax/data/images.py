"""From the bytes of an image file to pixels of the asked shape."""

from __future__ import annotations

import io
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps

from gen_jax.data import source

EXTENSIONS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".pgm", ".ppm", ".pbm", ".pnm")

Resize = Literal["crop", "pad", "stretch"]
RESIZE = get_args(Resize)

MAX_BYTES = 2**28  # of one file
MAX_PIXELS = 2**26  # of one image

# The formats of EXTENSIONS only: others that Pillow knows start external programs.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "PPM")


class BadImage(ValueError):
  """A file that is not an image that can be read; the message says why."""


def decode(data: bytes) -> Image.Image:
  """Reads an image file: PNG, JPEG, GIF (first frame), BMP, WebP, PGM, PPM or PBM.

  Sixteen-bit grey is scaled to 8 bits, transparent pixels are laid on white, palettes are looked
  up, and the orientation that a camera noted is applied.

  Args:
    data: the file's bytes.

  Returns:
    An image of mode "L" or "RGB" whose pixels are in memory.

  Raises:
    BadImage: for a file that is broken, cut short, of another format, or of more than MAX_PIXELS
      pixels; the last before memory is taken for them.
  """
  image = _load(data)
  try:
    return plain(image)
  except BadImage:
    raise
  except Exception as error:
    raise BadImage(source.reason(error)) from error


def decode_labels(data: bytes) -> np.ndarray:
  """Reads a label image: the indices of its palette, or its grey values, as they stand.

  Returns:
    integers [H, W].

  Raises:
    BadImage: see `decode`; or for an image in colours without a palette.
  """
  image = _load(data)
  if image.mode not in ("1", "L", "P") and not image.mode.startswith("I"):
    raise BadImage(f"a label image is grey or has a palette, and this one is {image.mode}")
  return np.asarray(image).astype(np.int64)


def _load(data: bytes) -> Image.Image:
  try:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
      if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"{image.width} x {image.height} is more than {MAX_PIXELS} pixels")
      image.load()
      return ImageOps.exif_transpose(image)
  except BadImage:
    raise
  except Image.UnidentifiedImageError:
    raise BadImage("not an image") from None
  except Exception as error:  # Pillow's readers raise whatever a broken file makes them trip over
    raise BadImage(source.reason(error)) from error


def plain(image: Image.Image) -> Image.Image:
  """The image as "L" or "RGB", transparent pixels laid on white."""
  if image.mode == "F":
    raise BadImage("floating-point pixels")
  if image.mode.startswith("I"):
    wide = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    return Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
  grey = image.mode in ("1", "L", "LA")
  if image.has_transparency_data:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  return image.convert("L" if grey else "RGB")


def fit(image: Image.Image, channels: int, resolution: int, resize: str) -> np.ndarray:
  """Pixels of the asked shape. Resampling is Pillow's Lanczos filter, antialiased.

  Args:
    image: of mode "L" or "RGB".
    channels: 1 (colours become ITU-R 601 luma) or 3 (grey is repeated).
    resolution: R in pixels, or 0 to keep the size.
    resize: "crop" takes the largest centred square, "pad" puts the whole image on a black
      square, "stretch" does not keep the proportions.

  Returns:
    uint8 [H, W, C], with H = W = R unless R is 0.
  """
  image = image.convert("L" if channels == 1 else "RGB")
  pixels = np.asarray(_place(image, resolution, resize, Image.Resampling.LANCZOS))
  return pixels[..., None] if channels == 1 else pixels


def fit_labels(labels: np.ndarray, resolution: int, resize: str, border: int) -> np.ndarray:
  """Labels of the asked shape, placed as `fit` places a picture; each is that of the nearest pixel.

  Args:
    labels: uint8 [H, W].
    resolution, resize: see `fit`.
    border: the label of what "pad" adds.

  Returns:
    uint8 [R, R], or [H, W] where R is 0.
  """
  image = Image.fromarray(labels)
  return np.asarray(_place(image, resolution, resize, Image.Resampling.NEAREST, border))


def _place(image, resolution, resize, filter, border=0):
  square = (resolution, resolution)
  if not resolution or image.size == square:
    return image
  box = (0, 0, *image.size)
  if resize == "crop":
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
  size = square
  if resize == "pad":
    longest = max(image.size)
    size = tuple(max(1, round(length * resolution / longest)) for length in image.size)
  image = image.resize(size, filter, box)
  if size == square:
    return image
  padded = Image.new(image.mode, square, border)
  padded.paste(image, ((resolution - size[0]) // 2, (resolution - size[1]) // 2))
  return padded
