"""Our side of a training pair: the trainer's own step, on arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.sides.setting import DTYPE
from gen_jax import config as configs
from gen_jax.core import Model, Program, Spec, single
from gen_jax.data import ArraySplit, Source
from gen_jax.run.job import job_of
from gen_jax.run.mesh import replicate
from gen_jax.run.stage import Run
from gen_jax.run.system import system_of

Work = Callable[[], float]


def count(tree: Any) -> int:
  """Numbers in the arrays of a tree."""
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def trainer(
  family: str,
  spec: Spec,
  arrays: Mapping[str, np.ndarray],
  *,
  batch_size: int,
  steps: int,
  per_call: int,
  term: str = "loss",
  remainder: str = "wrap",
  stage: int | None = None,
  **model: Any,
) -> tuple[dict[str, Any], Work]:
  """(facts, work) of `steps` training steps of a model of gen_jax.models.<family>.

  term: the metric whose average over the steps is the loss that work() returns.
  stage: the one of several that is measured, from its own fresh state.
  """
  parsed = configs.parse(
    configs.experiment(
      f"gen_jax.models.{family}.build",
      model=model,
      # The set is named and not read: the arrays are given.
      data={"name": "digits", "batch_size": batch_size, "remainder": remainder},
      train={
        "steps": steps,
        "steps_per_call": per_call,
        "log_every": steps,
        "validate_every": 0,
        "sample_every": 0,
        "checkpoint_every": 0,
      },
    )  # fmt: skip
  )
  program = configs.build(parsed.config, spec)
  program = program if stage is None else single(program.stages[stage].model)
  source = Source("arrays", spec, {"train": ArraySplit(arrays)})
  system = system_of(program, source, parsed)
  run = Run(job_of(system), 0, [], 0)
  state = run.init()
  terms = run.step.terms(state, [])
  fed = run.step.fed(0, 10**9)
  at = 0

  def work() -> float:
    nonlocal state, at
    tally = run.zero(terms)
    for _ in range(steps // per_call):
      first = replicate(np.int32(at), system.mesh)
      state, tally, _ = run.step.call(state, tally, run.arrays, next(fed), first, [])
      at += per_call
    host = jax.device_get(tally)
    return float(host.sum[term] / host.count)

  # Of one step: a loop's body is counted once.
  shapes = jax.tree.map(jax.typeof, (state, run.arrays))
  fields = run.step.fed_shapes(1)
  cost = run.step.traced.lower(*shapes, fields, jnp.int32(0), []).cost_analysis() or {}
  return facts_of(state, steps * batch_size) | {"flops": steps * cost.get("flops", 0.0)}, work


def ceiling(n: int = 4096) -> tuple[dict[str, Any], Work]:
  """(facts, work) of a product of two n x n matrices."""
  a = jax.random.normal(jax.random.key(0), (n, n)).astype(DTYPE)
  product = jax.jit(lambda a: a @ a)
  facts = {"version": f"jax {jax.__version__}", "parameters": 0, "flops": 2 * n**3}
  return facts, lambda: float(jax.block_until_ready(product(a))[0, 0])


def sampler(program: Program, x: np.ndarray, n: int) -> tuple[dict[str, Any], Work]:
  """(facts, work) of drawing n samples from a fresh model, whose init sees examples x."""
  model = program.model
  state = jax.jit(model.init)(jax.random.key(0), {"x": x})
  keys, draw = jax.random.split(jax.random.key(1), n), jax.jit(model.sample)
  return facts_of(state, n), lambda: float(np.asarray(draw([state], keys)).mean())


def translator_of(model: Model, batch: Mapping[str, np.ndarray]) -> tuple[dict[str, Any], Work]:
  """(facts, work) of what a fresh model makes of a batch's x."""
  state = jax.jit(model.init)(jax.random.key(0), batch)
  x, transform = jnp.asarray(batch["x"]), jax.jit(model.transform)
  return facts_of(state, len(x)), lambda: float(np.asarray(transform(state, x)).mean())


def facts_of(state: Any, examples: int) -> dict[str, Any]:
  """What a side says of itself."""
  return {"version": f"jax {jax.__version__}", "parameters": count(state["params"]),
          "examples": examples}  # fmt: skip
