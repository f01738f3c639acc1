"""A trained run as functions and a state, without its data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jax.sharding import Mesh

from gen_jax import config as configs
from gen_jax import remote
from gen_jax.core import Model, Program, PyTree, Spec, UserError
from gen_jax.run.checkpoint import Checkpoints, Damaged
from gen_jax.run.folder import read_record, read_spec
from gen_jax.run.mesh import make_mesh, placed
from gen_jax.run.states import abstract_states, batch_of_spec
from gen_jax.run.step import Tally


def load(
  workdir: str | Path, *, checkpoint: str = "newest", **options: Mapping
) -> tuple[Model, Any]:
  """The model of a run and its state: `model, state = gen_jax.load("runs/ddpm")`.

  Args:
    workdir: a run folder, or the URL of one.
    checkpoint: newest, or best (by the validation term that the config names).
    **options: changes to the config groups `sample` and `likelihood`, such as
      sample=dict(steps=50); they rebuild the functions and leave the state as it is.

  Raises:
    UserError: if there is no such run, checkpoint or option.
  """
  with remote.opened(workdir) as folder:
    program, _, states, _ = load_run(folder, checkpoint=checkpoint, **options)
  return program.model, states


def load_run(
  workdir: Path, *, checkpoint: str = "newest", mesh: Mesh | None = None, **options: Mapping
) -> tuple[Program, dict, list[PyTree], Spec]:
  """(program, config, states of all stages, spec) of a run; see `load`."""
  record = read_record(workdir)
  config, spec = record["config"], read_spec(record)
  for name in options:
    if name not in configs.OPTIONS:
      raise UserError(f"load takes {' and '.join(configs.OPTIONS)}, not {name!r}")
  config = configs.parse(configs.merge(config, options)).config
  program = configs.build(config, spec)
  return program, config, restore(workdir, program, spec, checkpoint, mesh or make_mesh()), spec


def restore(
  workdir: Path, program: Program, spec: Spec, checkpoint: str, mesh: Mesh
) -> list[PyTree]:
  """The states of all stages from the newest or the best checkpoint.

  Raises:
    UserError: if there is none, it is damaged, or the run has not come to its last stage.
  """
  if checkpoint not in ("newest", "best"):
    raise UserError(f"checkpoint {checkpoint!r}: newest or best")
  batch = batch_of_spec(spec, 1)

  def abstract(meta):
    shapes = abstract_states(program, meta["stage"] + 1, batch, mesh)
    return {"states": shapes, "tally": placed(Tally.zero(meta["terms"]), mesh)}

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
  if meta["stage"] + 1 < len(program.stages):
    raise UserError(
      f"{workdir} is still at stage {meta['stage'] + 1} of {len(program.stages)}: train it further"
    )
  return content["states"]
