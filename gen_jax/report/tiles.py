"""Images that are too large to be worked on at once, in parts that overlap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

TILE = 512  # pixels each way of what is kept of a part


def tiled(
  make: Callable[[np.ndarray], np.ndarray], x: np.ndarray, context: int, *, tile: int = TILE
) -> np.ndarray:
  """What `make` gives of an image, part by part.

  Each part is cut out with `context` pixels around it, and no farther than the image reaches: what
  is at its border is treated as it is in the whole image. So where `make` at a pixel depends on no
  pixel farther away than that, and on no place but by its remainder, the result is that of the
  whole image. All parts of an image are of one size.

  Args:
    make: [h, w, C] -> [f h, f w, K], f a whole number.
    x: [H, W, C], of sizes that the model's stride divides.
    context: in pixels, a multiple of the stride.
    tile: of what is kept of a part, a multiple of the stride.

  Returns:
    [f H, f W, K].
  """
  height, width = x.shape[:2]
  rows, columns = (min(n, tile + 2 * context) for n in (height, width))
  if (rows, columns) == (height, width):
    return make(x)
  out = None
  for top in range(0, height, tile):
    for left in range(0, width, tile):
      a, b = (
        min(max(start - context, 0), size - part)
        for start, size, part in ((top, height, rows), (left, width, columns))
      )
      made = make(x[a : a + rows, b : b + columns])
      f = made.shape[0] // rows
      if out is None:
        out = np.empty((f * height, f * width, *made.shape[2:]), made.dtype)
      bottom, right = min(top + tile, height), min(left + tile, width)
      part = made[f * (top - a) : f * (bottom - a), f * (left - b) : f * (right - b)]
      out[f * top : f * bottom, f * left : f * right] = part
  return out
