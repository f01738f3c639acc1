"""One device against eight: does every model come to the same state?

  python -m benchmarks.devices [--only ddpm,gan] [--workdir DIR]

trains the tiny variant of each config on one and on eight simulated devices and writes devices.md:
how far apart the states are after 4 steps in float64, with the state replicated and with it split
over the devices (every array that can be), and how far apart all metrics of one step in float32.
The distance of a and b is max |a - b| / (1 + |a|).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

# XLA's CPU client takes its number of threads from NPROC; collectives need more than devices.
os.environ.setdefault("NPROC", "32")

import jax
import numpy as np

from benchmarks.common import chosen, distance, refusing, table
from gen_jax.app import cli
from gen_jax.core import PyTree
from gen_jax.run import loop, mesh
from gen_jax.run.rows import read_rows
from tests.conformance.systems import SYSTEMS, System, build

DEVICES, STEPS = 8, 4
HEADER = ("system", "float64, replicated", "float64, split", "float32, one step")


def apart(a: PyTree, b: PyTree) -> float:
  """The largest distance of two arrays, of trees of one structure."""
  return max(distance(*pair) for pair in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def states(system: System, devices: int, layout: str) -> PyTree:
  """After STEPS steps in float64."""
  change = {"train": {"steps": STEPS, "layout": layout}}
  where = mesh.make_mesh(jax.devices()[:devices])
  trained = loop.train(build(system.name, system.float64, change, mesh=where))
  return jax.tree.map(np.asarray, trained.states)


def metrics(system: System, devices: int, folder: Path) -> list[float]:
  """Of one step in float32, of every stage."""
  once = {"steps": 1, "steps_per_call": 1, "log_every": 1, "checkpoint_every": 0}
  once |= {"validate_every": 0, "sample_every": 0, "best": ""}
  where = mesh.make_mesh(jax.devices()[:devices])
  loop.train(build(system.name, {"train": once}, mesh=where), workdir=folder)
  facts = ("stage", "step", "seconds", "examples_per_second")
  rows = read_rows(folder / "metrics.jsonl")
  return [np.float64(row[name]) for row in rows for name in sorted(row) if name not in facts]


def compared(system: System) -> tuple[float, float, float]:
  """The figures of one row."""
  with jax.enable_x64(True):
    one = states(system, 1, "replicated")
    whole, split = (apart(one, states(system, DEVICES, to)) for to in ("replicated", "sharded"))
  with tempfile.TemporaryDirectory() as folder:
    a, b = (metrics(system, n, Path(folder) / str(n)) for n in (1, DEVICES))
  return whole, split, apart(a, b)


def markdown(rows: dict[str, tuple[float, float, float]]) -> str:
  """The table."""
  return table(HEADER, ((name, *(f"{v:.1e}" for v in row)) for name, row in rows.items()))


@refusing
def main(argv: list[str] | None = None) -> int:
  """The command line; returns the exit status: 1 beyond 1e-9 in float64 or 1e-4 in float32."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.devices", description=__doc__)
  parser.add_argument("--only", default="")
  parser.add_argument("--workdir", type=Path, default=Path("runs/devices"))
  options = parser.parse_args(argv)
  known = {cli.split_name(system.name)[0]: system for system in SYSTEMS}
  names = chosen(options.only, known)
  jax.config.update("jax_num_cpu_devices", DEVICES)
  mesh.SHARDED_FROM = 1  # so that the arrays of small models are split too
  rows = {}
  for name in names:
    rows[name] = compared(known[name])
    print(name, *(f"{value:.1e}" for value in rows[name]), flush=True)
  options.workdir.mkdir(parents=True, exist_ok=True)
  (options.workdir / "devices.md").write_text(markdown(rows))
  return int(any(max(row[:2]) > 1e-9 or row[2] > 1e-4 for row in rows.values()))


if __name__ == "__main__":
  sys.exit(main())
