"""What the command line does with a run folder: train, sample, evaluate, export, or look only."""

from __future__ import annotations

import contextlib
import functools
import math
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from gen_jax import config as configs
from gen_jax import data as sources
from gen_jax import remote
from gen_jax.app.provenance import provenance
from gen_jax.core import Program, PyTree, UserError, stream
from gen_jax.data import Source
from gen_jax.report import measures
from gen_jax.report import uses as modes
from gen_jax.report.export import export_safetensors
from gen_jax.run import loop, pictures, processes
from gen_jax.run import replay as replays
from gen_jax.run import sample as sampling
from gen_jax.run import states as states_of
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.folder import (
  claim,
  differences,
  locked,
  note_launch,
  read_json,
  read_record,
  read_rows,
  read_spec,
  write_json,
)
from gen_jax.run.load import load_run, restore
from gen_jax.run.mesh import make_mesh
from gen_jax.run.step import Step

TrainJudge = Callable[..., measures.Judge]  # (source, experiment, mesh, workdir) -> Judge


class Setup(NamedTuple):
  """A config made real: its data, its program, the devices, and the steps of all stages."""

  experiment: configs.Experiment
  source: Source
  program: Program
  mesh: Mesh
  total: int

  def claim(self, workdir: Path) -> str:
    """Makes the folder this config's, or refuses; returns the fingerprint."""
    sizes = {name: len(split) for name, split in self.source.splits.items()}
    return claim(workdir, self.experiment.config, self.source.spec, sizes)


def set_up(config: Mapping) -> Setup:
  """Reads the data and builds the program; refuses everything that can be refused at once."""
  experiment = configs.parse(config)
  source = sources.load(**experiment.data)
  program = configs.build(experiment.config, source.spec)
  reads = {name for stage in program.stages for name in stage.model.cond}
  sources.check_feed(experiment.feed, source.spec, reads.union(program.model.cond))
  names, split = tuple(experiment.config["measures"]), experiment.evaluate.split
  measures.check(names, program, source, split)
  states_of.check_passes(program, experiment.feed.remainder)
  states_of.check_validation(program, source, experiment.train)
  total = sum(states_of.stage_steps(program, experiment.train))
  return Setup(experiment, source, program, make_mesh(), total)


def steps_done(workdir: Path) -> int:
  """The total step of the newest checkpoint, 0 where there is none."""
  folder = remote.checkpoints(workdir)
  return max(Checkpoints(folder, writable=False).steps(), default=0) if folder.exists() else 0


def config_of(workdir: Path) -> dict:
  """The config that a run folder holds."""
  return read_record(workdir)["config"]


def train(
  config: Mapping,
  workdir: Path,
  train_judge: TrainJudge,
  *,
  init_from: str | None = None,
  profile: int = 0,
  wandb: str = "",
) -> int:
  """Trains, resumes, or says that there is nothing left to do; then evaluates."""
  setup = set_up(config)
  warm = warm_start(init_from, setup) if init_from else None
  with locked(workdir):
    done = steps_done(workdir)
    if done > setup.total:
      raise UserError(f"{workdir} is at step {done}, past config.train.steps={setup.total}")
    mark = setup.claim(workdir)
    if done == setup.total and (workdir / "evaluation.json").exists():
      if not processes.is_first():
        return 0
      steps = setup.experiment.train.steps
      longer = str(2 * steps if isinstance(steps, int) else (*steps[:-1], 2 * steps[-1]))
      print(
        f"{workdir} is complete at step {done}."
        f" Extend it with --config.train.steps={shlex.quote(longer)},"
        f" start over with another --workdir or without this folder, or use --mode=sample|evaluate"
      )
      return 0
    if processes.is_first():
      note_launch(workdir, provenance() | {"from_step": done, "init_from": init_from})
    with contextlib.closing(Tracer(workdir, profile)) as tracer:
      result = loop.train(
        setup.program, setup.source, setup.experiment, mesh=setup.mesh, workdir=workdir,
        fingerprint=mark, title=workdir.name, wandb=wandb, warm=None if done else warm,
        on_step=tracer,
      )  # fmt: skip
    finish(setup, workdir, result.states, train_judge)
  return 0


