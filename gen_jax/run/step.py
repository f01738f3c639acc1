"""The compiled training step of a stage: draw a batch, update, keep a tally; many per dispatch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh

from gen_jax.core import Array, PyTree, Stage, stream
from gen_jax.data import Pipeline
from gen_jax.run.mesh import (
  Layout,
  assemble,
  layout_of,
  placed,
  replicated,
  rows_of_process,
  split_over,
)


class Tally(NamedTuple):
  """Running sums of the metrics since the last row, on the device, saved with the state.

  sum: {term: float32}, count: int32, bad: {term: the first step at which it was not finite, or -1}.
  """

  sum: dict[str, Array]
  count: Array
  bad: dict[str, Array]

  @staticmethod
  def zero(terms: Mapping[str, Any]) -> Tally:
    """The tally of no steps."""
    zeros = {name: np.zeros((), np.float32) for name in terms}
    return Tally(zeros, np.zeros((), np.int32), {name: np.full((), -1, np.int32) for name in terms})

  def add(self, metrics: Mapping[str, Array], step: Array) -> Tally:
    """With the metrics of one more step."""
    first = {
      name: jnp.where((self.bad[name] < 0) & ~jnp.isfinite(value), step, self.bad[name])
      for name, value in metrics.items()
    }
    total = {name: self.sum[name] + value.astype(jnp.float32) for name, value in metrics.items()}
    return Tally(total, self.count + 1, first)


class Step:
  """The step of one stage on its data.

  call: (state, tally, arrays, fed, first step, previous states) -> (state, tally, steps done);
    `per_call` steps in one dispatch; state and tally are donated.
  """

  def __init__(
    self, stage: Stage, index: int, pipeline: Pipeline, root: Array, mesh: Mesh, per_call: int,
    attempt: int = 0, layout: Layout = "replicated",
  ):  # fmt: skip
    self.stage, self.index, self.pipeline, self.mesh = stage, index, pipeline, mesh
    self.per_call = per_call
    self.update_key, self.view_key = (
      stream(root, name, index, attempt) for name in ("update", "view")
    )
    self.layout, self.compiled = layout, None
    # Its trace is kept: to ask for the names of the metrics costs no second one.
    self.traced = jax.jit(self.one, inline=True)

  def call(self, state, tally, arrays, fed, first, previous):
    return self.jitted(state)(state, tally, arrays, fed, first, previous)

  def jitted(self, state: PyTree):
    """The call, which leaves every array of the state where it is."""
    if self.compiled is None:
      copies = replicated(self.mesh)
      places = layout_of(state, self.mesh, self.layout), copies, copies
      self.compiled = jax.jit(self._call, donate_argnums=(0, 1), out_shardings=places)
    return self.compiled

  def one(self, state, arrays, fed, step, previous):
    """(state, metrics) after one step."""
    model, rows = self.stage.model, split_over(self.mesh, 1)
    batch = self.pipeline.draw(arrays, fed, step)
    batch = jax.tree.map(lambda x: lax.with_sharding_constraint(x, rows), batch)
    if self.stage.view is not None:
      keys = jax.random.split(jax.random.fold_in(self.view_key, step), model.microbatches)
      views = [
        self.stage.view(previous, jax.tree.map(lambda x, m=m: x[m], batch), keys[m])
        for m in range(model.microbatches)
      ]
      batch = jax.tree.map(lambda *parts: jnp.stack(parts), *views)
    state, metrics = model.update(state, batch, jax.random.fold_in(self.update_key, step), step)
    chex.assert_rank(list(metrics.values()), 0)
    return state, metrics

  def _call(self, state, tally, arrays, fed, first, previous):
    # A single step stays outside any loop: on CPU, XLA is slow at convolution gradients inside one.
    if self.per_call == 1:
      state, metrics = self.traced(state, arrays, fed, first, previous)
      return state, tally.add(metrics, first), first + 1

    def body(carry, xs):
      (state, tally), (i, element) = carry, xs
      state, metrics = self.traced(state, arrays, element, first + i, previous)
      return (state, tally.add(metrics, first + i)), None

    xs = (jnp.arange(self.per_call, dtype=first.dtype), fed)
    (state, tally), _ = lax.scan(body, (state, tally), xs)
    return state, tally, first + self.per_call

  def terms(self, state: PyTree, previous: list[PyTree]) -> tuple[str, ...]:
    """Names of the metrics of an update, in their order."""
    args = state, self.pipeline.arrays, self.fed_shapes(1), np.int32(0), previous
    # A trace depends on the mesh that its arguments are on, and not on where on it they are.
    return tuple(jax.eval_shape(self.traced, *placed(args, self.mesh))[1])

  def fed_shapes(self, per_call: int) -> dict:
    """Shapes of what one call is fed: {} for resident data."""
    if self.pipeline.feed is None:
      return {}
    batch = next(self.pipeline.feed(0, 1, np.arange(self.pipeline.batch_size)))
    lead, axis = ((), 1) if per_call == 1 else ((per_call,), 2)
    return {
      k: jax.ShapeDtypeStruct((*lead, *v.shape), v.dtype, sharding=split_over(self.mesh, axis))
      for k, v in batch.items()
    }

  def fed(self, first: int, last: int) -> Iterator[dict]:
    """What each call from step `first` on is fed, on the devices."""
    if self.pipeline.feed is None:
      while True:
        yield {}
    batches = self.pipeline.feed(first, last, rows_of_process(self.pipeline.batch_size))
    while True:
      if self.per_call == 1:
        yield assemble(next(batches), self.mesh, 1)
      else:
        chunk = [next(batches) for _ in range(self.per_call)]
        yield assemble(jax.tree.map(lambda *parts: np.stack(parts), *chunk), self.mesh, 2)

  def lower(self, state: PyTree, previous: list[PyTree]):
    """The call for abstract states, lowered and not yet compiled."""
    tally = placed(Tally.zero(self.terms(state, previous)), self.mesh)
    arrays = placed(self.pipeline.arrays, self.mesh)
    first = jax.ShapeDtypeStruct((), np.int32, sharding=replicated(self.mesh))
    fed = self.fed_shapes(self.per_call)
    return self.jitted(state).lower(state, tally, arrays, fed, first, previous)

  def compilations(self) -> int:
    """Executables that `call` was compiled to: 1 at the end of a run."""
    return 0 if self.compiled is None else self.compiled._cache_size()
