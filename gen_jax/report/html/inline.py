"""Pictures inside a page: as data, within a budget of bytes, with words for who cannot see them."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import NamedTuple

from gen_jax.run.files import read_bytes

BUDGET = 7_000_000  # bytes of pictures in a page, which base64 makes 9.3 MB
MIME = {".png": "image/png", ".gif": "image/gif", ".webp": "image/webp"}


class Picture(NamedTuple):
  """uri: the picture as data; "" where the page has no room left for it. alt: what it is, in
  words. note: how it differs from the file; "" where it does not."""

  uri: str
  width: int
  height: int
  alt: str
  note: str


class Album:
  """The pictures of one page, which share its bytes.

  budget: bytes left.
  """

  def __init__(self, budget: int = BUDGET):
    self.budget = budget

  def take(self, path: Path, alt: str, most: int = 1_500_000, side: int = 2000) -> Picture | None:
    """A picture of at most `most` bytes and `side` pixels each way; None where the file is none.

    One that is larger is made smaller, and an animation is its last frame then.
    """
    from PIL import Image, UnidentifiedImageError

    data, kind, note = read_bytes(path), path.suffix, ""
    try:
      with Image.open(io.BytesIO(data)) as image:
        size = image.size
        if len(data) > min(most, self.budget) or max(size) > side:
          frames = getattr(image, "n_frames", 1)
          image.seek(frames - 1)
          data, size = smaller(image, min(most, self.budget), side)
          kind = ".webp"
          note = f"reduced from {path.name}" if frames == 1 else f"the last frame of {path.name}"
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
      return None
    if not data:
      return Picture("", *size, alt, f"{path.name}: the page has no room left for it")
    self.budget -= len(data)
    uri = f"data:{MIME[kind]};base64,{base64.b64encode(data).decode()}"
    return Picture(uri, *size, alt, note)


def smaller(image, most: int, side: int) -> tuple[bytes, tuple[int, int]]:
  """A picture as WebP of at most `most` bytes and `side` pixels each way, and its size; no bytes
  where it would be smaller than a stamp."""
  image = image.convert("RGBA" if "A" in image.getbands() else "RGB")
  image.thumbnail((side, side))
  while max(image.size) >= 64:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=85)
    if out.tell() <= most:
      return out.getvalue(), image.size
    image.thumbnail((image.width * 3 // 4, image.height * 3 // 4))
  return b"", image.size
