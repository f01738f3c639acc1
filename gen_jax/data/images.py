"""From the bytes of an image file to pixels of the asked shape."""

from __future__ import annotations

import io
import zlib
from typing import Literal, get_args

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from gen_jax.data import source

EXTENSIONS = (
  ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".webp", ".tif", ".tiff",
  ".pgm", ".ppm", ".pbm", ".pnm",
)  # fmt: skip
# Of images that are not read.
OTHER = (
  ".apng", ".arw", ".avif", ".cr2", ".cr3", ".dcm", ".dds", ".dib", ".dng", ".eps", ".exr",
  ".hdr", ".heic", ".heif", ".ico", ".j2c", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".nef", ".nii",
  ".npy", ".orf", ".pam", ".pcx", ".pfm", ".pic", ".psd", ".qoi", ".raf", ".rw2", ".sgi", ".svg",
  ".tga", ".xcf",
)  # fmt: skip
# How files of images begin, whatever they are called.
_BEGINNINGS = (
  b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
  b"\0\0\0\x0cjP  ", b"\0\0\0\x0cJXL ", b"\xff\x4f\xff\x51", b"8BPS", b"v/1\x01", b"#?RADIANCE",
)  # fmt: skip
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"hevc", b"mif1", b"msf1")

Resize = Literal["crop", "pad", "stretch"]
RESIZE = get_args(Resize)

MAX_BYTES = 2**28  # of one file
MAX_PIXELS = 2**26  # of one image
_PNG = b"\x89PNG\r\n\x1a\n"
_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")

# The formats of EXTENSIONS only: others that Pillow knows start external programs.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")

HIGHEST = "highest"  # in `info` of a decoded image that had 16 bits: the highest of their values


class BadImage(ValueError):
  """A file that is not an image that can be read; the message says why."""


class Gone(BadImage):
  """A file that the system does not give; it may be there again in a moment."""


def looks_like_one(head: bytes) -> bool:
  """Whether a file that begins with these bytes is an image, of whatever format."""
  return (
    head.startswith(_BEGINNINGS)
    or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    or (head[:2] == b"BM" and head[6:10] == bytes(4))
    or (head[4:8] == b"ftyp" and head[8:12] in _BRANDS)
  )


def decode(data: bytes, alpha: bool = False) -> Image.Image:
  """Reads an image file: PNG, JPEG, GIF (first frame), BMP, WebP, TIFF (first page), PGM, PPM, PBM.

  Sixteen-bit grey is scaled to 8 bits, transparent pixels are laid on white, palettes are looked
  up, and the orientation that a camera noted is applied.

  Args:
    data: the file's bytes.
    alpha: keep transparent pixels.

  Returns:
    An image of mode "L" or "RGB" whose pixels are in memory; with alpha of mode "RGBA".

  Raises:
    BadImage: for a file that is broken, cut short, of another format, or of more than MAX_PIXELS
      pixels; the last before memory is taken for them. With alpha, for an image without transparent
      pixels.
  """
  image = _load(data)
  try:
    return transparent(image) if alpha else plain(image)
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
  if not data:
    raise BadImage("empty")
  try:
    with Image.open(io.BytesIO(without_long_text(data)), formats=_FORMATS) as image:
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


def without_long_text(data: bytes) -> bytes:
  """A PNG without texts and colour profiles that unpack to more than Pillow takes, which are of no
  use here; anything else as it is. No more than that is unpacked of them."""
  if not data.startswith(_PNG):
    return data
  kept, at, left = [], len(_PNG), PngImagePlugin.MAX_TEXT_MEMORY // 2
  start = 0
  while at + 8 <= len(data):
    size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
    stop = at + 12 + size
    if kind in _TEXTS:
      length = _text_length(data[at + 8 : at + 8 + size], kind)
      left -= length
      if length > PngImagePlugin.MAX_TEXT_CHUNK or left < 0:
        kept.append(data[start:at])
        start = stop
    at = stop
  return b"".join([*kept, data[start:]]) if kept else data


def _text_length(body: bytes, kind: bytes) -> int:
  """Bytes that a text takes when unpacked, or one more than Pillow takes if it is more."""
  _, _, rest = body.partition(b"\0")
  if kind == b"tEXt" or (kind == b"iTXt" and rest[:1] in (b"", b"\0")):
    return len(body)
  # Before what is packed: the method, and in iTXt a flag, the language and the translated keyword.
  packed = rest[2:].split(b"\0", 2)[-1] if kind == b"iTXt" else rest[1:]
  try:
    return len(zlib.decompressobj().decompress(packed, PngImagePlugin.MAX_TEXT_CHUNK + 1))
  except zlib.error:
    return 0


def plain(image: Image.Image) -> Image.Image:
  """The image as "L" or "RGB", transparent pixels laid on white."""
  if image.mode == "F":
    raise BadImage("floating-point pixels")
  if image.mode.startswith("I"):
    wide = np.asarray(image).astype(np.int64)
    low, high = int(wide.min()), int(wide.max())
    if low < 0 or high > 65535:
      raise BadImage(f"grey values from {low} to {high}, which are not of 16 bits")
    narrow = Image.fromarray(((wide * 255 + 32767) // 65535).astype(np.uint8))
    narrow.info[HIGHEST] = high
    return narrow
  grey = image.mode in ("1", "L", "LA")
  if image.has_transparency_data:
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image)
  return image.convert("L" if grey else "RGB")


def transparent(image: Image.Image) -> Image.Image:
  """The image as "RGBA"."""
  if image.has_transparency_data:
    image = image.convert("RGBA")
    if image.getchannel("A").getextrema()[0] < 255:
      return image
  raise BadImage("no pixel of it is transparent, and what is to be filled must be")


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
