"""How fast training is fed: examples a second from memory, from files, from a prepared set.

  python -m benchmarks.feeds [--seconds 5] [--data-dir DIR] [--workdir DIR]

For each way of keeping 32x32 colour images, the batches of a training split go through the same
compiled step, which only adds them up: device memory, host memory read ahead by threads, PNG files
in a folder and in a zip archive, JPEG files in one, and, with --data-dir, the prepared
`tfds:mnist` of that folder. Writes feeds.md.
"""

from __future__ import annotations

import argparse
import io
import sys
import time
import zipfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from benchmarks.common import refusing, table
from gen_jax import data
from gen_jax.core import UserError

IMAGES, SIZE, BATCH = 10_000, 32, 128


def images() -> np.ndarray:
  """[IMAGES, SIZE, SIZE, 3] uint8, smooth as photographs are."""
  rng = np.random.default_rng(0)
  coarse = rng.integers(0, 256, (IMAGES, 4, 4, 3), np.uint8)
  return np.stack([
    np.asarray(Image.fromarray(x).resize((SIZE, SIZE), Image.Resampling.BICUBIC)) for x in coarse
  ])  # fmt: skip


def encoded(x: np.ndarray, kind: str) -> bytes:
  """An image file of x."""
  file = io.BytesIO()
  Image.fromarray(x).save(file, kind, quality=90)
  return file.getvalue()


def write(folder: Path) -> None:
  """The images as png.zip, jpeg.zip and the folder png."""
  (folder / "png").mkdir(parents=True, exist_ok=True)
  x = images()
  for kind in ("png", "jpeg"):
    with zipfile.ZipFile(folder / f"{kind}.zip", "w") as archive:
      for i, one in enumerate(x):
        content = encoded(one, kind)
        archive.writestr(f"{i:05}.{kind}", content)
        if kind == "png":
          (folder / "png" / f"{i:05}.png").write_bytes(content)


def speed(source: data.Source, resident: str, seconds: float) -> float:
  """Examples a second of the training split."""
  feed = data.Feed(batch_size=BATCH, resident=resident)
  pipeline = data.make_pipeline(source.splits["train"], source.spec, feed, jax.random.key(0))
  arrays = jax.device_put(pipeline.arrays)

  @jax.jit
  def step(total, arrays, fed, at):
    return total + pipeline.draw(arrays, fed, at)["x"].sum(dtype=jnp.uint32)

  fed = pipeline.feed(0, 10**9, np.arange(BATCH)) if pipeline.feed else iter(dict, None)
  total, at = jax.block_until_ready(step(np.uint32(0), arrays, next(fed), np.int32(0))), 0
  began = time.perf_counter()
  while time.perf_counter() - began < seconds:
    at += 1
    # One step ahead of the device, as in training.
    total, before = step(total, arrays, next(fed), np.int32(at)), total
    before.block_until_ready()
  total.block_until_ready()
  return at * BATCH / (time.perf_counter() - began)


@refusing
def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit status."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.feeds", description=__doc__)
  parser.add_argument("--seconds", type=float, default=5.0)
  parser.add_argument("--data-dir", default="")
  parser.add_argument("--workdir", type=Path, default=Path("runs/feeds"))
  options = parser.parse_args(argv)
  ways = [
    ("device memory", "png.zip", "yes"),
    ("host memory, read ahead", "", "no"),
    ("PNG files in a folder", "png", "no"),
    ("PNG files in a zip archive", "png.zip", "no"),
    ("JPEG files in a zip archive", "jpeg.zip", "no"),
  ]
  if options.seconds <= 0:
    raise UserError(f"--seconds must be above 0, not {options.seconds}")
  write(options.workdir)
  rows = []
  for name, file, resident in ways:
    path = str(options.workdir / (file or "png.zip"))
    source = data.load("folder", path=path)
    if not file:
      held = data.ArraySplit(source.splits["train"].arrays())
      source = source._replace(splits={"train": held})
    rows.append((name, f"{speed(source, resident, options.seconds):,.0f}"))
    print(*rows[-1], flush=True)
  if options.data_dir:
    source = data.load("tfds:mnist", data_dir=options.data_dir)
    rows.append(("tfds:mnist", f"{speed(source, 'no', options.seconds):,.0f}"))
    print(*rows[-1], flush=True)
  (options.workdir / "feeds.md").write_text(table(("kept in", "examples/s"), rows))
  return 0


if __name__ == "__main__":
  sys.exit(main())
