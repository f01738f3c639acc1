"""How few steps a sampler needs: a run's own network, asked by each solver on each grid.

  python -m benchmarks.samplers RUN [--calls 4,8,16,32] [--samples 500] [--only ddim,dpmpp_2m]
                                [--grids uniform,log_snr,rho] [--workdir DIR]

Sample i begins with the same noise for all. Each cell has two figures. The first, of solvers of the
probability flow, is the distance of the samples to those of a solution of 240 steps: the root mean
square over all of their entries, of images in [-1, 1], not rounded to grey levels. It falls by the
solver's order and needs no judge. The second is of the samples as a set beside the split that the
run is measured on: of images with labels the Frechet distance, of vectors the energy distance, with
those of training data in the heading. Calls are of the network, twice at a time with guidance.

It writes samplers.json, samplers.md and samplers.png into DIR, by default RUN/samplers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from benchmarks.common import chosen, refusing, table
from gen_jax import config as configs
from gen_jax import metrics
from gen_jax.core import UserError, permutation, stream
from gen_jax.diffusion.grids import GRIDS
from gen_jax.main import use_compilation_cache
from gen_jax.report.scene import Scene
from gen_jax.run import sample
from gen_jax.run.conditions import conditions
from gen_jax.run.files import write_json
from gen_jax.run.folder import recorded
from gen_jax.run.load import opened

DETERMINISTIC = ("ddim", "dpmpp_2m", "dpmpp_3m", "dpmpp_3s", "euler", "heun")
RANDOM = ("ancestral", "sde_2m", "euler_maruyama")
DASHES = {"uniform": ":", "log_snr": "-", "rho": "--"}  # of the plot
FINE = 240  # steps of the solution
LEVELS = 2**16  # of grey, so many that no rounding is seen
PAIRED = 4000  # examples that the energy distance is taken to


class Cell(NamedTuple):
  """rms: to the fine solution, None of random solvers. distance: of the set. calls: as counted."""

  rms: float | None
  distance: float
  calls: int


class Bench:
  """A run, and what its samplers are compared by.

  Raises:
    UserError: for a run whose samples no solver of several grids draws.
  """

  def __init__(self, run: Path, samples: int):
    self.config = recorded(run)[1].config
    group = self.config["sample"]
    self.name = next((name for name in ("solver", "method") if name in group), "")
    if not self.name or "grid" not in group:
      builder = self.config["builder"]
      raise UserError(f"{run} is of {builder}, whose samples no solver on a choice of grids draws")
    # What the builder offers, in the table's order.
    offered = configs.schema(configs.resolve(self.config["builder"]))["sample"][self.name][0]
    self.solvers = [name for name in (*DETERMINISTIC, *RANDOM) if name in get_args(offered)]
    self.trained = opened(self.config, run, "newest", data=True)
    self.scene, self.mesh = Scene(self.trained), self.trained.system.mesh
    self.n, self.key = samples, stream(self.trained.key("measure"), "sample")
    spec = self.trained.spec
    # A network that sees grey levels in [-1, 1] is the same for any number of them.
    self.fine = spec if spec.levels is None else spec._replace(x=spec.x._replace(levels=LEVELS))
    model, splits = self.trained.system.program.model, self.trained.source.splits
    self.cond = conditions(model, spec, samples, split=splits["train"])
    edm = self.config["model"].get("path") == "edm"
    self.solution, _ = self.drawn("dpmpp_2m", "rho" if edm else "uniform", FINE)

  def model(self, solver: str, grid: str, steps: int):
    """The model that draws so."""
    deterministic = {"eta": 0.0} if "eta" in self.config["sample"] else {}
    given = {self.name: solver, "grid": grid, "steps": steps, **deterministic}
    given |= {name: 0 for name in ("churn", "corrections") if name in self.config["sample"]}
    config = configs.parse(configs.merge(self.config, {"sample": given})).config
    return configs.build(config, self.fine).model

  def drawn(self, solver: str, grid: str, steps: int) -> tuple[np.ndarray, int]:
    """Samples in the model's units, of images [-1, 1], and how many calls each took."""
    model = self.model(solver, grid, steps)
    x = sample.draw(
      sample.compiled(model.sample, self.mesh), self.trained.states, self.key, self.n, self.cond,
      chunk=sample.chunk_size(self.scene.settings.batch_size, self.mesh), mesh=self.mesh,
    )  # fmt: skip
    return (x if self.trained.spec.levels is None else 2.0 * x / (LEVELS - 1) - 1), model.calls

  def distance(self, x: np.ndarray | None) -> float:
    """Of samples as a set to the split, None for as much training data: see above."""
    real, train, levels = self.scene.real["x"], self.scene.train["x"], self.trained.spec.levels
    if x is None:
      x = train[permutation(len(train))[: self.n]]
    elif levels is not None:
      x = np.round((np.clip(x, -1, 1) + 1) / 2 * (levels - 1)).astype(real.dtype)
    if levels is None:
      return metrics.energy_distance(x, real[permutation(len(real))[:PAIRED]])
    if not self.trained.spec.classes:
      return float("nan")
    judge = self.scene.judge
    return metrics.frechet_distance(judge.features(x), judge.features(real))

  def cell(self, solver: str, grid: str, calls: int) -> Cell:
    """A solver with so many calls, or one less."""
    double = 2 if self.config["sample"].get("guidance") else 1
    steps = max(calls // double, 1)
    x, asked = self.drawn(solver, grid, (steps + 1) // 2 if solver == "heun" else steps)
    off = None if solver in RANDOM else float(np.sqrt(((x - self.solution) ** 2).mean()))
    return Cell(off, self.distance(x), asked)


def cells(
  bench: Bench, solvers: Sequence[str], grids: Sequence[str], calls: Sequence[int]
) -> Iterator[tuple[str, int, Cell | str]]:
  """("solver, grid", calls, cell) of all combinations; in place of a cell why there is none."""
  for solver in solvers:
    for grid in grids:
      for count in calls:
        try:
          yield f"{solver}, {grid}", count, bench.cell(solver, grid, count)
        except UserError as error:
          yield f"{solver}, {grid}", count, str(error)


def markdown(found: dict[str, dict[int, Cell | str]], calls: Sequence[int], floor: float) -> str:
  """The table: a row for each solver and grid."""

  def text(cell: Cell | str) -> str:
    if isinstance(cell, str):
      return "-"
    off = "" if cell.rms is None else f"{cell.rms:.4f} / "
    return f"{off}{cell.distance:.3g} ({cell.calls})"

  head = (f"solver, grid (training data {floor:.3g})", *(f"{count} calls" for count in calls))
  return table(head, [(name, *(text(row[c]) for c in calls)) for name, row in found.items()])


def plot(path: Path, found: dict[str, dict[int, Cell | str]]) -> None:
  """RMS to the fine solution by calls: a colour for each solver, a dash for each grid."""
  from matplotlib.figure import Figure

  figure = Figure(figsize=(7, 4.5), dpi=100, layout="constrained")
  axes, ticks = figure.add_subplot(), set()
  for name, row in found.items():
    solver, grid = name.split(", ")
    line = [(c.calls, c.rms) for c in row.values() if isinstance(c, Cell) and c.rms]
    if line:
      style = {"color": f"C{DETERMINISTIC.index(solver)}", "linestyle": DASHES[grid]}
      axes.loglog(*zip(*line, strict=True), marker=".", label=name, **style)
      ticks |= {calls for calls, _ in line}
  axes.set(xlabel="network calls a sample", ylabel=f"RMS to the solution of {FINE} steps")
  axes.set_xticks(sorted(ticks), map(str, sorted(ticks)))
  axes.minorticks_off()
  axes.legend(fontsize=7)
  figure.savefig(path)


@refusing
def main(argv: Sequence[str] | None = None) -> int:
  """The command line; returns the exit status."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers", description=__doc__)
  parser.add_argument("run", type=Path)
  parser.add_argument("--calls", default="4,8,16,32")
  parser.add_argument("--samples", type=int, default=500)
  parser.add_argument("--only", default="")
  parser.add_argument("--grids", default="")
  parser.add_argument("--workdir", type=Path)
  options = parser.parse_args(argv)
  try:
    calls = [int(count) for count in options.calls.split(",")]
  except ValueError:
    calls = []
  if not calls or min(calls) < 1 or options.samples < 2:
    raise UserError("--calls takes whole numbers, such as 4,8,16, and --samples 2 or more")
  use_compilation_cache()
  bench = Bench(options.run, options.samples)
  solvers, grids = chosen(options.only, bench.solvers), chosen(options.grids, GRIDS)
  floor, found = bench.distance(None), {}
  folder = options.workdir or options.run / "samplers"
  folder.mkdir(parents=True, exist_ok=True)
  for name, count, cell in cells(bench, solvers, grids, calls):
    found.setdefault(name, {})[count] = cell
    if count == calls[-1]:
      print(markdown({name: found[name]}, calls, floor).splitlines()[-1], flush=True)
      plain = lambda c: c if isinstance(c, str) else c._asdict()
      rows = {name: {c: plain(cell) for c, cell in row.items()} for name, row in found.items()}
      write_json(folder / "samplers.json", {"of_training_data": floor, "rows": rows})
  (folder / "samplers.md").write_text(markdown(found, calls, floor))
  plot(folder / "samplers.png", found)
  print(markdown(found, calls, floor), end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
