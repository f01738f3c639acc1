"""One process against two and four: do they train as one, and what if one of them is killed?

  python -m benchmarks.processes [--only ddpm,vae] [--steps 48] [--workdir DIR]

trains the tiny variant of each config through launch/local_processes.sh with 1, 2 and 4 processes
that share every batch, then again with one process killed on the way, and once more to go on from
there. It writes processes.md: how far the losses are from those of one process, as
max |a - b| / (1 + |a|) over all rows of metrics.jsonl; how long after the kill the last process was
gone; and whether the continued run has the weights and the rows of the one that was left alone.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.common import chosen, distance, refusing, table
from benchmarks.kills import CLOCKS, command, content, differences, systems, trained
from gen_jax.app.cli import CONFIGS
from gen_jax.run.rows import read_rows

COUNTS = (1, 2, 4)
HEADER = (
  "system", "processes", "losses from one process's", "gone after a kill", "status", "then, again",
)  # fmt: skip
ROOT = CONFIGS.parent


def launch(count: int, name: str, steps: int, workdir: Path) -> subprocess.Popen:
  """The job of `count` processes."""
  arguments = command(name, steps, workdir)[3:]  # without the interpreter and the module
  return subprocess.Popen(
    [ROOT / "launch" / "local_processes.sh", str(count), *arguments], cwd=ROOT,
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    env={k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}, start_new_session=True,
  )  # fmt: skip


def finish(process: subprocess.Popen) -> None:
  """Waits for the job's good end."""
  _, err = process.communicate(timeout=900)
  if process.returncode:
    raise RuntimeError(f"the job ended with {process.returncode}: {err[-1000:]}")


def workers(process: subprocess.Popen) -> list[int]:
  """Process ids of the job's Python processes."""
  children = subprocess.run(
    ["pgrep", "-g", str(process.pid), "-f", "gen_jax.main"], capture_output=True, text=True,
    check=False,
  )  # fmt: skip
  return [int(pid) for pid in children.stdout.split() if int(pid) != process.pid]


def apart(one: Path, other: Path) -> float:
  """The distance of two runs' rows."""
  rows = [read_rows(folder / "metrics.jsonl") for folder in (one, other)]
  pairs = (
    (float(a[name]), float(b[name]))
    for a, b in zip(*rows, strict=True) for name in a if name not in (*CLOCKS, "split")
  )  # fmt: skip
  return max(distance(a, b) for a, b in pairs)


def killed(count: int, name: str, steps: int, workdir: Path) -> tuple[float, int]:
  """Kills the last process in the middle; returns the seconds until all are gone, the status."""
  process = launch(count, name, steps, workdir)
  while trained(workdir) < 6 and process.poll() is None:
    time.sleep(0.01)
  os.kill(max(workers(process)), signal.SIGKILL)
  began = time.monotonic()
  process.communicate(timeout=300)
  return time.monotonic() - began, process.returncode


def measured(name: str, count: int, steps: int, workdir: Path) -> tuple[str, ...]:
  """The cells of one row."""
  one, whole, pieces = (workdir / f"{name}-{kind}" for kind in ("1", count, f"{count}-killed"))
  for folder in (whole, pieces):
    shutil.rmtree(folder, ignore_errors=True)
  finish(launch(count, name, steps, whole))
  if count == 1:
    return "1", "", "", "", ""
  seconds, status = killed(count, name, steps, pieces)
  finish(launch(count, name, steps, pieces))
  differ = ", ".join(differences(content(whole), content(pieces))) or "the same bits"
  return str(count), f"{apart(one, whole):.1e}", f"{seconds:.1f} s", str(status), differ


@refusing
def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit status: 1 where something differs."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.processes", description=__doc__)
  parser.add_argument("--only", default="ddpm,vae,gan")
  parser.add_argument("--steps", type=int, default=48)
  parser.add_argument("--workdir", type=Path, default=Path("runs/processes"))
  options = parser.parse_args(argv)
  workdir = Path(os.path.abspath(options.workdir))
  workdir.mkdir(parents=True, exist_ok=True)
  names = chosen(options.only, systems())
  rows = []
  for name in names:
    for count in COUNTS:
      rows.append((name, *measured(name, count, options.steps, workdir)))
      print(*rows[-1], flush=True)
      (workdir / "processes.md").write_text(table(HEADER, rows))
  return int(any(row[5] not in ("", "the same bits") for row in rows))


if __name__ == "__main__":
  sys.exit(main())
