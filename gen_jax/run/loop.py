"""The trainer: one loop for every program, however many stages, players or devices it has.

It owns the step counter, the root key, the devices, the data, checkpoints and logs, and never looks
inside a model's state.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from gen_jax import data as sources
from gen_jax.core import Array, Program, PyTree, Spec, Stage, UserError, stream
from gen_jax.data import Feed, Pipeline, Source
from gen_jax.run import evaluate, pictures, sample
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.config import Experiment, Train
from gen_jax.run.folder import write_json
from gen_jax.run.log import Log
from gen_jax.run.mesh import (
  assemble,
  check_divides,
  replicate,
  replicated,
  rows_of_process,
  split_over,
)


class NonFinite(Exception):
  """A loss term became NaN or infinite."""


class Stopped(Exception):
  """A signal asked for a stop; everything is saved. `code` is the exit status."""

  def __init__(self, code: int, step: int):
    super().__init__(step)
    self.code, self.step = code, step


class Result(NamedTuple):
  """states: of all stages. step: total steps done. compilations: executables of each stage run."""

  states: list[PyTree]
  step: int
  compilations: list[int]


class Tally(NamedTuple):
  """Running sums of the metrics since the last row, on the device, saved with the state.

  sum: {term: float32}, count: int32, bad: {term: the first step at which it was not finite, or -1}.
  """

  sum: dict[str, Array]
  count: Array
  bad: dict[str, Array]

  @staticmethod
  def zero(terms: Mapping[str, Any]) -> Tally:
    zeros = {name: np.zeros((), np.float32) for name in terms}
    return Tally(zeros, np.zeros((), np.int32), {name: np.full((), -1, np.int32) for name in terms})

  def add(self, metrics: Mapping[str, Array], step: Array) -> Tally:
    first = {
      name: jnp.where((self.bad[name] < 0) & ~jnp.isfinite(value), step, self.bad[name])
      for name, value in metrics.items()
    }
    total = {name: self.sum[name] + value.astype(jnp.float32) for name, value in metrics.items()}
    return Tally(total, self.count + 1, first)


def stage_steps(program: Program, train: Train) -> list[int]:
  """Length of each stage: config.train.steps, one number or one for each.

  Raises:
    UserError: if the number of lengths is not the number of stages.
  """
  given = train.steps if isinstance(train.steps, tuple) else (train.steps,) * len(program.stages)
  if len(given) != len(program.stages):
    raise UserError(
      f"config.train.steps has {len(given)} lengths, and this program {len(program.stages)} stages"
    )
  return [s if stage.steps is None else stage.steps for stage, s in zip(program.stages, given)]


def example_batch(spec: Spec, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
  """The shapes of a batch of data of that spec: what loading a run needs instead of its data."""
  real = np.float32 if spec.levels is None else np.min_scalar_type(spec.levels - 1)
  fields = {"x": (spec.shape, real), "index": ((), np.int32), "mask": ((), np.bool_)}
  if spec.classes:
    fields["label"] = ((), np.int32)
  if spec.caption_length:
    fields["caption"] = ((spec.caption_length,), np.int32)
  return {k: jax.ShapeDtypeStruct((batch_size, *shape), d) for k, (shape, d) in fields.items()}


def root_key(seed: int) -> Array:
  """The key from which every stream of a run derives."""
  return jax.random.key(seed)


def initialiser(stage: Stage) -> Callable:
  """(previous states, batch, view key, init key) -> fresh state of the stage."""

  def init(previous, batch, view_key, key):
    if stage.view is not None:
      batch = stage.view(previous, batch, view_key)
    state = stage.model.init(key, batch)
    return state if stage.carry is None else stage.carry(previous, state)

  return init


def abstract_states(program: Program, count: int, batch: dict, mesh: Mesh) -> list[PyTree]:
  """Shapes, types and placement of the states of the first `count` stages, without computing."""
  states: list[PyTree] = []
  for stage in program.stages[:count]:
    key = jax.eval_shape(lambda: jax.random.key(0))
    states.append(jax.eval_shape(initialiser(stage), states, batch, key, key))
  place = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated(mesh))  # noqa: E731
  return jax.tree.map(place, states)


def abstract_tally(terms: Mapping[str, Any], mesh: Mesh) -> Tally:
  place = lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=replicated(mesh))  # noqa: E731
  return jax.tree.map(place, Tally.zero(terms))


class Stepper(NamedTuple):
  """The compiled step of a stage.

  call: (state, tally, arrays, fed, first step, previous states) -> (state, tally, steps done);
    `steps_per_call` steps in one dispatch; state and tally are donated.
  terms: names of the metrics.
  """

  call: Any
  terms: tuple[str, ...]


def make_stepper(
  stage: Stage, index: int, pipeline: Pipeline, root: Array, mesh: Mesh, steps: int, state, previous
) -> Stepper:
  """Compiles nothing yet; the first call does, once.

  Args:
    stage, index: what to train.
    pipeline: its data.
    root: key of the run.
    mesh: the devices.
    steps: steps_per_call.
    state, previous: abstract or concrete, of this stage and those before it.
  """
  update_key, view_key = stream(root, "update", index), stream(root, "view", index)
  rows = split_over(mesh, 1)

  def one(state, tally, arrays, fed, step, previous):
    batch = pipeline.draw(arrays, fed, step)
    batch = jax.tree.map(lambda x: lax.with_sharding_constraint(x, rows), batch)
    if stage.view is not None:
      keys = jax.random.split(jax.random.fold_in(view_key, step), stage.model.microbatches)
      views = [
        stage.view(previous, jax.tree.map(lambda x, m=m: x[m], batch), keys[m])
        for m in range(stage.model.microbatches)
      ]
      batch = jax.tree.map(lambda *parts: jnp.stack(parts), *views)
    state, metrics = stage.model.update(state, batch, jax.random.fold_in(update_key, step), step)
    chex.assert_rank(list(metrics.values()), 0)
    return state, metrics

  def call(state, tally, arrays, fed, first, previous):
    if steps == 1:
      state, metrics = one(state, tally, arrays, fed, first, previous)
      return state, tally.add(metrics, first), first + 1

    def body(carry, xs):
      (state, tally), (i, element) = carry, xs
      state, metrics = one(state, tally, arrays, element, first + i, previous)
      return (state, tally.add(metrics, first + i)), None

    xs = (jnp.arange(steps, dtype=first.dtype), fed)
    (state, tally), _ = lax.scan(body, (state, tally), xs)
    return state, tally, first + steps

  fed = fed_shapes(pipeline, steps=1)
  terms = jax.eval_shape(
    lambda s, a, f, i, p: one(s, None, a, f, i, p)[1],
    state, pipeline.arrays, fed, jax.ShapeDtypeStruct((), np.int32), previous,
  )  # fmt: skip
  one_place = replicated(mesh)
  compiled = jax.jit(call, donate_argnums=(0, 1), out_shardings=(one_place, one_place, one_place))
  return Stepper(compiled, tuple(terms))


def fed_shapes(pipeline: Pipeline, steps: int) -> dict:
  """Shapes of what one call is fed: {} for resident data."""
  if pipeline.feed is None:
    return {}
  batch = next(pipeline.feed(0, 1, np.arange(pipeline.batch_size)))
  lead = () if steps == 1 else (steps,)
  return {k: jax.ShapeDtypeStruct((*lead, *v.shape), v.dtype) for k, v in batch.items()}


def fed_calls(pipeline: Pipeline, first: int, last: int, steps: int, mesh: Mesh) -> Iterator[dict]:
  """What each call from step `first` on is fed, on the devices."""
  if pipeline.feed is None:
    while True:
      yield {}
  batches = pipeline.feed(first, last, rows_of_process(pipeline.batch_size))
  while True:
    chunk = [next(batches) for _ in range(steps)]
    if steps == 1:
      yield assemble(chunk[0], mesh, 1)
    else:
      yield assemble(jax.tree.map(lambda *parts: np.stack(parts), *chunk), mesh, 2)


@contextlib.contextmanager
def signals() -> Iterator[Callable[[], int | None]]:
  """Turns SIGINT and SIGTERM into a question: what signal has come? A second SIGINT stops at once."""
  seen: list[int] = []

  def note(number, frame):
    seen.append(number)
    if number == signal.SIGINT:
      signal.signal(signal.SIGINT, signal.default_int_handler)

  try:
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
  except ValueError:  # not in the main thread, where Python allows no handlers
    before = {}
  try:
    yield lambda: seen[0] if seen else None
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


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

  Returns:
    The states of all stages.

  Raises:
    Stopped: after a SIGINT or SIGTERM, once everything is saved.
    NonFinite: if a metric is not finite.
    UserError: for a batch size that the devices cannot share, damaged checkpoints, and the like.
  """
  settings, seed = experiment.train, experiment.config["seed"]
  lengths = stage_steps(program, settings)
  root = root_key(seed)
  log = Log(workdir, sum(lengths), title, wandb, experiment.config)
  saver = None if workdir is None else Checkpoints(workdir / "checkpoints", keep=settings.keep)
  states, begin, tally_at, compilations = [], (0, 0), None, []
  runs: dict[int, Run] = {}

  def run_of(i: int, previous) -> Run:
    if i not in runs:
      runs[i] = Run(program, i, source, experiment, root, mesh, lengths[i], previous)
    return runs[i]

  if saver is not None:
    batch = example_like(source, experiment.feed.batch_size)

    def abstract(meta):
      shapes = abstract_states(program, meta["stage"] + 1, batch, mesh)
      terms = run_of(meta["stage"], shapes[:-1]).terms(shapes[-1])
      return {"states": shapes, "tally": abstract_tally(terms, mesh)}

    restored = saver.restore_newest(abstract)
    if restored is not None:
      content, meta = restored
      states, tally_at, begin = content["states"], content["tally"], (meta["stage"], meta["step"])
      total_begin = sum(lengths[: begin[0]]) + begin[1]
      if begin[1] > lengths[begin[0]]:
        raise UserError(
          f"{workdir} is already at step {begin[1]}, past config.train.steps={lengths[begin[0]]}"
        )
      if title:
        print(f"{title}: going on from step {total_begin} of {sum(lengths)}", flush=True)
  log.open(begin[0], begin[1], sum(lengths[: begin[0]]) + begin[1])

  try:
    with signals() as received:
      for i in range(begin[0], len(program.stages)):
        first = begin[1] if i == begin[0] else 0
        previous = states[:i]
        run = run_of(i, previous)
        if i < len(states):
          state, tally = states[i], tally_at
        else:
          state, tally = run.init(previous), None
          if warm is not None:
            state = replicate(warm(previous, state), mesh)
        state = run.go(
          state, tally, first, offset=sum(lengths[:i]), log=log, saver=saver, workdir=workdir,
          fingerprint=fingerprint, received=received, on_step=on_step,
        )  # fmt: skip
        states = [*previous, state]
        compilations.append(run.compilations())
  finally:
    log.close()
    if saver is not None:
      saver.close()
  return Result(states, sum(lengths), compilations)


