"""SIGKILL at every kind of moment, and again: does every model end as if nothing had happened?

  python -m benchmarks.kills [--kills 2] [--steps 240] [--seed 0] [--only ddpm,gan] [--workdir DIR]

trains the tiny variant of each config once without interruption, then again with a process that is
killed and restarted: at random steps, while a checkpoint is half written, while samples are drawn,
between two stages, and while the finished run is measured. It compares the two run folders: the
final weights, every row of metrics.jsonl but its clocks, the sample grids, the pictures and the
figures, bit for bit. It writes kills.json and kills.md into the workdir; the same command leaves
out the systems that are done there.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import chosen, refusing, table
from gen_jax.app import cli
from gen_jax.core import UserError
from gen_jax.run.files import read_json, write_json
from gen_jax.run.rows import read_rows

CLOCKS = ("seconds", "examples_per_second")
KINDS = ("training", "saving", "sampling", "between stages", "measuring")
PATIENCE = 600  # seconds for one launch


def systems() -> list[str]:
  """Names of the configs that have a tiny variant."""
  files = sorted(cli.CONFIGS.glob("*.py"))
  return [f.stem for f in files if "tiny" in f.read_text() and not f.stem.startswith("_")]


def command(name: str, steps: int, workdir: Path) -> list[str]:
  """What trains the tiny variant for `steps` in each stage, saving all the time."""
  config = cli.load_config(f"{cli.CONFIGS / name}.py:tiny")
  stages = config.train.get("steps", 0)
  length = steps if isinstance(stages, int) else (steps,) * len(stages)
  settings = {
    "steps": length, "steps_per_call": 1, "log_every": steps // 24, "checkpoint_every": steps // 12,
    "validate_every": steps // 6, "sample_every": steps // 4,
  }  # fmt: skip
  return [
    sys.executable, "-m", "gen_jax.main", f"--config={cli.CONFIGS / name}.py:tiny",
    f"--workdir={workdir}", "--config.measures=('likelihood',)",
    *(f"--config.train.{field}={value}" for field, value in settings.items()),
  ]  # fmt: skip


def launch(arguments: list[str]) -> subprocess.Popen:
  return subprocess.Popen(
    arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    text=True, cwd=cli.CONFIGS.parent,
  )  # fmt: skip


def finish(arguments: list[str]) -> float:
  """Runs to the end; returns the seconds.

  Raises:
    UserError: if it fails.
  """
  began = time.monotonic()
  process = launch(arguments)
  _, err = process.communicate(timeout=PATIENCE)
  if process.returncode:
    raise UserError(f"{' '.join(arguments)} ended with {process.returncode}: {err[-500:]}")
  return time.monotonic() - began


def writing(workdir: Path) -> bool:
  """Whether a checkpoint is half written."""
  folder = workdir / "checkpoints"
  return folder.exists() and any("tmp" in p.name for p in folder.iterdir())


def trained(workdir: Path) -> int:
  """Rows of training so far, of all stages."""
  return sum("split" not in row for row in read_rows(workdir / "metrics.jsonl"))


def sampling(workdir: Path, steps: int) -> bool:
  """Whether a grid of samples is due, and not there yet."""
  rows = [row for row in read_rows(workdir / "metrics.jsonl") if "split" not in row]
  if not rows or rows[-1]["step"] % (steps // 4):
    return False
  total = rows[-1]["stage"] * steps + rows[-1]["step"]
  return not (workdir / "samples" / f"{total:06d}.png").exists()


def between(workdir: Path, steps: int) -> bool:
  """Whether the last step of a first stage is saved, and the next stage has no row."""
  last = {row["stage"] for row in read_rows(workdir / "metrics.jsonl")}
  return last == {0} and (workdir / "checkpoints" / str(steps)).exists()


def measuring(workdir: Path) -> bool:
  """Whether training is over and the run is not complete."""
  return (workdir / "weights.safetensors").exists() and not (workdir / "complete.json").exists()


def kill_once(arguments: list[str], ripe: Callable[[], bool], wait: float) -> bool:
  """Starts the run and kills it `wait` seconds after the moment; whether it came to that."""
  process, until = launch(arguments), time.monotonic() + PATIENCE
  while process.poll() is None and time.monotonic() < until and not ripe():
    time.sleep(0.001)
  time.sleep(wait if process.poll() is None else 0)
  process.send_signal(signal.SIGKILL)
  process.communicate()
  return process.returncode == -signal.SIGKILL


def moments(
  workdir: Path, kills: int, steps: int, stages: int, total: int, rng: random.Random
) -> Iterator[tuple[str, Callable[[], bool], float]]:
  """(kind, whether it has come, seconds to wait then) of each kill, in the order of a run."""
  first = total // stages  # rows of the first stage
  behinds = sorted(rng.sample(range(1, total), min(kills, total - 1)))
  for behind in sorted([*behinds, *([first] if stages > 1 else [])]):
    if behind == first and stages > 1:
      yield "between stages", lambda: between(workdir, steps), rng.random() * 0.2
      continue
    ripe = lambda behind=behind: trained(workdir) >= behind
    if rng.random() < 0.5:
      yield "saving", lambda ripe=ripe: ripe() and writing(workdir), 0.0
    else:
      yield "training", ripe, rng.random() * 0.2
    if behind < first:
      yield "sampling", lambda: sampling(workdir, steps), 0.0
  yield "measuring", lambda: measuring(workdir), rng.random() * 0.5


def content(workdir: Path) -> dict[str, Any]:
  """What two runs of one config must have in common, by name."""
  rows = read_rows(workdir / "metrics.jsonl")
  found: dict[str, Any] = {
    "metrics.jsonl": [{k: v for k, v in row.items() if k not in CLOCKS} for row in rows]
  }
  made = ("samples/*.png", "pictures/*.png", "samples/*.gif", "evaluation.json")
  files = [workdir / "weights.safetensors", *(f for each in made for f in workdir.glob(each))]
  return found | {f.relative_to(workdir).as_posix(): f.read_bytes() for f in sorted(files)}


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
  """Names that are not the same in both."""
  return [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]


def killed(name: str, kills: int, steps: int, seed: int, workdir: Path) -> dict[str, Any]:
  """Trains with and without kills; returns the row of the table."""
  rng = random.Random(f"{seed} {name}")
  whole, pieces = workdir / f"{name}-whole", workdir / f"{name}-killed"
  for folder in (whole, pieces):
    shutil.rmtree(folder, ignore_errors=True)
  seconds = finish(command(name, steps, whole))
  total, stages = trained(whole), 1 + max(r["stage"] for r in read_rows(whole / "metrics.jsonl"))
  arguments, came = command(name, steps, pieces), dict.fromkeys(KINDS, 0)
  for kind, ripe, wait in moments(pieces, kills, steps, stages, total, rng):
    came[kind] += kill_once(arguments, ripe, wait)
  finish(arguments)
  return {
    "kills": came,
    "launches": len(read_json(pieces / "provenance.json")),
    "compared": len(content(whole)),
    "differences": differences(content(whole), content(pieces)),
    "seconds": round(seconds, 1),
  }


def markdown(rows: dict[str, dict]) -> str:
  """The table."""
  lines = [
    (name, *(row["kills"][kind] for kind in KINDS), row["compared"],
     ", ".join(row["differences"]) or "0")
    for name, row in rows.items()
  ]  # fmt: skip
  sums = [sum(row["kills"][kind] for row in rows.values()) for kind in KINDS]
  sums += [sum(row["compared"] for row in rows.values())]
  sums.append(sum(len(row["differences"]) for row in rows.values()))
  head = ("system", *(f"killed {kind}" for kind in KINDS), "files compared", "differences")
  return table(head, [*lines, ("all", *sums)])


@refusing
def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit status: 1 where something differs."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
  parser.add_argument("--kills", type=int, default=2)
  parser.add_argument("--steps", type=int, default=240)
  parser.add_argument("--seed", type=int, default=0)
  parser.add_argument("--only", default="")
  parser.add_argument("--workdir", type=Path, default=Path("runs/kills"))
  options = parser.parse_args(argv)
  names = chosen(options.only, systems())
  if options.kills < 1 or options.steps < 24 or options.steps % 24:
    raise UserError("--kills must be 1 or more, and --steps a multiple of 24")
  workdir = Path(os.path.abspath(options.workdir))
  workdir.mkdir(parents=True, exist_ok=True)
  path = workdir / "kills.json"
  rows = json.loads(path.read_text()) if path.exists() else {}
  for name in names:
    if name not in rows:
      rows[name] = killed(name, options.kills, options.steps, options.seed, workdir)
      write_json(path, rows)
      print(f"{name}: {rows[name]}", flush=True)
  text = markdown(rows)
  (workdir / "kills.md").write_text(text)
  print(text, end="")
  return int(any(row["differences"] for row in rows.values()))


if __name__ == "__main__":
  sys.exit(main())
