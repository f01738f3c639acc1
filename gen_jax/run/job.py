"""A training run as its stages see it: what they share, where it stands, how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from gen_jax import remote
from gen_jax.core import PyTree, UserError
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.log import Log
from gen_jax.run.mesh import placed
from gen_jax.run.states import abstract_states, batches_of
from gen_jax.run.step import Tally
from gen_jax.run.system import System


class NonFinite(Exception):
  """A loss term became NaN or infinite: `term`, first at the total step `step`."""

  def __init__(self, term: str, step: int, checkpoint: int):
    super().__init__(
      f"{term} is not finite at step {step}; the last good checkpoint is of step {checkpoint}"
    )
    self.term, self.step = term, step


class Start(NamedTuple):
  """Where a run begins or goes on.

  stage, step: in the program, in the stage.
  states: of the stages so far.
  tally: since the last row, or None.
  attempt: how often the run was rolled back; the streams of randomness depend on it.
  """

  stage: int = 0
  step: int = 0
  states: tuple[PyTree, ...] = ()
  tally: Tally | None = None
  attempt: int = 0


class Job(NamedTuple):
  """What the stages of one training run share.

  workdir, saver: None for a run that leaves nothing behind.
  stopping: the signal that asked for a stop, or None.
  on_step: called with the total step after each dispatch.
  """

  system: System
  workdir: Path | None
  saver: Checkpoints | None
  log: Log
  fingerprint: str
  stopping: Callable[[], int | None]
  on_step: Callable[[int], None]


def job_of(
  system: System,
  *,
  workdir: Path | None = None,
  fingerprint: str = "",
  title: str = "",
  wandb: str = "",
  stopping: Callable[[], int | None] = lambda: None,
  on_step: Callable[[int], None] = lambda step: None,
) -> Job:
  """What the stages of a run share; see `loop.train`."""
  saver, keep = None, system.experiment.train.keep
  if workdir is not None:
    saver = Checkpoints(remote.checkpoints(workdir), keep=keep, fingerprint=fingerprint)
  log = Log(workdir, system.total, title, wandb, system.config)
  return Job(system, workdir, saver, log, fingerprint, stopping, on_step)


def restore(job: Job, saver: Checkpoints | None = None, at: int | None = None) -> Start:
  """Where the job stands: at its newest checkpoint, or the beginning.

  Args:
    job: whose states.
    saver: read from; the job's own where None.
    at: total step of the checkpoint to read instead of the newest.

  Raises:
    Damaged: if the checkpoint `at` is.
    UserError: if all are, or the config's lengths do not go with it.
  """
  saver, system = saver or job.saver, job.system
  if saver is None:
    return Start()
  settings = system.experiment.train

  def abstract(meta):
    check_stage(system, meta, job.workdir)
    check_lengths(system, meta, job.workdir)
    states = abstract_states(
      system.program, meta["stage"] + 1, batches_of(system), system.mesh, settings.layout
    )
    return {"states": states, "tally": placed(Tally.zero(meta["terms"]), system.mesh)}

  found = saver.restore_newest(abstract) if at is None else saver.restore(at, abstract)
  if found is None:
    return Start()
  content, meta = found
  stage, step = meta["stage"], meta["step"]
  if step % (calls := settings.steps_per_call):
    raise UserError(
      f"{job.workdir} is at step {step}, which config.train.steps_per_call={calls} does not divide:"
      " go on with the number it was trained with"
    )
  return Start(stage, step, content["states"], content["tally"], meta["attempt"])


def check_stage(system: System, meta: Mapping, workdir: Path | None) -> None:
  """Refuses a checkpoint of a stage that the program lacks.

  Raises:
    UserError: in one line.
  """
  stage, stages = meta["stage"], len(system.program.stages)
  if not 0 <= stage < stages:
    raise UserError(f"{workdir} is at stage {stage}, and this program has {stages} stages")


def check_lengths(system: System, meta: Mapping, workdir: Path | None) -> None:
  """Refuses to train on from a step that is none under the config's lengths.

  Raises:
    UserError: in one line.
  """
  stage, step, lengths = meta["stage"], meta["step"], system.lengths
  if step > lengths[stage]:
    raise UserError(f"{workdir} is at step {step}, past config.train.steps={lengths[stage]}")
  before = meta["total"] - step
  if before != system.offsets[stage]:
    raise UserError(
      f"{workdir} was trained for {before} steps before stage {stage}, and config.train.steps says"
      f" {system.offsets[stage]}: only the stage that a run is in, and later ones, can be extended"
    )
