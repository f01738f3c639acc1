"""What `--mode=train` does: train or resume, then leave behind what a finished run has."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from gen_jax import remote
from gen_jax.app.completion import FIGURES, figures_of_step, mark_complete, missing
from gen_jax.app.provenance import provenance
from gen_jax.core import PyTree, UserError
from gen_jax.report import measures
from gen_jax.report.html import write_report
from gen_jax.report.scene import Scene
from gen_jax.run import loop, pictures, processes, sample
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.conditions import by_class, conditions
from gen_jax.run.files import folder_in, write_json
from gen_jax.run.folder import locked, note_launch
from gen_jax.run.grids import Grid
from gen_jax.run.load import load_run
from gen_jax.run.rows import read_rows
from gen_jax.run.setup import set_up
from gen_jax.run.states import abstract_states, batches_of
from gen_jax.run.system import System, Trained
from gen_jax.run.waiting import waiting
from gen_jax.run.weights import EXPORTED, write_weights


def steps_done(workdir: Path) -> int:
  """The total step of the newest checkpoint, 0 where there is none."""
  folder = remote.checkpoints(workdir)
  return max(Checkpoints(folder, writable=False).steps(), default=0) if folder.exists() else 0


def train(
  config: Mapping,
  workdir: Path,
  *,
  init_from: str | None = None,
  profile: int = 0,
  wandb: str = "",
) -> int:
  """Trains, resumes, or says that there is nothing left to do; then evaluates."""
  system = set_up(config)
  measures.check(system)
  check_apart(workdir, system)
  if (workdir / EXPORTED).exists():
    raise UserError(
      f"{workdir} is an export, without what training goes on from: give --init_from={workdir} and"
      " another --workdir"
    )
  warm = warm_start(init_from, system) if init_from else None
  with locked(workdir):
    done = steps_done(workdir)
    if done > system.total:
      raise UserError(f"{workdir} is at step {done}, past config.train.steps={system.total}")
    mark = system.claim(workdir)
    if done == system.total:
      why = missing(system, workdir)
      if processes.is_first():
        told = f"{workdir}: {why}: what can be made of the last checkpoint is made again"
        print(told if why else complete(system, workdir, done))
      if not why:
        return 0
    if processes.is_first():
      note_launch(workdir, provenance() | {"from_step": done, "init_from": init_from})
    with contextlib.closing(Tracer(workdir, profile)) as tracer:
      result = loop.train(
        system, workdir=workdir, fingerprint=mark, title=workdir.name, wandb=wandb,
        warm=None if done else warm, on_step=tracer,
      )  # fmt: skip
    trained = Trained(system, result.states, workdir, system.total)
    if done == system.total:
      show_again(trained)
    finish(trained)
    mark_complete(system, workdir)
    if processes.is_first():
      tell_report(workdir)
  return 0


def tell_report(workdir: Path) -> None:
  """Writes the report, where what makes pages is installed, and says where it is."""
  try:
    print(f"report: {write_report(workdir)}")
  except UserError as error:
    print(f"no report: {error}")


def check_apart(workdir: Path, system: System) -> None:
  """Refuses a run folder inside the folder of the data, where its pictures would become examples.

  Raises:
    UserError: in one line.
  """
  here = workdir.resolve()
  for name in ("path", "other", "data_dir"):
    where = system.experiment.data.get(name) or ""
    folder = Path(where).expanduser().resolve()
    if where and folder.is_dir() and here.is_relative_to(folder):
      raise UserError(f"{workdir} lies inside config.data.{name}={where}: give another --workdir")


def show_again(trained: Trained) -> None:
  """Draws the grid of the last step, which training drew, once more."""
  grid, last = Grid(trained.system, trained.stage), f"{trained.system.total:06d}.png"
  if trained.system.experiment.train.sample_every and grid.possible:
    grid.save(trained.workdir / "samples" / last, trained.states)


def complete(system: System, workdir: Path, done: int) -> str:
  """What to say of a run that is complete."""
  steps = system.experiment.train.steps
  longer = str(2 * steps if isinstance(steps, int) else (*steps[:-1], 2 * steps[-1]))
  return (
    f"{workdir} is complete at step {done}."
    f" Extend it with --config.train.steps={shlex.quote(longer)},"
    f" start over with another --workdir or without this folder, or use --mode=sample|evaluate"
  )


def finish(trained: Trained) -> None:
  """What a completed run leaves behind: curves, samples, weights, and at last the figures."""
  workdir, model = trained.workdir, trained.model
  rows = [r for r in read_rows(workdir / "metrics.jsonl") if "split" not in r]
  facts = {"stage", "step", "seconds", "examples_per_second"}
  terms = sorted({name for row in rows for name in row} - facts)
  if rows and processes.is_first():
    pictures.curves(workdir / "curves.png", rows, terms)
  if model.trajectory is not None:
    with waiting("drawing a trajectory"):
      save_trajectory(folder_in(workdir, "samples") / "trajectory.gif", trained)
  if model.pictures is not None:
    folder, shown = folder_in(workdir, "pictures"), model.pictures(trained.states)
    save_pictures(folder, shown, trained.spec.levels)
  write_weights(workdir, trained)
  take_measures(trained)
  grid = workdir / "samples" / f"{trained.system.total:06d}.png"
  if processes.is_first() and grid.exists():
    print(f"samples: {grid} of shape {trained.spec.shape}")


def save_pictures(folder: Path, shown: Mapping[str, Any], levels: int | None) -> None:
  """Each set of x [n, ...] as <folder>/<name>.png, where examples can be drawn at all."""
  shown = {name: np.asarray(x) for name, x in shown.items()}
  if shown and processes.is_first():
    for name, x in shown.items():
      pictures.show(folder / f"{name}.png", x, levels)


def save_trajectory(path: Path, trained: Trained) -> None:
  """A GIF of how a grid of samples comes to be."""
  model, spec, system = trained.model, trained.spec, trained.system
  n, order, columns = by_class(model, spec, per_class=8)
  cond = conditions(model, spec, n, split=trained.source.splits["train"], spread=True)
  frames = sample.draw(
    sample.compiled(model.trajectory, system.mesh), trained.states,
    sample.sample_keys(system.config["seed"]), n, cond,
    chunk=sample.chunk_size(system.experiment.evaluate.batch_size, system.mesh),
    mesh=system.mesh, axis=1,
  )[:, order]  # fmt: skip
  if processes.is_first():
    pictures.show_gif(path, frames, spec.levels, columns)


def take_measures(
  trained: Trained, checkpoint: str = "newest", options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
  """Takes the config's measures, writes evaluation.json, or evaluation-best.json of the best
  checkpoint, and prints the figures. Figures of other steps go: they are of another model. Those of
  other `options` than the run's own say which, since figures of its own may stand beside them."""
  workdir, system = trained.workdir, trained.system
  rows = [row for row in read_rows(workdir / "metrics.jsonl") if "split" not in row]
  last = len(system.program.stages) - 1
  scene = Scene(trained, [row for row in rows if row["stage"] == last])
  taken = measures.take(tuple(system.config["measures"]), scene)
  of = {"step": trained.step, "checkpoint": checkpoint}
  of |= {"options": dict(options)} if options else {}
  records = {name: record | of for name, record in taken.items()}
  if not processes.is_first():
    return records
  path = workdir / (FIGURES if checkpoint == "newest" else f"evaluation-{checkpoint}.json")
  write_json(path, figures_of_step(path, trained.step) | records)
  for name, record in records.items():
    print(measures.line(name, record))
  return records


