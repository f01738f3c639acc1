"""A run as functions and a state, with or without its data; finished, or as far as it has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jax.sharding import Mesh
from jax.tree_util import Partial

from gen_jax import config as configs
from gen_jax import remote
from gen_jax.core import Model, PyTree, UserError
from gen_jax.run.checkpoint import Checkpoints, Damaged
from gen_jax.run.folder import differences, read_record, recorded, specs_of
from gen_jax.run.job import check_stage
from gen_jax.run.mesh import make_mesh, placed
from gen_jax.run.setup import set_up
from gen_jax.run.states import abstract_states, batches_of
from gen_jax.run.step import Tally
from gen_jax.run.system import System, Trained
from gen_jax.run.weights import EXPORTED, read_weights
from gen_jax.schema import OPTIONS


def load(
  workdir: str | Path,
  *,
  checkpoint: str = "newest",
  builders: Sequence[str] = (),
  **options: Mapping,
) -> tuple[Model, Any]:
  """The model of a run and its state: `model, state = gen_jax.load("runs/ddpm")`.

  Of a run that has not come to its last stage, the system as it stands.

  Args:
    workdir: a run folder or an export, or the URL of one.
    checkpoint: newest, or best (by the validation term that the config names).
    builders: dotted names of builders of your own that the folder may name; of those that it names,
      only these and gen_jax's are ever imported.
    **options: changes to the config groups `sample` and `likelihood`, such as
      sample=dict(steps=50); they rebuild the functions and leave the state as it is.

  Raises:
    UserError: if there is no such run, checkpoint or option.
  """
  with remote.opened(workdir) as folder:
    trained = load_run(folder, checkpoint=checkpoint, builders=builders, **options)
  return trained.model, trained.states


def load_run(
  workdir: Path,
  *,
  checkpoint: str = "newest",
  mesh: Mesh | None = None,
  builders: Sequence[str] = (),
  **options: Mapping,
) -> Trained:
  """A run without its data; see `load`."""
  for name in options:
    if name not in OPTIONS:
      raise UserError(f"load takes {' and '.join(OPTIONS)}, not {name!r}")
  config = configs.merge(recorded(workdir, builders)[1].config, options)
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
  experiment = configs.parse(config)
  record, recorded_ = recorded(workdir, allow=(experiment.config["builder"],))
  theirs = recorded_.config
  if configs.identity(experiment.config) != configs.identity(theirs):
    raise UserError(
      f"{workdir} belongs to another config ({differences(theirs, experiment.config)}): give its"
      " --workdir"
    )
  spec, *specs = specs_of(record)
  if data:
    system = set_up(experiment.config, mesh)
    system.check_data(record, workdir)
  else:
    program = configs.build(experiment.config, spec)
    system = System(program, experiment, mesh or make_mesh(), spec, tuple(specs))
  states, step = restore(system, workdir, checkpoint)
  return Trained(system, states, workdir, step)


def guided_by(folder: Path, system: System) -> Partial:
  """What another run says of noisy images, (x_t, level, cond) -> prediction.

  Raises:
    UserError: if it says nothing of these.
  """
  other = load_run(folder, mesh=system.mesh)
  if other.model.denoise is None:
    builder = other.system.config["builder"]
    raise UserError(f"sample.guide={folder} is of {builder}, which guides no other run")
  if other.spec.x != system.spec.x:
    of = lambda spec: f"{spec.shape} with {spec.levels} levels"
    raise UserError(f"sample.guide={folder} is of {of(other.spec)}, not of {of(system.spec)}")
  return Partial(other.model.denoise, other.states)


def restore(system: System, workdir: Path, checkpoint: str) -> tuple[list[PyTree], int]:
  """The states of the stages so far from the newest or the best checkpoint, and their total step;
  of an export, its weights and what they are of. The last state has the run that guides samples, if
  the options of sampling name one.

  Raises:
    UserError: if there is none, or it is damaged, or the other guides nothing.
  """
  states, step = saved_states(system, workdir, checkpoint)
  if guide := system.config.get("sample", {}).get("guide"):
    states[-1] = {**states[-1], "guide": guided_by(Path(guide), system)}
  return states, step


def saved_states(system: System, workdir: Path, checkpoint: str) -> tuple[list[PyTree], int]:
  """Those of a folder alone, see `restore`."""
  if checkpoint not in ("newest", "best"):
    raise UserError(f"checkpoint {checkpoint!r}: newest or best")

  def abstract(meta):
    check_stage(system, meta, workdir)
    count = meta["stage"] + 1
    shapes = abstract_states(system.program, count, batches_of(system, 1), system.mesh)
    return {"states": shapes, "tally": placed(Tally.zero(meta["terms"]), system.mesh)}

  if checkpoint == "newest" and (workdir / EXPORTED).is_file():
    return read_weights(system, workdir)
  mark = read_record(workdir)["fingerprint"]
  saved = Checkpoints(remote.checkpoints(workdir), writable=False, fingerprint=mark)
  try:
    found = saved.restore_newest(abstract) if checkpoint == "newest" else best(saved, abstract)
  finally:
    saved.close()
  if found is None:
    raise UserError(
      f"{workdir} has no checkpoint yet: train it first"
      if checkpoint == "newest"
      else f"{workdir} has no best checkpoint: train with config.train.best set"
    )
  content, meta = found
  return list(content["states"]), meta["total"]


def best(saved: Checkpoints, abstract: Callable) -> tuple[PyTree, dict] | None:
  """State and meta of the best checkpoint, None where there is none. While training goes on, it may
  be deleted for a better one before it is read.

  Raises:
    UserError: if it is damaged.
  """
  while (step := saved.best_step()) is not None:
    try:
      return saved.restore(step, abstract)
    except Damaged as error:
      if not saved.gone(step):
        why = f"checkpoint {step}, the best in {saved.folder}, is damaged ({error})"
        raise UserError(why) from error
  return None