def finish(setup: Setup, workdir: Path, states: list[PyTree], train_judge: TrainJudge) -> None:
  """What a completed run leaves behind: curves, samples, weights, and at last the figures, by
  whose presence a run is known to be complete."""
  rows = [r for r in read_rows(workdir / "metrics.jsonl") if "split" not in r]
  facts = {"stage", "step", "seconds", "examples_per_second"}
  terms = sorted({name for row in rows for name in row} - facts)
  if rows and processes.is_first():
    pictures.curves(workdir / "curves.png", rows, terms)
  model, spec = setup.program.model, setup.source.spec
  if model.trajectory is not None:
    save_trajectory(workdir / "samples" / "trajectory.gif", setup, states)
  if model.pictures is not None:
    save_pictures(workdir / "pictures", model.pictures(states), spec.levels)
  write_weights(workdir, setup.program, states)
  take_measures(setup, workdir, states, train_judge)
  grid = workdir / "samples" / f"{setup.total:06d}.png"
  if processes.is_first() and grid.exists():
    print(f"samples: {grid} of shape {spec.shape}")


def save_pictures(folder: Path, shown: Mapping[str, Any], levels: int | None) -> None:
  """Each set of x [n, ...] as <folder>/<name>.png, where examples can be drawn at all."""
  shown = {name: np.asarray(x) for name, x in shown.items()}
  if shown and processes.is_first():
    folder.mkdir(exist_ok=True)
    for name, x in shown.items():
      pictures.show(folder / f"{name}.png", x, levels)


def save_trajectory(path: Path, setup: Setup, states: list[PyTree]) -> None:
  """A GIF of how a grid of samples comes to be."""
  model, spec, settings = setup.program.model, setup.source.spec, setup.experiment.evaluate
  n, order, columns = sampling.by_class(model, spec, per_class=8)
  split = setup.source.splits["train"]
  cond = sampling.conditions(model, spec, n, split=split, spread=True)
  drawer = sampling.compiled(model.trajectory, setup.mesh)
  frames = sampling.draw(
    drawer, states, sampling.sample_keys(setup.experiment.config["seed"]), n, cond,
    chunk=sampling.chunk_size(settings.batch_size, setup.mesh), mesh=setup.mesh, axis=1,
  )[:, order]  # fmt: skip
  if processes.is_first():
    path.parent.mkdir(exist_ok=True)
    pictures.show_gif(path, frames, spec.levels, columns)


def take_measures(
  setup: Setup, workdir: Path, states: list[PyTree], train_judge: TrainJudge
) -> dict[str, Any]:
  """Takes the config's measures, writes evaluation.json, prints the figures."""
  names = tuple(setup.experiment.config["measures"])

  def judge(source, name):
    kept = workdir.parent / ".classifiers" if name == "real" else None
    return train_judge(source, setup.experiment, setup.mesh, kept)

  rows = read_rows(workdir / "metrics.jsonl")
  scene = measures.Scene(
    setup.program, states, setup.source, setup.experiment, setup.mesh,
    stream(states_of.root_key(setup.experiment.config["seed"]), "measure"), judge,
    [row for row in rows if row["stage"] == len(setup.program.stages) - 1 and "split" not in row],
  )  # fmt: skip
  step = {"step": setup.total}
  records = {name: record | step for name, record in measures.take(names, scene).items()}
  if not processes.is_first():
    return records
  path = workdir / "evaluation.json"
  write_json(path, (read_json(path) if path.exists() else {}) | records)
  for name, record in records.items():
    says = record.get("says") or f"{record['examples']} of {record['split']}"
    print(f"{name:30s} {record['value']:10.4f}   {says}")
  return records


class Tracer:
  """on_step that traces `steps` steps into <workdir>/profile, once compilation is behind; to be
  closed, since a run may end before."""

  def __init__(self, workdir: Path, steps: int):
    self.folder, self.steps = workdir / "profile", steps
    self.earliest = self.first = self.last = None

  def __call__(self, step: int) -> None:
    self.last, self.earliest = step, self.earliest or step + 2
    if self.first is not None and step >= self.first + self.steps:
      self.close()
    elif self.first is None and self.steps > 0 and step >= self.earliest:
      jax.profiler.start_trace(str(self.folder))
      self.first = step

  def close(self) -> None:
    if self.first is not None:
      jax.profiler.stop_trace()
      print(f"profile of {self.last - self.first} steps from step {self.first} on: {self.folder}")
    self.first, self.steps = None, 0


