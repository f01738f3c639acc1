"""Several configs, each with many seeds at once under `vmap`, and what they came to.

  python -m benchmarks.seeds configs/db_vae.py:plain configs/db_vae.py:tempered [--seeds 5]
  python -m benchmarks.seeds configs/debias.py:adult --set data.path=FOLDER --measures fairness

trains all seeds of a config by the trainer that single runs have, each with batches, weights and
draws of its own, and takes measures of every one; the table has means and standard deviations. Of
programs of one stage. Under `vmap`, the batches of an epoch go to all seeds in turn.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

import jax
import numpy as np

from benchmarks.common import refusing, table
from gen_jax import config as configs
from gen_jax import data
from gen_jax.app import cli
from gen_jax.app.tasks import read_value
from gen_jax.core import UserError, single
from gen_jax.learn.replicas import replicas
from gen_jax.main import use_compilation_cache
from gen_jax.report import measures
from gen_jax.report.scene import Scene
from gen_jax.run.files import write_json
from gen_jax.run.loop import train
from gen_jax.run.mesh import make_mesh
from gen_jax.run.system import Trained, system_of

Figures = dict[str, list[float]]


def nested(text: str) -> dict:
  """ "model.alpha=2" -> {"model": {"alpha": 2}}.

  Raises:
    UserError: for a text of another form.
  """
  name, equals, value = text.partition("=")
  if not equals or not all(name.split(".")):
    raise UserError(f"--set={text}: write FIELD=VALUE, such as model.alpha=2")
  return functools.reduce(lambda v, part: {part: v}, reversed(name.split(".")), read_value(value))


def figures_of(name: str, changes: list[dict], seeds: int, wanted: tuple[str, ...]) -> Figures:
  """figure -> its value for each seed; those that cannot be taken are left out."""
  config = configs.as_dict(cli.load_config(name).to_dict())
  experiment = configs.parse(configs.merge(config, *changes))
  source, mesh = data.load(**experiment.data), make_mesh(jax.devices()[:1])
  program = configs.build(experiment.config, source.spec)
  if len(program.stages) > 1:
    raise UserError(f"{name} has {len(program.stages)} stages, and this is of programs of one")
  one = system_of(program, source, experiment, mesh)
  many = one._replace(program=single(replicas(program.stages[0].model, seeds)))
  states = train(many).states
  found: Figures = {}
  for i in range(seeds):
    own = jax.tree.map(lambda leaf, i=i: leaf[i], states)
    scene = Scene(Trained(one, own, None))
    for figure, record in measures.take(wanted or experiment.config["measures"], scene).items():
      if record["value"] is not None:
        found.setdefault(figure, []).append(float(record["value"]))
  return found


def markdown(rows: dict[str, Figures]) -> str:
  """A row for each config, a column for each figure."""
  names = list(dict.fromkeys(figure for row in rows.values() for figure in row))
  cell = lambda v: f"{np.mean(v):.3f} +- {np.std(v):.3f}" if v else ""
  lines = [(row, *(cell(found.get(name)) for name in names)) for row, found in rows.items()]
  return table(("config", *names), lines)


@refusing
def main(argv: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="benchmarks.seeds", description=__doc__.splitlines()[0])
  parser.add_argument("configs", nargs="+")
  parser.add_argument("--seeds", type=int, default=5)
  parser.add_argument("--set", action="append", default=[], help="FIELD=VALUE of all configs")
  parser.add_argument("--measures", default="", help="with commas; else those of each config")
  parser.add_argument("--out", type=Path, default=Path("runs/seeds.json"))
  given = parser.parse_args(argv)
  if given.seeds < 1:
    raise UserError(f"--seeds must be 1 or more, not {given.seeds}")
  wanted = tuple(given.measures.split(",")) if given.measures else ()
  if unknown := [name for name in wanted if name not in measures.MEASURES]:
    raise UserError(f"--measures: no measure {unknown[0]!r}")
  changes = [nested(text) for text in given.set]
  use_compilation_cache()
  rows = {}
  given.out.parent.mkdir(parents=True, exist_ok=True)
  for name in given.configs:
    rows[Path(name).name] = figures_of(name, changes, given.seeds, wanted)
    write_json(given.out, rows)
    print(markdown(rows), end="", flush=True)
  return 0


if __name__ == "__main__":
  sys.exit(main())
