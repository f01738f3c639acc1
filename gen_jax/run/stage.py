"""One stage of a training run: its steps, and what happens on the way."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import data, remote
from gen_jax.core import PyTree, stream
from gen_jax.run import evaluate, processes
from gen_jax.run.files import folder_in, write_json
from gen_jax.run.grids import Grid
from gen_jax.run.job import Job, NonFinite
from gen_jax.run.mesh import check_divides, layout_of, put, replicate
from gen_jax.run.signals import Stopped
from gen_jax.run.states import initialiser, released
from gen_jax.run.step import Step, Tally
from gen_jax.run.waiting import waiting


class Run:
  """One stage of a job: what the trainer keeps while it lasts."""

  def __init__(self, job: Job, index: int, previous: list[PyTree], attempt: int):
    self.job, self.index, self.previous, self.attempt = job, index, previous, attempt
    system = self.system = job.system
    self.stage, self.settings = system.program.stages[index], system.experiment.train
    self.offset, self.steps = system.offsets[index], system.lengths[index]
    self.source, self.feed = system.sources[index], system.feed(index)
    check_divides(self.feed.batch_size, system.mesh, "data.batch_size")
    self.pipeline = data.make_pipeline(
      self.source.splits["train"], self.source.spec, self.feed, system.root, stage=index,
      microbatches=self.stage.model.microbatches, steps=self.steps, attempt=attempt,
    )  # fmt: skip
    per_call = self.settings.steps_per_call
    self.step = Step(
      self.stage, index, self.pipeline, system.root, system.mesh, per_call, attempt,
      self.settings.layout,
    )  # fmt: skip
    self.arrays = replicate(self.pipeline.arrays, system.mesh)
    self.validator, self.grid = None, Grid(system, index)

  def begin(self, warm: Callable | None) -> PyTree:
    """The state that the stage starts from; earlier ones that it does not need are freed."""
    with waiting(f"{self.name}: compiling and computing initial values"):
      state = self.init()
    if self.stage.given is not None:
      state = self.place(self.stage.given(state))
    if warm is not None:
      state = self.place(warm(self.previous, state))
    self.previous = released(self.stage, self.previous)
    return state

  def init(self) -> PyTree:
    """The fresh state, from the stage's first batch."""
    key = stream(self.system.root, "init", self.index)
    # It runs once: on CPU, a large network's init compiles in a fifth of the time unoptimised.
    cpu = self.system.mesh.devices.flat[0].platform == "cpu"
    options = {"xla_backend_optimization_level": 0} if cpu else None
    init = jax.jit(initialiser(self.stage), inline=True)
    first = jax.tree.map(lambda x: x[0], self.batch(0))
    args = self.previous, first, jax.random.fold_in(key, 1), jax.random.fold_in(key, 0)
    places = layout_of(jax.eval_shape(init, *args), self.system.mesh, self.settings.layout)
    return jax.jit(init, out_shardings=places, compiler_options=options)(*args)

  @property
  def name(self) -> str:
    """Which stage this is, for people."""
    count = len(self.system.program.stages)
    return f"stage {self.index + 1} of {count}" if count > 1 else "training"

  def place(self, state: PyTree) -> PyTree:
    """Host or device arrays as the state of this stage, each where it lives."""
    return put(state, layout_of(state, self.system.mesh, self.settings.layout))

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
      start = replicate(np.int32(step - k), self.system.mesh)
      new = step == first + k
      with waiting(f"{self.name}: compiling a step") if new else contextlib.nullcontext():
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
        with waiting(f"{self.name}: validating"):
          score = self.validate(state, step)
      if due(settings.sample_every):
        with waiting(f"{self.name}: drawing a grid"):
          self.show(state, step)
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
    return replicate(Tally.zero(terms), self.system.mesh)

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
      folder = folder_in(self.job.workdir, "failure")
      record = {
        "step": bad[term], "term": term, "first_bad_steps": bad, "noticed": self.offset + step,
        "checkpoint": newest, "attempt": self.attempt,
      }  # fmt: skip
      write_json(folder / "record.json", record)
    raise NonFinite(term, bad[term], newest)

  def validate(self, state: PyTree, step: int) -> float | None:
    """Logs the terms of the validation split; returns the one that says which model is best, in the
    last stage: what an earlier one minimises is another quantity, and not the finished model's."""
    system, split = self.system, self.source.splits["validation"]
    key = stream(system.root, "validate", self.index)
    if self.validator is None:
      view, model = self.stage.view, self.stage.model

      def run(states, batch, keys):
        if view is not None:
          batch = view(states[:-1], batch, jax.random.fold_in(key, 1))
        return model.evaluate(states[-1], batch, keys)

      self.validator = evaluate.evaluator(run, system.mesh)
    values = evaluate.terms(
      self.validator, [*self.previous, state], split, jax.random.fold_in(key, 0),
      batch_size=system.experiment.evaluate.batch_size, mesh=system.mesh,
    )  # fmt: skip
    means = {name: evaluate.mean(v) for name, v in values.items()}
    facts = {"split": "validation", "examples": len(split)}
    self.job.log.row(self.index, step, self.offset + step, means, **facts)
    best = self.settings.best
    if not best or self.index + 1 < len(system.program.stages):
      return None
    return means[best]

  def show(self, state: PyTree, step: int) -> None:
    """Saves a picture of what the model makes as samples/NNNNNN.png."""
    if self.job.workdir is None or not self.grid.possible:
      return
    at = self.offset + step
    picture = self.job.workdir / "samples" / f"{at:06d}.png"
    image = self.grid.save(picture, [*self.previous, state])
    if image is not None:
      self.job.log.image("samples", image, at)
