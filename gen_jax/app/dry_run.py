"""What `--dry_run` prints: the data, the parameters and the compiled step's memory."""

from __future__ import annotations

from collections.abc import Mapping

import jax

from gen_jax import data
from gen_jax.core import PyTree
from gen_jax.report import measures
from gen_jax.run.memory import size
from gen_jax.run.setup import set_up
from gen_jax.run.states import abstract_states, batches_of, released
from gen_jax.run.step import Step
from gen_jax.run.system import System


def dry_run(config: Mapping) -> int:
  """Looks at every stage without training; writes nothing."""
  system = set_up(config)
  measures.check(system)
  splits = ", ".join(f"{name} {len(split)}" for name, split in system.source.splits.items())
  print(f"data        {system.source.name}: {splits}; x {tuple(system.spec.shape)}", end="")
  print(f" of {system.spec.levels or 'real'} levels; fields {', '.join(system.spec.fields) or '-'}")
  print(f"devices     {system.mesh.size} x {system.mesh.devices.flat[0].device_kind}")
  program, layout = system.program, system.experiment.train.layout
  for i in range(len(program.stages)):
    *previous, state = abstract_states(
      program, i + 1, batches_of(system), system.mesh, layout
    )  # fmt: skip
    print_stage(system, i, previous, state)
  return 0


def print_stage(system: System, index: int, previous: list[PyTree], state: PyTree) -> None:
  """One stage: its length, its parameters, and what its compiled step takes."""
  stage, settings = system.program.stages[index], system.experiment.train
  microbatches = stage.model.microbatches
  print(f"stage {index}     {system.lengths[index]} steps of {microbatches} microbatches")
  print(parameter_table({name: state[name] for name in stage.model.weights}))
  pipeline = data.make_pipeline(
    system.sources[index].splits["train"], system.specs[index], system.feed(index), system.root,
    stage=index, microbatches=microbatches,
  )  # fmt: skip
  calls = settings.steps_per_call
  step = Step(stage, index, pipeline, system.root, system.mesh, calls, layout=settings.layout)
  compiled = step.lower(state, released(stage, previous)).compile()
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
  print(f"state       {size(memory.output_size_in_bytes)} on each device")
  print(f"arguments   {size(memory.argument_size_in_bytes)}, the resident data among them")
  print(f"workspace   {size(memory.temp_size_in_bytes)}")
  print(f"arithmetic  {cost.get('flops', float('nan')) / calls / 1e9:.2f} GFLOP a step")


def parameter_table(tree: PyTree) -> str:
  """Name, shape, type and number of every array."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  lines = []
  for path, leaf in leaves:
    name = jax.tree_util.keystr(path, simple=True, separator=".")
    lines.append(f"  {name:70s} {str(leaf.shape):20s} {leaf.dtype!s:9s} {leaf.size:>12,}")
  groups: dict[str, int] = {}
  for path, leaf in leaves:
    top = str(getattr(path[0], "key", path[0]))
    groups[top] = groups.get(top, 0) + leaf.size
  totals = ", ".join(f"{name} {count:,}" for name, count in groups.items())
  return "\n".join([*lines, f"  total: {totals}"])
