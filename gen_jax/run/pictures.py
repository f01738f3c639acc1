"""Arrays to pictures: grids of images, scatter plots, curves and animations, as PNG and GIF."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import chex
import numpy as np
from PIL import Image

from gen_jax.run.files import write_bytes

WIDTH = 600  # pixels that a grid of small images is enlarged to, at least
CLIPS = 16  # at most, as film strips
HOLD_MS = 2000  # how much longer an animation shows its last frame


def to_uint8(x: np.ndarray, levels: int | None) -> np.ndarray:
  """Pixel values as bytes.

  Args:
    x: [...], in 0..levels-1; values outside are clipped, NaN is 0.
    levels: number of grey levels, or None for real values, whose own range is stretched.

  Returns:
    [...] uint8, 0 for the lowest level and 255 for the highest.
  """
  x = np.nan_to_num(np.asarray(x, np.float64))
  low, high = (0, levels - 1) if levels else (x.min(), x.max())
  return np.round((x.clip(low, high) - low) * (255 / ((high - low) or 1))).astype(np.uint8)


def grid(images: np.ndarray, columns: int | None = None, pad: int = 2) -> np.ndarray:
  """Images side by side, row by row, on white.

  Args:
    images: [n, H, W, C] uint8. Small ones are enlarged by a whole factor, nearest neighbour, until
      the grid is WIDTH pixels wide.
    columns: images in a row; None makes the grid about square.
    pad: pixels around each image.

  Returns:
    [H', W', C] uint8.
  """
  chex.assert_rank(images, 4)
  chex.assert_type(images, np.uint8)
  n, height, width, channels = images.shape
  columns = min(columns or math.ceil(math.sqrt(n)), n)
  rows = math.ceil(n / columns)
  factor = max(1, math.ceil((WIDTH - pad * (columns + 1)) / (columns * width)))
  height, width = height * factor, width * factor
  out = np.full(
    (rows * (height + pad) + pad, columns * (width + pad) + pad, channels), 255, np.uint8
  )
  for i, image in enumerate(images):
    top, left = pad + i // columns * (height + pad), pad + i % columns * (width + pad)
    large = image.repeat(factor, axis=0).repeat(factor, axis=1)
    out[top : top + height, left : left + width] = large
  return out


def in_turn(sets: Sequence[np.ndarray], columns: int) -> np.ndarray:
  """Sets [n, ...] of pictures of the same examples, for a grid of `columns` columns: a row of the
  first set, the same examples of the second below it, and so on."""
  n, rows = len(sets[0]), []
  for start in range(0, n, columns):
    for part in sets:
      row = part[start : start + columns]
      blank = np.zeros((columns - len(row), *row.shape[1:]), row.dtype)
      rows.append(np.concatenate([row, blank]) if n > columns else row)
  return np.concatenate(rows)


def alike(sets: Sequence[np.ndarray]) -> list[np.ndarray]:
  """Sets of pictures [n, H, W, C] uint8 brought to one shape: grey ones as colours where others
  have them, transparent ones on white where others have no alpha, small ones enlarged by whole
  factors, nearest neighbour."""
  if len({x.shape[-1] in (2, 4) for x in sets}) > 1:
    sets = [on_white(x) if x.shape[-1] in (2, 4) else x for x in sets]
  height, width, channels = np.max([x.shape[1:] for x in sets], axis=0)

  def fit(x):
    x = x.repeat(channels, axis=-1) if x.shape[-1] < channels else x
    x = x.repeat(height // x.shape[1], axis=1).repeat(width // x.shape[2], axis=2)
    return np.pad(x, ((0, 0), (0, height - x.shape[1]), (0, width - x.shape[2]), (0, 0)))

  return [fit(x) for x in sets]


def on_white(x: np.ndarray) -> np.ndarray:
  """Pictures [n, H, W, C + 1] uint8, the last channel their alpha, on white: [n, H, W, C] uint8."""
  shade, alpha = x[..., :-1].astype(np.uint32), x[..., -1:].astype(np.uint32)
  return ((shade * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def save_png(path: str | Path, image: np.ndarray) -> np.ndarray:
  """Writes image [H, W, C] uint8, C of 1, 3 or 4, whole or not at all; returns it.

  Equal images give equal bytes.
  """
  data = io.BytesIO()
  _pillow(image).save(data, format="png")
  write_bytes(Path(path), data.getvalue())
  return image


def save_gif(path: str | Path, frames: np.ndarray, ms: int) -> None:
  """Writes an endless animation, whole or not at all.

  Args:
    path: of the file.
    frames: [T, H, W, C] uint8, C of 1 or 3. Colours are reduced to 256 a frame.
    ms: milliseconds a frame; the last one is held HOLD_MS longer.
  """
  chex.assert_rank(frames, 4)
  first, *rest = (_pillow(frame) for frame in frames)
  data = io.BytesIO()
  duration = [ms] * len(rest) + [ms + HOLD_MS]
  first.save(data, format="gif", save_all=True, append_images=rest, duration=duration, loop=0)
  write_bytes(Path(path), data.getvalue())


def scatter(
  path: str | Path,
  points: np.ndarray,
  reference: np.ndarray | None = None,
  labels: np.ndarray | None = None,
) -> np.ndarray:
  """Writes a PNG of points [n, 2], over reference [m, 2] in grey, with equal axes.

  labels [n] colour the points by class.

  Returns:
    The picture, [H, W, 3] uint8.
  """
  image = _scatter(points, reference, labels=labels)
  save_png(path, image)
  return image


def heat(path: str | Path, maps: np.ndarray, top: float) -> np.ndarray:
  """Writes a PNG of maps [n, H, W] side by side in false colours, from 0 to `top`.

  Returns:
    The picture, [H', W', 3] uint8.
  """
  import matplotlib

  colours = matplotlib.colormaps["viridis"](to_uint8(maps * (255 / top), 256), bytes=True)
  image = grid(colours[..., :3], columns=len(maps))
  save_png(path, image)
  return image


def shares(path: str | Path, share: np.ndarray, what: str) -> np.ndarray:
  """Writes a PNG of bars of share [n], beside the line of even use, 1 / n.

  Returns:
    The picture, [H, W, 3] uint8.
  """
  from matplotlib.figure import Figure

  figure = Figure(figsize=(8, 3), dpi=100, layout="constrained")
  axes = figure.add_subplot()
  axes.bar(np.arange(len(share)), share, width=1.0)
  axes.axhline(1 / len(share), color="black", linewidth=1)
  axes.set(xlabel=what, ylabel="share", xlim=(-0.5, len(share) - 0.5))
  image = _render(figure)
  save_png(path, image)
  return image


def curves(path: str | Path, rows: Sequence[Mapping], terms: Sequence[str]) -> None:
  """Writes a PNG of metrics over steps: a panel for each term, a line for each stage.

  Args:
    path: of the file.
    rows: of a metrics.jsonl, with `step` and, where there are several stages, `stage`.
    terms: names of the values to plot; a row may lack some. What is not finite is a gap.
  """
  from matplotlib.figure import Figure

  columns = min(3, len(terms))
  height = math.ceil(len(terms) / columns)
  figure = Figure(figsize=(6 * columns, 3 * height), dpi=100, layout="constrained")
  stages = sorted({row.get("stage", 0) for row in rows})
  for i, term in enumerate(terms):
    axes = figure.add_subplot(height, columns, i + 1)
    for stage in stages:
      line = [r for r in rows if r.get("stage", 0) == stage and term in r]
      x, y = [r["step"] for r in line], [float(r[term]) for r in line]
      axes.plot(x, y, marker="." if len(line) == 1 else None, label=f"stage {stage}")
    axes.set(title=term, xlabel="step")
    axes.grid(alpha=0.3)
    if len(stages) > 1:
      axes.legend()
  save_png(path, _render(figure))


def show(
  path: str | Path, x: np.ndarray, levels: int | None, columns: int | None = None
) -> np.ndarray | None:
  """Writes a PNG of samples: a grid of images, or a scatter plot of points in the plane.

  Args:
    path: of the file.
    x: [n, H, W, C] with C of 1, 3 or 4, or [n, 2], or clips [n, T, H, W, C], of which CLIPS at most
      are shown as film strips, a row each.
    levels: as for to_uint8.
    columns: of the grid.

  Returns:
    The picture, [H', W', C] uint8, or None for samples of another shape, which have none.
  """
  if _is_plane(x[None]):
    return scatter(path, x)
  if _is_images(x):
    x, columns = x[:CLIPS].reshape(-1, *x.shape[2:]), x.shape[1]
  if not _is_images(x[None]):
    return None
  image = grid(to_uint8(x, levels), columns)
  save_png(path, image)
  return image


def show_gif(
  path: str | Path, frames: np.ndarray, levels: int | None, columns: int | None = None
) -> bool:
  """Writes a GIF of about four seconds in which samples come to be.

  Args:
    path: of the file.
    frames: [T, n, H, W, C] with C of 1 or 3, or [T, n, 2].
    levels: as for to_uint8.
    columns: of the grid.

  Returns:
    False for samples of another shape, which have no picture.
  """
  if _is_plane(frames):
    finite = frames[np.isfinite(frames).all(axis=-1)]
    limits = [(a.min(), a.max()) for a in finite.T] if len(finite) else None
    pictures = [_scatter(points, limits=limits) for points in frames]
  elif _is_images(frames) and frames.shape[-1] != 4:
    pictures = [grid(image, columns) for image in to_uint8(frames, levels)]
  else:
    return False
  save_gif(path, np.stack(pictures), max(20, 4000 // len(frames)))
  return True


def _is_plane(frames: np.ndarray) -> bool:
  return frames.ndim == 3 and frames.shape[-1] == 2


def _is_images(frames: np.ndarray) -> bool:
  return frames.ndim == 5 and frames.shape[-1] in (1, 3, 4)


def _scatter(points, reference=None, limits=None, labels=None) -> np.ndarray:
  """A scatter plot, [H, W, 3] uint8. limits: (low, high) of x and of y that it must show."""
  from matplotlib.figure import Figure

  chex.assert_shape(points, (None, 2))
  figure = Figure(figsize=(WIDTH / 100, WIDTH / 100), dpi=100, layout="constrained")
  axes = figure.add_subplot()
  if reference is not None:
    chex.assert_shape(reference, (None, 2))
    axes.scatter(*np.asarray(reference).T, s=4, c="0.75", linewidths=0)
  for i, label in enumerate([None] if labels is None else np.unique(labels)):
    some = np.asarray(points) if label is None else np.asarray(points)[labels == label]
    axes.scatter(*some.T, s=4, color=f"C{i % 10}", linewidths=0, label=label)
  if labels is not None:
    axes.legend(markerscale=4)
  if limits is not None:
    # An invisible corner each: it sets the range that margins are added to.
    axes.plot(*np.array(limits), alpha=0)
  axes.set_aspect("equal", adjustable="datalim")
  return _render(figure)


def _render(figure) -> np.ndarray:
  """A matplotlib figure's pixels, [H, W, 3] uint8."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg

  canvas = FigureCanvasAgg(figure)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _pillow(image: np.ndarray) -> Image.Image:
  chex.assert_rank(image, 3)
  chex.assert_type(image, np.uint8)
  assert image.shape[-1] in (1, 3, 4), f"no picture has {image.shape[-1]} channels"
  return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
