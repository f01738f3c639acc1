"""The trainer: one loop for every program, however many stages, players or devices it has.

It owns the step counter, the root key, the devices, the data, checkpoints and logs, and never looks
inside a model's state.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh

from gen_jax import data as sources
from gen_jax import remote
from gen_jax.config import Experiment
from gen_jax.core import Array, Program, PyTree, Stage, UserError, stream
from gen_jax.data import Feed, Source
from gen_jax.run import evaluate, pictures, processes, sample
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.folder import write_json
from gen_jax.run.log import Log
from gen_jax.run.mesh import check_divides, layout_of, placed, put, replicate
from gen_jax.run.signals import Stopped, received
from gen_jax.run.states import (
  abstract_states,
  batch_of_source,
  initialiser,
  root_key,
  stage_steps,
)
from gen_jax.run.step import Step, Tally

ROLLBACKS = 3  # how often a run goes back before it gives up


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


class Result(NamedTuple):
  """states: of all stages. step: total steps done. compilations: executables of each stage run."""

  states: list[PyTree]
  step: int
  compilations: list[int]


class Job(NamedTuple):
  """What the stages of one training run share.

  offsets: total steps before each stage; the last entry is the total.
  workdir, saver: None for a run that leaves nothing behind.
  """

  program: Program
  source: Source
  experiment: Experiment
  root: Array
  mesh: Mesh
  offsets: list[int]
  workdir: Path | None
  saver: Checkpoints | None
  log: Log
  fingerprint: str
  stopping: Callable[[], int | None]
  on_step: Callable[[int], None]


def train(
  program: Program,
  source: Source,
  experiment: Experiment,
  *,
  mesh: Mesh,
  workdir: Path | None = None,
  fingerprint: str = "",
  title: str = "",
  wandb: str = "",
  warm: Callable[[list[PyTree], PyTree], PyTree] | None = None,
  on_step: Callable[[int], None] = lambda step: None,
) -> Result:
  """Trains a program from where its run folder stands to its end.

  Args:
    program: what to train.
    source: its data.
    experiment: the checked config.
    mesh: the devices.
    workdir: where metrics, samples and checkpoints go; None for nowhere.
    fingerprint: of the config, kept in each checkpoint.
    title: of the progress; empty for silence.
    wandb: W&B project, or empty.
    warm: (previous states, fresh state) -> state: what a new run starts from instead.
    on_step: called with the total step after each dispatch.

  Raises:
    Stopped: after a SIGINT or SIGTERM, once everything is saved.
    NonFinite: if a metric is not finite.
    UserError: for a batch size that the devices cannot share, damaged checkpoints, and the like.
  """
  settings = experiment.train
  with received() as stopping:
    job = job_of(
      program, source, experiment, mesh=mesh, workdir=workdir, fingerprint=fingerprint,
      title=title, wandb=wandb, stopping=stopping, on_step=on_step,
    )  # fmt: skip
    try:
      start = restore(job)
      if title and start.states:
        at = job.offsets[start.stage] + start.step
        print(f"{title}: going on from step {at} of {job.offsets[-1]}")
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


def job_of(
  program: Program,
  source: Source,
  experiment: Experiment,
  *,
  mesh: Mesh,
  workdir: Path | None = None,
  fingerprint: str = "",
  title: str = "",
  wandb: str = "",
  stopping: Callable[[], int | None] = lambda: None,
  on_step: Callable[[int], None] = lambda step: None,
) -> Job:
  """What the stages of a run share; see `train`."""
  train = experiment.train
  offsets = [0, *np.cumsum(stage_steps(program, train)).tolist()]
  return Job(
    program, source, experiment, root_key(experiment.config["seed"]), mesh, offsets, workdir,
    None if workdir is None else Checkpoints(remote.checkpoints(workdir), keep=train.keep),
    Log(workdir, offsets[-1], title, wandb, experiment.config), fingerprint, stopping, on_step,
  )  # fmt: skip


def go(
  job: Job, start: Start, warm: Callable[[list[PyTree], PyTree], PyTree] | None = None
) -> Result:
  """The stages of a job from `start` on; `warm` as in `train`."""
  job.log.open(start.stage, start.step, job.offsets[start.stage] + start.step)
  states, compilations = list(start.states), []
  for i in range(start.stage, len(job.program.stages)):
    run = Run(job, i, states[:i], start.attempt)
    if i == len(states):
      state, first, tally = run.init(), 0, None
      if warm is not None:
        state = run.place(warm(run.previous, state))
    else:
      state, first, tally = states[i], start.step, start.tally
    states = [*run.previous, run.go(state, tally, first)]
    compilations.append(run.step.compilations())
  return Result(states, job.offsets[-1], compilations)


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
  saver = saver or job.saver
  if saver is None:
    return Start()
  batch = batch_of_source(job.source, job.experiment.feed.batch_size)

  def abstract(meta):
    states = abstract_states(
      job.program, meta["stage"] + 1, batch, job.mesh, job.experiment.train.layout
    )
    return {"states": states, "tally": placed(Tally.zero(meta["terms"]), job.mesh)}

  found = saver.restore_newest(abstract) if at is None else saver.restore(at, abstract)
  if found is None:
    return Start()
  content, meta = found
  stage, step = meta["stage"], meta["step"]
  length = job.offsets[stage + 1] - job.offsets[stage]
  if step > length:
    raise UserError(f"{job.workdir} is at step {step}, past config.train.steps={length}")
  if step % (calls := job.experiment.train.steps_per_call):
    raise UserError(
      f"{job.workdir} is at step {step}, which config.train.steps_per_call={calls} does not divide:"
      " go on with the number it was trained with"
    )
  return Start(stage, step, content["states"], content["tally"], meta.get("attempt", 0))


class Run:
  """One stage of a job: what the trainer keeps while it lasts."""

  def __init__(self, job: Job, index: int, previous: list[PyTree], attempt: int):
    self.job, self.index, self.previous, self.attempt = job, index, previous, attempt
    self.stage, self.settings = job.program.stages[index], job.experiment.train
    self.offset, self.steps = job.offsets[index], job.offsets[index + 1] - job.offsets[index]
    self.source, self.feed = with_overrides(self.stage, job.source, job.experiment)
    check_divides(self.feed.batch_size, job.mesh, "data.batch_size")
    self.pipeline = sources.make_pipeline(
      self.source.splits["train"], self.source.spec, self.feed, job.root, stage=index,
      microbatches=self.stage.model.microbatches, steps=self.steps, attempt=attempt,
    )  # fmt: skip
    per_call = self.settings.steps_per_call
    self.step = Step(
      self.stage, index, self.pipeline, job.root, job.mesh, per_call, attempt, self.settings.layout
    )
    self.arrays = replicate(self.pipeline.arrays, job.mesh)
    self.validator = self.sampler = None

  def init(self) -> PyTree:
    """The fresh state, from the stage's first batch."""
    key = stream(self.job.root, "init", self.index)
    # It runs once: on CPU, a large network's init compiles in a fifth of the time unoptimised.
    cpu = self.job.mesh.devices.flat[0].platform == "cpu"
    options = {"xla_backend_optimization_level": 0} if cpu else None
    init = jax.jit(initialiser(self.stage), inline=True)
    first = jax.tree.map(lambda x: x[0], self.batch(0))
    args = self.previous, first, jax.random.fold_in(key, 1), jax.random.fold_in(key, 0)
    places = layout_of(jax.eval_shape(init, *args), self.job.mesh, self.settings.layout)
    return jax.jit(init, out_shardings=places, compiler_options=options)(*args)

  def place(self, state: PyTree) -> PyTree:
    """Host or device arrays as the state of this stage, each where it lives."""
    return put(state, layout_of(state, self.job.mesh, self.settings.layout))

  def batch(self, step: int) -> PyTree:
    """The batch [M, B, ...] of a step of the stage, which its dispatch begins with."""
    draw, at = self.pipeline.draw, jnp.int32(step)
    if self.pipeline.feed is None:
      return jax.jit(lambda arrays, step: draw(arrays, {}, step))(self.arrays, at)
    fed = next(self.step.fed(step, step + self.step.per_call))
    return draw({}, fed if self.step.per_call == 1 else jax.tree.map(lambda x: x[0], fed), at)

  def go(self, state: PyTree, tally: Tally | None, first: int) -> PyTree:
    """Steps first..steps; returns the final state."""
    job, settings, k = self.job, self.settings, self.settings.steps_per_call
    terms = self.step.terms(state, self.previous) if tally is None else tuple(tally.sum)
    tally = self.zero(terms) if tally is None else tally
    fed = self.step.fed(first, self.steps)
    ahead: deque = deque()
    since, clock = first, job.log.elapsed()

    def due(every):
      return bool(every) and (step % every == 0 or step == self.steps)

    for step in range(first + k, self.steps + 1, k):
      start = replicate(np.int32(step - k), job.mesh)
      state, tally, done = self.step.call(
        state, tally, self.arrays, next(fed), start, self.previous
      )
      # The host may run ahead of the device, but not by more than it can stop again soon.
      ahead.append(done)
      if len(ahead) > 2:
        ahead.popleft().block_until_ready()
      job.log.advance(k)
      job.on_step(self.offset + step)
      score = None
      if due(settings.log_every):
        self.log_row(step, tally, step - since, clock)
        since, clock, tally = step, job.log.elapsed(), self.zero(terms)
      if due(settings.validate_every):
        score = self.validate(state, step)
      if due(settings.sample_every):
        self.sample_grid(state, step)
      stop = self.stopping(step)
      if due(settings.checkpoint_every) or step == self.steps or stop is not None:
        self.save(state, tally, step, score)
      if stop is not None:
        raise Stopped(stop, self.offset + step)
    return state

  def stopping(self, step: int) -> int | None:
    """The signal to stop at, if one came. Several processes ask each other at every row only."""
    every = self.settings.log_every
    if jax.process_count() > 1 and not (every and step % every == 0):
      return None
    return processes.any_of(self.job.stopping())

  def zero(self, terms: tuple[str, ...]) -> Tally:
    """A fresh tally on the devices."""
    return replicate(Tally.zero(terms), self.job.mesh)

  def log_row(self, step: int, tally: Tally, steps: int, clock: float) -> None:
    """A row with the averages over the steps since the last one, at `clock` seconds."""
    host = jax.device_get(tally)  # the steps are done then, not only dispatched
    self.check_finite(host, step)
    seconds = self.job.log.elapsed() - clock
    rate = steps * self.stage.model.microbatches * self.feed.batch_size / max(seconds, 1e-9)
    means = {name: total / host.count for name, total in host.sum.items()}
    rate = round(rate, 1)
    self.job.log.row(self.index, step, self.offset + step, means, examples_per_second=rate)

  def save(self, state: PyTree, tally: Tally, step: int, score: float | None) -> None:
    """Saves everything that the rest of the run depends on; never what is not finite."""
    self.check_finite(tally, step)
    if self.job.saver is not None:
      content = {"states": [*self.previous, state], "tally": tally}
      meta = {"stage": self.index, "step": step, "terms": list(tally.sum), "attempt": self.attempt}
      meta["fingerprint"] = self.job.fingerprint
      remote.push(self.job.workdir)  # first, so that no checkpoint is ahead of the files
      self.job.saver.save(self.offset + step, content, meta, score)

  def check_finite(self, tally: Tally, step: int) -> None:
    """Raises NonFinite, and leaves failure/record.json, if a metric up to `step` was not finite."""
    bad = {name: self.offset + int(first) for name, first in tally.bad.items() if first >= 0}
    if not bad:
      return
    term = min(bad, key=lambda name: bad[name])
    newest = max(self.job.saver.steps(), default=0) if self.job.saver is not None else 0
    if self.job.workdir is not None and processes.is_first():
      folder = self.job.workdir / "failure"
      folder.mkdir(exist_ok=True)
      record = {
        "step": bad[term], "term": term, "first_bad_steps": bad, "noticed": self.offset + step,
        "checkpoint": newest, "attempt": self.attempt,
      }  # fmt: skip
      write_json(folder / "record.json", record)
    raise NonFinite(term, bad[term], newest)

  def validate(self, state: PyTree, step: int) -> float | None:
    """Logs the terms of the validation split; returns the one that says which model is best, in the
    last stage: what an earlier one minimises is another quantity, and not the finished model's."""
    job, split = self.job, self.source.splits["validation"]
    key = stream(job.root, "validate", self.index)
    if self.validator is None:
      view, model = self.stage.view, self.stage.model

      def run(states, batch, keys):
        if view is not None:
          batch = view(states[:-1], batch, jax.random.fold_in(key, 1))
        return model.evaluate(states[-1], batch, keys)

      self.validator = evaluate.evaluator(run, job.mesh)
    values = evaluate.terms(
      self.validator, [*self.previous, state], split, jax.random.fold_in(key, 0),
      batch_size=job.experiment.evaluate.batch_size, mesh=job.mesh,
    )  # fmt: skip
    means = {name: evaluate.mean(v) for name, v in values.items()}
    facts = {"split": "validation", "examples": len(split)}
    job.log.row(self.index, step, self.offset + step, means, **facts)
    best = self.settings.best
    if not best or self.index + 1 < len(job.program.stages):
      return None
    return means[best]

  def sample_grid(self, state: PyTree, step: int) -> None:
    """Draws a grid of samples in the last stage and saves it as samples/NNNNNN.png."""
    job, model, spec = self.job, self.job.program.model, self.source.spec
    unfinished = self.index + 1 < len(job.program.stages)
    if model.sample is None or job.workdir is None or unfinished:
      return
    if self.sampler is None:
      self.sampler = sample.compiled(model.sample, job.mesh)
    n, order, columns = sample.by_class(model, spec)
    cond = sample.conditions(model, spec, n, split=self.source.splits["train"], spread=True)
    x = sample.draw(
      self.sampler, [*self.previous, state], sample.sample_keys(job.experiment.config["seed"]), n,
      cond, chunk=sample.chunk_size(job.experiment.evaluate.batch_size, job.mesh), mesh=job.mesh,
    )[order]  # fmt: skip
    if processes.is_first():
      picture = job.workdir / "samples" / f"{self.offset + step:06d}.png"
      picture.parent.mkdir(exist_ok=True)
      image = pictures.show(picture, x, spec.levels, columns)
      if image is not None:
        job.log.image("samples", image, self.offset + step)


def with_overrides(stage: Stage, source: Source, experiment: Experiment) -> tuple[Source, Feed]:
  """The source and feed of a stage: the config's, with what the stage says of them."""
  if not stage.data:
    return source, experiment.feed
  feed_fields = {f.name for f in dataclasses.fields(Feed)}
  feed = {k: v for k, v in stage.data.items() if k in feed_fields}
  rest = {k: v for k, v in stage.data.items() if k not in feed_fields}
  if rest:
    source = sources.load(**{**experiment.data, **rest})
  return source, dataclasses.replace(experiment.feed, **feed)
