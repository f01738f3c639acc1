"""The trainer: one loop for every program, however many stages, players or devices it has.

It owns the step counter, the root key, the devices, the data, checkpoints and logs, and never looks
inside a model's state.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from absl import logging

from gen_jax.core import PyTree
from gen_jax.run.job import Job, NonFinite, Start, job_of, restore
from gen_jax.run.signals import received
from gen_jax.run.stage import Run
from gen_jax.run.system import System

ROLLBACKS = 3  # how often a run goes back before it gives up
# (previous states, fresh state) -> state: what a stage starts from instead of the fresh state.
Warm = Callable[[list[PyTree], PyTree], PyTree]


class Result(NamedTuple):
  """states: of all stages. step: total steps done. compilations: executables of each stage run."""

  states: list[PyTree]
  step: int
  compilations: list[int]


def train(
  system: System,
  *,
  workdir: Path | None = None,
  fingerprint: str = "",
  title: str = "",
  wandb: str = "",
  warm: Warm | None = None,
  on_step: Callable[[int], None] = lambda step: None,
) -> Result:
  """Trains a system from where its run folder stands to its end.

  Args:
    system: what to train, and on what.
    workdir: where metrics, samples and checkpoints go; None for nowhere.
    fingerprint: of the config, kept in each checkpoint.
    title: of the progress; empty for silence.
    wandb: W&B project, or empty.
    warm: what a new run starts from instead of fresh states.
    on_step: called with the total step after each dispatch.

  Raises:
    Stopped: after a SIGINT or SIGTERM, once everything is saved.
    NonFinite: if a metric is not finite.
    UserError: for a batch size that the devices cannot share, damaged checkpoints, and the like.
  """
  settings = system.experiment.train
  with received() as stopping:
    job = job_of(
      system, workdir=workdir, fingerprint=fingerprint, title=title, wandb=wandb,
      stopping=stopping, on_step=on_step,
    )  # fmt: skip
    try:
      start = restore(job)
      if title and start.states:
        at = system.offsets[start.stage] + start.step
        print(f"{title}: going on from step {at} of {system.total}")
      while True:
        try:
          return go(job, start, warm)
        except NonFinite as error:
          attempt = start.attempt + 1
          if settings.on_nonfinite != "rollback" or attempt > ROLLBACKS:
            raise
          logging.warning("%s: going on from there, attempt %d of %d", error, attempt, ROLLBACKS)
          job.log.close()
          start = restore(job)._replace(attempt=attempt)
    finally:
      job.log.close()
      if job.saver is not None:
        job.saver.close()


def go(job: Job, start: Start, warm: Warm | None = None) -> Result:
  """The stages of a job from `start` on; `warm` as in `train`."""
  offsets = job.system.offsets
  job.log.open(start.stage, start.step, offsets[start.stage] + start.step)
  states, compilations = list(start.states), []
  for i in range(start.stage, len(job.system.program.stages)):
    run = Run(job, i, states[:i], start.attempt)
    job.log.name(run.name)
    if i == len(states):
      state, first, tally = run.begin(warm), 0, None
    else:
      state, first, tally = states[i], start.step, start.tally
    states = [*run.previous, run.go(state, tally, first)]
    compilations.append(run.step.compilations())
  return Result(states, offsets[-1], compilations)
