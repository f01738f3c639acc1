"""Mode coverage of GANs by PacGAN's protocol (Lin et al. 2018, section 4.1), seeds under `vmap`.

  python -m benchmarks.modes [--steps 20000] [--seeds 3] [--only ns-ring8,...] [--workdir DIR]

trains each configuration with all its seeds at once, by the trainer and the configs that single
runs have, draws 2500 samples of each seed, and writes modes.json and modes.md, means over seeds
with their standard deviations, beside the published means of ten runs of 400k steps, and modes.png,
the first seed's samples of each, over data in grey. The same command goes on with what was cut off,
and with more --steps it makes complete runs longer.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.common import chosen, refusing, table
from gen_jax import config as configs
from gen_jax import data, metrics
from gen_jax.app import cli
from gen_jax.app.sweep import cell, summary
from gen_jax.core import UserError, single
from gen_jax.learn.replicas import replicas
from gen_jax.main import use_compilation_cache
from gen_jax.run import pictures, sample
from gen_jax.run.files import write_json
from gen_jax.run.folder import locked
from gen_jax.run.loop import train
from gen_jax.run.mesh import make_mesh
from gen_jax.run.signals import Stopped
from gen_jax.run.system import system_of

# name -> (config, what is published of it: modes and share of high quality by PacGAN's table 1, or
# modes alone, by Srivastava et al. 2017, table 1, of other players and samples; or None)
RUNS: dict[str, tuple[str, tuple[float, ...] | None]] = {
  "ns-ring8": ("gan.py:ns-ring8", (6.3, 0.982)),
  "ns-packing2-ring8": ("pacgan.py:packing2-ring8", (7.9, 0.956)),
  "ns-packing4-ring8": ("pacgan.py:ring8", None),
  "wgan_gp-ring8": ("gan.py:wgan_gp-ring8", None),
  "minibatch-ring8": ("gan.py:minibatch-ring8", None),
  "unrolled-ring8": ("gan.py:unrolled-ring8", (7.6,)),
  "r3gan-ring8": ("gan.py:r3gan-ring8", None),
  "ns-grid25": ("gan.py:ns-grid25", (17.3, 0.948)),
  "ns-packing2-grid25": ("pacgan.py:packing2-grid25", (23.8, 0.913)),
  "ns-packing4-grid25": ("pacgan.py:grid25", (24.8, 0.936)),
  "wgan_gp-grid25": ("gan.py:wgan_gp-grid25", None),
  "minibatch-grid25": ("gan.py:minibatch-grid25", None),
  "unrolled-grid25": ("gan.py:unrolled-grid25", (23.6,)),
  "r3gan-grid25": ("gan.py:r3gan-grid25", None),
}
SAMPLES = 2500
FIGURES = ("modes_covered", "high_quality_share", "reverse_kl")


def coverage(name: str, steps: int, seeds: int, workdir: Path) -> tuple[dict[str, Any], np.ndarray]:
  """Trains the seeds of a configuration to `steps`.

  Returns:
    Each figure's summary, and the picture of the first seed's samples, [H, W, 3] uint8.
  """
  config = cli.load_config(str(cli.CONFIGS / RUNS[name][0]))
  config.train.steps = steps
  experiment = configs.parse(config)
  # One device: batches of 100 cannot be shared by eight, and these networks are small.
  source, mesh = data.load(**experiment.data), make_mesh(jax.devices()[:1])
  program = configs.build(experiment.config, source.spec)
  (stage,) = program.stages
  sizes = {split: len(examples) for split, examples in source.splits.items()}
  mark = configs.fingerprint(experiment.config, [source.spec], sizes, [source.digest])
  folder = workdir / f"{name}-{seeds}seeds-{mark}"
  with locked(folder):
    (folder / "checkpoints").mkdir(exist_ok=True)
    many = system_of(single(replicas(stage.model, seeds)), source, experiment, mesh)
    result = train(many, workdir=folder, fingerprint=mark, title=name)
  drawer = sample.compiled(program.model.sample, mesh)
  chunk = sample.chunk_size(experiment.evaluate.batch_size, mesh)
  notes, real = source.notes, source.splits["test"].arrays()["x"][:SAMPLES]
  found, drawn = [], []
  for i in range(seeds):
    states = jax.tree.map(lambda leaf, i=i: leaf[i], result.states)
    x = sample.draw(drawer, states, sample.sample_keys(i), SAMPLES, {}, chunk=chunk, mesh=mesh)
    found.append(metrics.mode_coverage(x, notes["modes"], notes["mode_deviation"]))
    drawn.append(pictures.scatter(folder / f"samples-{i}.png", x, real))
  return {
    "modes": len(notes["modes"]), "steps": steps, "seeds": seeds, "samples": SAMPLES,
    **{figure: summary([float(getattr(f, figure)) for f in found]) for figure in FIGURES},
  }, drawn[0]  # fmt: skip


def markdown(rows: dict[str, dict]) -> str:
  """The table, with the published figures beside."""
  head = (
    "run", "steps", "seeds", "modes", "high quality", "reverse KL", "published modes, high quality",
  )  # fmt: skip
  lines = []
  for name, row in rows.items():
    published = RUNS[name][1] or ()
    theirs = ", ".join([str(v) for v in published[:1]] + [f"{v:.1%}" for v in published[1:]])
    covered, share, divergence = (cell(row[figure]) for figure in FIGURES)
    covered = f"{covered} of {row['modes']}"
    lines.append((name, row["steps"], row["seeds"], covered, share, divergence, theirs))
  return table(head, lines)


@refusing
def main(argv: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="benchmarks.modes", description=__doc__.splitlines()[0])
  parser.add_argument("--steps", type=int, default=20_000)
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--only", default="", help="some of them, with commas")
  parser.add_argument("--workdir", type=Path, default=Path("runs/modes"))
  given = parser.parse_args(argv)
  try:
    names = chosen(given.only, RUNS)
    if given.seeds < 1:
      raise UserError(f"--seeds must be 1 or more, not {given.seeds}")
    use_compilation_cache()
    rows, drawn = {}, []
    for name in names:
      rows[name], picture = coverage(name, given.steps, given.seeds, given.workdir)
      drawn.append(picture)
      write_json(given.workdir / "modes.json", rows)
      (given.workdir / "modes.md").write_text(markdown(rows))
    grid = pictures.grid(np.stack(drawn), columns=math.ceil(len(drawn) / 2))
    pictures.save_png(given.workdir / "modes.png", grid)
  except Stopped as stop:
    print("benchmarks.modes: stopped and saved; the same command goes on from there")
    return stop.code
  print(markdown(rows), end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