class Tracer:
  """on_step that traces `steps` steps into <workdir>/profile, once compilation is behind; to be
  closed, since a run may end before."""

  def __init__(self, workdir: Path, steps: int):
    self.workdir, self.steps = workdir, steps
    self.earliest = self.first = self.last = None

  def __call__(self, step: int) -> None:
    self.last, self.earliest = step, self.earliest or step + 2
    if self.first is not None and step >= self.first + self.steps:
      self.close()
    elif self.first is None and self.steps > 0 and step >= self.earliest:
      jax.profiler.start_trace(str(folder_in(self.workdir, "profile")))
      self.first = step

  def close(self) -> None:
    if self.first is not None:
      jax.profiler.stop_trace()
      steps = f"{self.last - self.first} steps from step {self.first} on"
      print(f"profile of {steps}: {self.workdir}/profile")
    self.first, self.steps = None, 0


def warm_start(folder: str, system: System) -> Callable[[list[PyTree], PyTree], PyTree]:
  """Takes over the weights of another run, array by array where name and shape agree.

  Raises:
    UserError: if there is no such run, or no array of it fits.
  """
  stages = system.program.stages
  with remote.opened(folder) as workdir:
    others = load_run(workdir, mesh=system.mesh, builders=(system.config["builder"],)).states

  def by_name(index, states):
    """{path: array} of the weights of a stage, of another program's or of this one's states."""
    weights = {name: states[index].get(name, {}) for name in stages[index].model.weights}
    return {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(weights)}

  def fitting(old, new):
    return {name for name, x in new.items() if name in old and old[name].shape == x.shape}

  count = min(len(others), len(stages))
  states = abstract_states(system.program, count, batches_of(system), system.mesh)
  if not any(fitting(by_name(i, others), by_name(i, states)) for i in range(count)):
    raise UserError(f"--init_from={folder}: no array of that run fits this model")

  def warm(previous, state):
    index = len(previous)
    if index >= len(others):
      return state
    old, new = by_name(index, others), by_name(index, [*previous, state])
    taken = fitting(old, new)

    def pick(path, leaf):
      name = jax.tree_util.keystr(path)
      return old[name].astype(leaf.dtype) if name in taken else leaf

    fresh = {name: state[name] for name in stages[index].model.weights}
    fresh = jax.tree_util.tree_map_with_path(pick, fresh)
    print(f"took over {len(taken)} of {len(new)} arrays from {folder}")
    # A copy: the optimiser's state may share buffers with what it replaces, and both are donated.
    return jax.tree.map(lambda x: np.array(x), {**state, **fresh})

  return warm