def warm_start(folder: str, setup: Setup) -> Callable[[list[PyTree], PyTree], PyTree]:
  """Takes over the weights of another run, array by array where name and shape agree.

  Raises:
    UserError: if there is no such run, or no array of it fits.
  """
  with remote.opened(folder) as workdir:
    _, _, others, _ = load_run(workdir, mesh=setup.mesh)

  def by_name(index, states):
    """{path: array} of the weights of a stage, of another program's or of this one's states."""
    names = setup.program.stages[index].model.weights
    weights = {name: states[index].get(name, {}) for name in names}
    return {jax.tree_util.keystr(p): x for p, x in jax.tree_util.tree_leaves_with_path(weights)}

  def fitting(old, new):
    return {name for name, x in new.items() if name in old and old[name].shape == x.shape}

  batch = states_of.batch_of_source(setup.source, setup.experiment.feed.batch_size)
  count = min(len(others), len(setup.program.stages))
  states = states_of.abstract_states(setup.program, count, batch, setup.mesh)
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

    names = setup.program.stages[index].model.weights
    fresh = jax.tree_util.tree_map_with_path(pick, {k: state[k] for k in names})
    print(f"took over {len(taken)} of {len(new)} arrays from {folder}")
    # A copy: the optimiser's state may share buffers with what it replaces, and both are donated.
    return jax.tree.map(lambda x: np.array(x), {**state, **fresh})

  return warm


def open_run(config: Mapping, workdir: Path, checkpoint: str) -> tuple[Program, dict, list, Any]:
  """(program, config, states, spec) of a run with the sampling options of `config`, without data.

  Raises:
    UserError: if the folder is another config's, or holds no checkpoint.
  """
  record = read_record(workdir)
  wanted, theirs = configs.parse(config).config, configs.parse(record["config"]).config
  if configs.identity(wanted) != configs.identity(theirs):
    raise UserError(
      f"{workdir} belongs to another config ({differences(theirs, wanted)}): give its --workdir"
    )
  spec = read_spec(record)
  program = configs.build(wanted, spec)
  return program, wanted, restore(workdir, program, spec, checkpoint, make_mesh()), spec


def sample(
  config: Mapping, workdir: Path, *, n: int, seed: int, label: int | None, checkpoint: str
) -> int:
  """Draws n samples into <workdir>/samples: a picture, the arrays, and how they came to be."""
  if n < 1:
    raise UserError(f"--n must be 1 or more, not {n}")
  if seed < 0:
    raise UserError(f"--seed must be 0 or more, not {seed}")
  program, config, states, spec = open_run(config, workdir, checkpoint)
  model, settings = program.model, configs.parse(config).evaluate
  if model.sample is None:
    raise UserError(f"{workdir} holds a model that cannot be sampled")
  others = set(model.cond) - {"label"}
  split = sources.load(**configs.parse(config).data).splits["test"] if others else None
  cond = sampling.conditions(model, spec, n, split=split, label=label, spread=True)
  mesh = make_mesh()
  draw = functools.partial(
    sampling.draw, states=states, key=sampling.sample_keys(seed), cond=cond,
    chunk=sampling.chunk_size(settings.batch_size, mesh), mesh=mesh,
  )  # fmt: skip
  x = draw(sampling.compiled(model.sample, mesh), n=n)
  name = f"seed{seed}-n{n}" + (f"-label{label}" if label is not None else "")
  folder = workdir / "samples"
  folder.mkdir(exist_ok=True)
  np.savez(folder / f"{name}.npz", x=x, **cond)
  columns = math.ceil(math.sqrt(n))
  pictures.show(folder / f"{name}.png", x, spec.levels, columns)
  files = ["npz", "png"]
  if model.trajectory is not None:
    shown = min(n, 64)
    frames = draw(
      sampling.compiled(model.trajectory, mesh), n=shown, axis=1,
      cond={k: v[:shown] for k, v in cond.items()},
    )  # fmt: skip
    pictures.show_gif(folder / f"{name}.gif", frames, spec.levels, math.ceil(math.sqrt(shown)))
    files.append("gif")
  print(f"{n} samples: {folder}/{name}.{{{','.join(files)}}}")
  return 0


def evaluate(config: Mapping, workdir: Path, train_judge: TrainJudge, *, checkpoint: str) -> int:
  """Takes the measures again."""
  setup = set_up(config)
  read_record(workdir)
  with locked(workdir):
    setup.claim(workdir)
    states = restore(workdir, setup.program, setup.source.spec, checkpoint, setup.mesh)
    take_measures(setup, workdir, states, train_judge)
  return 0


def replay(config: Mapping, workdir: Path) -> int:
  """Replays the failure that a run stopped at."""
  setup = set_up(config)
  read_record(workdir)
  with locked(workdir):
    setup.claim(workdir)
    said = replays.replay(
      setup.program, setup.source, setup.experiment, mesh=setup.mesh, workdir=workdir
    )
  print(said)
  return 0


