"""Samples of many runs in one picture, a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gen_jax import remote
from gen_jax.core import UserError
from gen_jax.run import pictures, sample
from gen_jax.run.conditions import conditions
from gen_jax.run.load import load_run
from gen_jax.run.mesh import make_mesh

COLUMNS = 16


def collage(dirs: Sequence[str | Path], out: str | Path, columns: int = COLUMNS) -> str:
  """Writes a PNG with a row of samples of each run, named by its folder.

  Where a model takes a label, sample i is of class i modulo the classes.

  Args:
    dirs: run folders of image models of one shape.
    out: of the picture.
    columns: samples in a row.

  Returns:
    What was written, and which runs have no samples, as text.

  Raises:
    UserError: if no run can be sampled without data, or their images differ in shape.
  """
  rows, left, shape, mesh = {}, [], None, make_mesh()
  for path in dirs:
    with remote.opened(path) as workdir:
      trained = load_run(workdir, mesh=mesh)
    model, spec = trained.model, trained.spec
    if model.sample is None or set(model.cond) - {"label"} or len(spec.shape) != 3:
      left.append(str(path))
      continue
    if shape not in (None, spec.shape):
      raise UserError(f"{path} has images of shape {spec.shape}, and those before of {shape}")
    shape = spec.shape
    x = sample.draw(
      sample.compiled(model.sample, mesh), trained.states,
      sample.sample_keys(trained.system.config["seed"]), columns,
      conditions(model, spec, columns, spread=True),
      chunk=sample.chunk_size(columns, mesh), mesh=mesh,
    )  # fmt: skip
    rows[str(path)] = pictures.to_uint8(x, spec.levels)
  if not rows:
    raise UserError(f"none of {', '.join(left)} has samples of images that need no data")
  names = [Path(path).name for path in rows]
  names = names if len(set(names)) == len(names) else list(rows)
  image = labelled(pictures.grid(np.concatenate(list(rows.values())), columns), names)
  Path(out).parent.mkdir(parents=True, exist_ok=True)
  pictures.save_png(out, image)
  return "\n".join([f"{out}: {', '.join(names)}", *(f"{path}: no samples" for path in left)])


def labelled(image: np.ndarray, names: Sequence[str]) -> np.ndarray:
  """An image [H, W, C] of len(names) rows of equal height, with the rows' names at its left."""
  height = len(image) / len(names)
  font = ImageFont.load_default(size=max(height / 3, 8))
  width = max(int(font.getlength(name)) for name in names) + 16
  mode = "L" if image.shape[-1] == 1 else "RGB"
  margin = Image.new(mode, (width, len(image)), "white")
  draw = ImageDraw.Draw(margin)
  for i, name in enumerate(names):
    draw.text((8, (i + 0.5) * height), name, "black", font, anchor="lm")
  return np.concatenate([np.asarray(margin).reshape(len(image), width, -1), image], axis=1)
