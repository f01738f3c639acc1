"""A run as functions and a state, with or without its data; finished, or as far as it has come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from gen_jax import config as configs
from gen_jax import remote
from gen_jax.core import Model, PyTree, UserError
from gen_jax.run.checkpoint import Checkpoints, Damaged
from gen_jax.run.folder import differences, read_record, specs_of
from gen_jax.run.mesh import make_mesh, placed
from gen_jax.run.setup import set_up
from gen_jax.run.states import abstract_states, batches_of
from gen_jax.run.step import Tally
from gen_jax.run.system import System, Trained
from gen_jax.schema import OPTIONS


def load(
  workdir: str | Path, *, checkpoint: str = "newest", **options: Mapping
) -> tuple[Model, Any]:
  """The model of a run and its state: `model, state = gen_jax.load("runs/ddpm")`.

  Of a run that has not come to its last stage, the system as it stands.

  Args:
    workdir: a run folder, or the URL of one.
    checkpoint: newest, or best (by the validation term that the config names).
    **options: changes to the config groups `sample` and `likelihood`, such as
      sample=dict(steps=50); they rebuild the functions and leave the state as it is.

  Raises:
    UserError: if there is no such run, checkpoint or option.
  """
  with remote.opened(workdir) as folder:
    trained = load_run(folder, checkpoint=checkpoint, **options)
  return trained.model, trained.states


def load_run(
  workdir: Path, *, checkpoint: str = "newest", mesh: Mesh | None = None, **options: Mapping
) -> Trained:
  """A run without its data; see `load`."""
  for name in options:
    if name not in OPTIONS:
      raise UserError(f"load takes {' and '.join(OPTIONS)}, not {name!r}")
  config = configs.merge(read_record(workdir)["config"], options)
  return opened(config, workdir, checkpoint, mesh=mesh)


def opened(
  config: Mapping, workdir: Path, checkpoint: str, *, data: bool = False, mesh: Mesh | None = None
) -> Trained:
  """A run with the options of `config`, such as those of sampling.

  Args:
    config: of the run, but for what is outside its fingerprint.
    workdir: the run folder.
    checkpoint: newest or best.
    data: whether its data are read.
    mesh: the devices; all where None.

  Raises:
    UserError: if the folder is another config's, or holds no checkpoint.
  """
  record, experiment = read_record(workdir), configs.parse(config)
  theirs = configs.parse(record["config"]).config
  if configs.identity(experiment.config) != configs.identity(theirs):
    raise UserError(
      f"{workdir} belongs to another config ({differences(theirs, experiment.config)}): give its"
      " --workdir"
    )
  if data:
    system = set_up(experiment.config, mesh)
  else:
    spec, *specs = specs_of(record)
    program = configs.build(experiment.config, spec)
    system = System(program, experiment, mesh or make_mesh(), spec, tuple(specs))
  states, step = restore(system, workdir, checkpoint)
  return Trained(system, states, workdir, step)


def restore(system: System, workdir: Path, checkpoint: str) -> tuple[list[PyTree], int]:
  """The states of the stages so far from the newest or the best checkpoint, and their total step.

  Raises:
    UserError: if there is none, or it is damaged.
  """
  if checkpoint not in ("newest", "best"):
    raise UserError(f"checkpoint {checkpoint!r}: newest or best")

  def abstract(meta):
    count = meta["stage"] + 1
    shapes = abstract_states(system.program, count, batches_of(system, 1), system.mesh)
    return {"states": shapes, "tally": placed(Tally.zero(meta["terms"]), system.mesh)}

  saved = Checkpoints(remote.checkpoints(workdir), writable=False)
  if checkpoint == "best":
    step = saved.best_step()
    if step is None:
      raise UserError(f"{workdir} has no best checkpoint: train with config.train.best set")
    try:
      found = saved.restore(step, abstract)
    except Damaged as error:
      raise UserError(f"checkpoint {step}, the best of {workdir}, is damaged ({error})") from error
  else:
    found = saved.restore_newest(abstract)
  saved.close()
  if found is None:
    raise UserError(f"{workdir} has no checkpoint yet: train it first")
  content, meta = found
  return list(content["states"]), system.offsets[meta["stage"]] + meta["step"]