def use(config: Mapping, workdir: Path, mode: str, *, n: int, checkpoint: str) -> int:
  """Runs one of the modes that show what a trained model is for.

  Raises:
    UserError: if the model lacks what the mode needs.
  """
  if n < 1:
    raise UserError(f"--n must be 1 or more, not {n}")
  needs = modes.MODES[mode].needs
  setup = set_up(config)
  missing = [name for name in needs if getattr(setup.program.model, name) is None]
  if missing:
    raise UserError(f"--mode={mode} needs a model with {', '.join(missing)}; {workdir} has none")
  program, _, states, _ = open_run(config, workdir, checkpoint)
  trained = modes.Trained(
    program.model, states, setup.source, setup.experiment, setup.mesh, workdir
  )
  print(modes.MODES[mode].run(trained, n))
  return 0


def export(config: Mapping, workdir: Path, *, checkpoint: str) -> int:
  """Writes the learnt weights as <workdir>/weights.safetensors."""
  program, _, states, _ = open_run(config, workdir, checkpoint)
  print(f"weights: {write_weights(workdir, program, states)}")
  return 0


def write_weights(workdir: Path, program: Program, states: list[PyTree]) -> Path:
  """Every stage's entries named in Model.weights, as <workdir>/weights.safetensors."""
  trees = [
    {name: state[name] for name in stage.model.weights}
    for stage, state in zip(program.stages, states, strict=True)
  ]
  tree = trees[0] if len(trees) == 1 else {f"stage{i}": t for i, t in enumerate(trees)}
  path = workdir / "weights.safetensors"
  if processes.is_first():
    mark = read_record(workdir)["fingerprint"]
    export_safetensors(path, tree, {"fingerprint": mark})
  return path


def dry_run(config: Mapping) -> int:
  """Prints the data, the parameters and the compiled step's memory; trains and writes nothing."""
  setup = set_up(config)
  splits = ", ".join(f"{name} {len(split)}" for name, split in setup.source.splits.items())
  print(f"data        {setup.source.name}: {splits}; {setup.source.spec}")
  print(f"devices     {setup.mesh.size} x {setup.mesh.devices.flat[0].device_kind}")
  lengths = states_of.stage_steps(setup.program, setup.experiment.train)
  batch = states_of.batch_of_source(setup.source, setup.experiment.feed.batch_size)
  layout = setup.experiment.train.layout
  states = states_of.abstract_states(
    setup.program, len(setup.program.stages), batch, setup.mesh, layout
  )
  for i, (stage, state) in enumerate(zip(setup.program.stages, states, strict=True)):
    print(f"stage {i}     {lengths[i]} steps of {stage.model.microbatches} microbatches")
    print(parameter_table({name: state[name] for name in stage.model.weights}))
    root = states_of.root_key(setup.experiment.config["seed"])
    source, feed = loop.with_overrides(stage, setup.source, setup.experiment)
    pipeline = sources.make_pipeline(
      source.splits["train"],
      source.spec,
      feed,
      root,
      stage=i,
      microbatches=stage.model.microbatches,
    )
    calls = setup.experiment.train.steps_per_call
    step = Step(stage, i, pipeline, root, setup.mesh, calls, layout=layout)
    compiled = step.lower(state, states[:i]).compile()
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
    print(f"state       {size(memory.output_size_in_bytes)} on each device")
    print(f"arguments   {size(memory.argument_size_in_bytes)}, the resident data among them")
    print(f"workspace   {size(memory.temp_size_in_bytes)}")
    print(f"arithmetic  {cost.get('flops', float('nan')) / calls / 1e9:.2f} GFLOP a step")
  return 0


def size(count: int) -> str:
  """Bytes in a readable unit."""
  return f"{count / 2**30:.2f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"


def parameter_table(tree: PyTree) -> str:
  """Name, shape, type and number of every array."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  lines = []
  for path, leaf in leaves:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    lines.append(f"  {name:70s} {str(leaf.shape):20s} {leaf.dtype!s:9s} {leaf.size:>12,}")
  groups: dict[str, int] = {}
  for path, leaf in leaves:
    top = str(getattr(path[0], "key", path[0]))
    groups[top] = groups.get(top, 0) + leaf.size
  totals = ", ".join(f"{name} {count:,}" for name, count in groups.items())
  return "\n".join([*lines, f"  total: {totals}"])