def example_like(source: Source, batch_size: int) -> dict[str, jax.ShapeDtypeStruct]:
  """Shapes of a batch of the source's training split, with every field it has."""
  batch = next(sources.passes(source.splits["train"], 1))
  return {k: jax.ShapeDtypeStruct((batch_size, *v.shape[1:]), v.dtype) for k, v in batch.items()}


class Run:
  """One stage of a program on its data: what the trainer keeps while it lasts."""

  def __init__(self, program, index, source, experiment, root, mesh, steps, previous):
    self.program, self.index, self.mesh, self.root = program, index, mesh, root
    self.stage, self.steps, self.experiment = program.stages[index], steps, experiment
    self.source, self.feed = with_overrides(self.stage, source, experiment)
    check_divides(self.feed.batch_size, mesh, "data.batch_size")
    self.pipeline = sources.make_pipeline(
      self.source.splits["train"], self.feed, root, stage=index,
      microbatches=self.stage.model.microbatches, steps=steps,
    )  # fmt: skip
    self.previous = previous
    self.stepper: Stepper | None = None
    self.validate = self.sampler = None
    self.arrays: dict = {}

  def terms(self, state) -> tuple[str, ...]:
    """Names of the metrics of an update."""
    return self.make(state).terms

  def make(self, state) -> Stepper:
    if self.stepper is None:
      per_call = self.experiment.train.steps_per_call
      self.stepper = make_stepper(
        self.stage, self.index, self.pipeline, self.root, self.mesh, per_call, state, self.previous
      )
    return self.stepper

  def lower(self, state):
    """The step for an abstract state, lowered and not yet compiled."""
    fed = fed_shapes(self.pipeline, self.experiment.train.steps_per_call)
    place = lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=replicated(self.mesh))  # noqa: E731
    stepper = self.make(state)
    tally, first = abstract_tally(stepper.terms, self.mesh), jax.ShapeDtypeStruct((), np.int32)
    arrays = jax.tree.map(place, self.pipeline.arrays)
    return stepper.call.lower(state, tally, arrays, fed, first, self.previous)

  def compilations(self) -> int:
    """Executables that the step was compiled to; 1, or 0 if it never ran."""
    return self.stepper.call._cache_size() if self.stepper else 0  # noqa: SLF001

  def init(self, previous) -> PyTree:
    """The fresh state, from the stage's first batch."""
    if self.pipeline.feed is None:
      first = jax.jit(lambda arrays: self.pipeline.draw(arrays, {}, jnp.int32(0)))
      batch = first(self.load_arrays())
    else:
      batch = next(fed_calls(self.pipeline, 0, 1, 1, self.mesh))
    batch = jax.tree.map(lambda x: x[0], batch)
    init_key = stream(self.root, "init", self.index)
    view_key = jax.random.fold_in(stream(self.root, "init", self.index), 1)
    init = jax.jit(initialiser(self.stage), out_shardings=replicated(self.mesh))
    return init(previous, batch, view_key, jax.random.fold_in(init_key, 0))

  def load_arrays(self) -> dict:
    """The resident data, on the devices."""
    if not self.arrays and self.pipeline.arrays:
      self.arrays = replicate(self.pipeline.arrays, self.mesh)
    return self.arrays

  def go(
    self, state, tally, first, *, offset, log, saver, workdir, fingerprint, received, on_step
  ) -> PyTree:
    """Steps first..steps; returns the final state."""
    settings = self.experiment.train
    stepper, k = self.make(state), settings.steps_per_call
    fresh = lambda: replicate(Tally.zero(stepper.terms), self.mesh)  # noqa: E731
    tally = fresh() if tally is None else tally
    arrays = self.load_arrays()
    fed = fed_calls(self.pipeline, first, self.steps, k, self.mesh)
    per_step = self.stage.model.microbatches * self.feed.batch_size
    ahead: deque = deque()
    since, clock, saved = first, log.elapsed(), first if first else -1

    def due(every, step):
      return (every and step % every == 0) or step == self.steps

    def save(step, score=None):
      self.check_finite(tally, offset, saver, workdir)
      content = {"states": [*self.previous, state], "tally": tally}
      meta = {"stage": self.index, "step": step, "fingerprint": fingerprint, "terms": stepper.terms}
      saver.save(offset + step, content, meta, score)

    for step in range(first + k, self.steps + 1, k):
      start = replicate(np.int32(step - k), self.mesh)
      state, tally, token = stepper.call(state, tally, arrays, next(fed), start, self.previous)
      # The host may run ahead of the device, but not by more than it can stop again soon.
      ahead.append(token)
      if len(ahead) > 2:
        ahead.popleft().block_until_ready()
      log.advance(k)
      on_step(offset + step)
      score = None
      if due(settings.log_every, step):
        host = jax.device_get(tally)
        self.check_finite(host, offset, saver, workdir)
        now = log.elapsed()
        rate = (step - since) * per_step / max(now - clock, 1e-9)
        means = {name: total / host.count for name, total in host.sum.items()}
        log.row(self.index, step, offset + step, means, examples_per_second=round(rate, 1))
        since, clock, tally = step, log.elapsed(), fresh()
      if due(settings.validate_every, step) and settings.validate_every:
        score = self.validation(state, step, offset, log)
      if due(settings.sample_every, step) and self.last and workdir is not None:
        self.sample_grid(state, offset + step, workdir, log)
      if saver is not None and due(settings.checkpoint_every, step):
        save(step, score)
        saved = step
      if (number := received()) is not None:
        if saver is not None and saved != step:
          save(step)
        raise Stopped(0 if number == signal.SIGINT else 75, offset + step)
    return state

  @property
  def last(self) -> bool:
    """Whether this stage finishes the system, so that it can be sampled."""
    return self.index == len(self.program.stages) - 1

  def check_finite(self, tally, offset, saver, workdir) -> None:
    """Stops a run whose metrics are not finite, before anything of it is saved."""
    bad = {name: int(step) for name, step in tally.bad.items() if step >= 0}
    if not bad:
      return
    term = min(bad, key=lambda name: bad[name])
    step = offset + bad[term]
    newest = max(saver.steps(), default=0) if saver is not None else 0
    if workdir is not None and jax.process_index() == 0:
      (workdir / "failure").mkdir(exist_ok=True)
      record = {"step": step, "term": term, "bad": bad, "checkpoint": newest, "stage": self.index}
      write_json(workdir / "failure" / "record.json", record)
    raise NonFinite(f"{term} is not finite at step {step}; the last good checkpoint is {newest}")

  def validation(self, state, step, offset, log) -> float | None:
    """Logs the terms of the validation split; returns the one that says which model is best."""
    split = self.source.splits.get("validation")
    if split is None:
      raise UserError("config.train.validate_every needs a validation split: set data.validation")
    if self.validate is None:

      def run(states, batch, keys):
        if self.stage.view is not None:
          view_key = jax.random.fold_in(stream(self.root, "validate", self.index), 1)
          batch = self.stage.view(states[:-1], batch, view_key)
        return self.stage.model.evaluate(states[-1], batch, keys)

      self.validate = evaluate.evaluator(run, self.mesh)
    key = jax.random.fold_in(stream(self.root, "validate", self.index), 0)
    values = evaluate.terms(
      self.validate, [*self.previous, state], split, key,
      batch_size=self.experiment.evaluate.batch_size, mesh=self.mesh,
    )  # fmt: skip
    means = {name: evaluate.mean(v) for name, v in values.items()}
    log.row(self.index, step, offset + step, means, split="validation", examples=len(split))
    best = self.experiment.train.best
    if best and best not in means:
      raise UserError(f"config.train.best={best!r} is no term of evaluation: one of {list(means)}")
    return means[best] if best else None

  def sample_grid(self, state, total_step, workdir, log) -> None:
    """Draws a grid of samples and saves it as samples/NNNNNN.png."""
    model, spec = self.program.model, self.source.spec
    if model.sample is None:
      return
    if self.sampler is None:
      self.sampler = sample.compiled(model.sample, self.mesh)
    n, order, columns = sample.by_class(model, spec)
    split = self.source.splits["train"] if set(model.cond) - {"label"} else None
    cond = sample.conditions(model, spec, n, split=split)
    x = sample.draw(
      self.sampler, [*self.previous, state], sample.sample_keys(self.experiment.config["seed"]), n,
      cond, chunk=sample.chunk_size(self.experiment.evaluate.batch_size, self.mesh), mesh=self.mesh,
    )[order]  # fmt: skip
    if jax.process_index() == 0:
      picture = workdir / "samples" / f"{total_step:06d}.png"
      picture.parent.mkdir(exist_ok=True)
      image = pictures.show(picture, x, spec.levels, columns)
      if image is not None:
        log.image("samples", image, total_step)


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
