"""Replaying a failure: the same steps from the same checkpoint come to the same bad term."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from gen_jax import remote
from gen_jax.core import UserError
from gen_jax.run.checkpoint import Checkpoints, Damaged
from gen_jax.run.files import folder_in, read_json, write_arrays
from gen_jax.run.job import Job, NonFinite, Start, job_of, restore
from gen_jax.run.loop import go
from gen_jax.run.stage import Run
from gen_jax.run.system import System

# What a record of a failure holds at least.
FAILURE = {"step": int, "term": str, "noticed": int, "checkpoint": int, "attempt": int}


class Past(Exception):
  """The replay has come past the step at which the failure was noticed."""


def replay(system: System, workdir: Path) -> str:
  """Runs the steps that <workdir>/failure/record.json tells of, and keeps the batch of the bad one.

  Nothing in the folder is changed, except that the batch of the failing step is written to
  failure/batch.npz.

  Returns:
    What happened, in one line.

  Raises:
    UserError: if nothing failed there, or the checkpoint before it is gone or damaged; or if the
      steps came to another end than the record says.
  """
  path = workdir / "failure" / "record.json"
  if not path.exists():
    raise UserError(f"{path} does not exist: nothing failed in this run")
  record = read_json(path, dict)
  for name, kind in FAILURE.items():
    if not isinstance(record.get(name), kind):
      raise UserError(f"{path} has no {name}: the run folder is damaged")

  def on_step(step: int) -> None:
    if step > record["noticed"]:
      raise Past

  job = job_of(system, on_step=on_step)
  start = beginning(job, workdir, record["checkpoint"])._replace(attempt=record["attempt"])
  told = f"{record['term']} is not finite at step {record['step']}"
  try:
    go(job, start)
    found = "every term stayed finite"
  except Past:
    found = "every term stayed finite"
  except NonFinite as error:
    found = f"{error.term} is not finite at step {error.step}"
  if found != told:
    raise UserError(f"the failure did not come again: {found}, and {path} says that {told}")
  batch = save_batch(job, start, record["step"], folder_in(workdir, "failure") / "batch.npz")
  return f"replayed from step {record['checkpoint']}: {told}; its batch: {batch}"


def beginning(job: Job, workdir: Path, checkpoint: int) -> Start:
  """The checkpoint at that total step, or the beginning where it is 0."""
  if not checkpoint:
    return Start()
  saved = Checkpoints(remote.checkpoints(workdir), writable=False)
  if checkpoint not in saved.steps():
    raise UserError(f"the checkpoint of step {checkpoint} in {workdir} is gone: nothing to replay")
  try:
    return restore(job, saved, checkpoint)
  except Damaged as error:
    raise UserError(f"checkpoint {checkpoint} in {workdir} is damaged ({error})") from error
  finally:
    saved.close()


def save_batch(job: Job, start: Start, step: int, path: Path) -> Path:
  """Writes the batch [M, B, ...] of a total step; returns where."""
  index = int(np.searchsorted(job.system.offsets, step, side="right")) - 1
  run = Run(job, index, list(start.states[:index]), start.attempt)
  batch = jax.device_get(run.batch(step - run.offset))
  write_arrays(path, batch)
  return path
