"""How long a user waits: from the command to the first step, and to the first picture.

  python -m benchmarks.starts [--only ddpm,vae] [--workdir DIR]

starts `./launch/run.sh --config configs/NAME.py` twice in an environment that is made, the first
time with nothing compiled before and the second with the compilation cache of the first, and waits
for the metrics of the first step and for the first grid of samples, drawn behind it. Each run is
then stopped. Writes starts.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import chosen, refusing, table
from gen_jax.app import cli
from gen_jax.core import UserError

CONFIGS = ("ddpm", "vae", "gan", "vqvae", "realnvp", "gmm", "pixelcnn")
PATIENCE = 600  # seconds
OVERRIDES = {"steps_per_call": 1, "log_every": 1, "sample_every": 1, "checkpoint_every": 0}


def wait(process: subprocess.Popen, there: Callable[[], bool]) -> None:
  """Until something is there.

  Raises:
    UserError: if the process ends before, or it takes too long.
  """
  until = time.monotonic() + PATIENCE
  while not there():
    if process.poll() is not None and not there():
      raise UserError(f"the run ended with {process.returncode} before: {process.stderr.read()}")
    if time.monotonic() > until:
      raise UserError(f"nothing after {PATIENCE} s")
    time.sleep(0.01)


def start(name: str, workdir: Path, cache: Path) -> tuple[float, float]:
  """Seconds to the first step and to the first picture."""
  shutil.rmtree(workdir, ignore_errors=True)
  metrics, samples = workdir / "metrics.jsonl", workdir / "samples"
  began = time.monotonic()
  process = subprocess.Popen(
    [cli.CONFIGS.parent / "launch" / "run.sh", "--config", cli.CONFIGS / f"{name}.py",
     "--workdir", workdir, *(f"--config.train.{k}={v}" for k, v in OVERRIDES.items())],
    env=os.environ | {"GEN_JAX_CACHE": str(cache)}, text=True,
    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
  )  # fmt: skip
  try:
    wait(process, lambda: metrics.exists() and metrics.stat().st_size > 0)
    first = time.monotonic() - began
    wait(process, lambda: any(samples.glob("*.png")))
    return first, time.monotonic() - began
  finally:
    process.kill()
    process.communicate()


@refusing
def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit status."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__)
  parser.add_argument("--only", default="")
  parser.add_argument("--workdir", type=Path, default=Path("runs/starts"))
  options = parser.parse_args(argv)
  workdir = Path(os.path.abspath(options.workdir))
  rows = []
  for name in chosen(options.only, CONFIGS):
    cache = workdir / f"{name}-cache"
    shutil.rmtree(cache, ignore_errors=True)
    times = [*start(name, workdir / name, cache), *start(name, workdir / name, cache)]
    rows.append((name, *(f"{t:.1f}" for t in times)))
    print(*rows[-1], flush=True)
  head = (
    "config", "first step, s", "first picture, s", "again: first step, s", "again: first picture, s"
  )  # fmt: skip
  (workdir / "starts.md").write_text(table(head, rows))
  return 0


if __name__ == "__main__":
  sys.exit(main())
