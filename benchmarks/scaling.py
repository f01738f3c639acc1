"""What a step needs of each of many devices: memory, arithmetic and communication.

  python -m benchmarks.scaling [--devices 256] [--only ddpm,transformer] [--workdir DIR]

compiles the training step of two models for a mesh of simulated devices, with the state replicated
and with it split, without computing anything, and writes scaling.md: what XLA says of the memory
and the arithmetic of one device (`memory_analysis`, `cost_analysis`), and the bytes of the
collectives in the compiled program.

  ddpm         configs/ddpm.py:cifar10, 8 images a device
  transformer  a prior over 32x32 codes of 8192: 24 blocks of width 1792 (0.96 billion parameters),
               bfloat16, rematerialised, 4 sequences a device
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import chosen, refusing, table
from benchmarks.sides.trainer import count
from gen_jax import config as configs
from gen_jax.app import cli
from gen_jax.core import Program, Spec
from gen_jax.models import transformer
from gen_jax.nets import attention
from gen_jax.run.mesh import layout_of, make_mesh, replicated, split_over
from gen_jax.run.states import abstract_states, batch_of_spec

LAYOUTS = ("replicated", "sharded")
HEADER = (
  "model", "parameters", "layout", "state, GiB", "workspace, GiB", "TFLOP", "all-reduce, GiB",
  "all-gather, GiB", "reduce-scatter, GiB", "other, GiB",
)  # fmt: skip
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def ddpm() -> tuple[Program, Spec, int]:
  """(program, spec, examples a device)."""
  spec = Spec.of((32, 32, 3), 256, 10)
  parsed = configs.parse(cli.load_config(f"{cli.CONFIGS}/ddpm.py:cifar10"))
  return configs.build(parsed.config, spec), spec, 8


def prior() -> tuple[Program, Spec, int]:
  """(program, spec, examples a device)."""
  spec = Spec.of((32, 32), 8192)
  program = transformer.build(
    spec, width=1792, layers=24, heads=14, dropout=0.0, dtype="bfloat16", remat=True, ema=0.0
  )
  return program, spec, 4


MODELS = {"ddpm": ddpm, "transformer": prior}


class Needs(NamedTuple):
  """Of one device and step: bytes, floating-point operations, bytes of results by collective."""

  parameters: int
  state: int
  workspace: int
  flops: float
  collectives: dict[str, int]


def collectives(text: str) -> dict[str, int]:
  """Bytes of the results of each kind of collective in an HLO module, each counted once."""
  found = dict.fromkeys(KINDS, 0)
  pattern = rf"= (.+?) ({'|'.join(KINDS)})(?:-start)?\("
  for shapes, kind in re.findall(pattern, text):
    for dtype, dims in re.findall(r"([a-z]+\d+)\[([\d,]*)\]", shapes):
      size = np.prod([int(n) for n in dims.split(",") if n], dtype=np.int64)
      found[kind] += int(size) * max(int(re.sub(r"\D", "", dtype)) // 8, 1)
  return found


def needs(name: str, layout: str, devices: int) -> Needs:
  """What the step of a model needs of one of `devices` devices."""
  program, spec, share = MODELS[name]()
  mesh = make_mesh(jax.devices()[:devices])
  model, batch = program.stages[0].model, batch_of_spec(spec, share * devices)
  (state,) = abstract_states(program, 1, [batch], mesh, layout)
  rows = split_over(mesh, 1)
  micro = {
    k: jax.ShapeDtypeStruct((model.microbatches, *v.shape), v.dtype, sharding=rows)
    for k, v in batch.items()
  }
  scalar = lambda dtype: jax.ShapeDtypeStruct((), dtype, sharding=replicated(mesh))
  key = jax.eval_shape(lambda: jax.random.key(0))
  update = jax.jit(
    model.update, donate_argnums=0,
    out_shardings=(layout_of(state, mesh, layout), replicated(mesh)),
  )  # fmt: skip
  compiled = update.lower(state, micro, scalar(key.dtype), scalar(jnp.int32)).compile()
  memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
  return Needs(
    count(state["params"]), memory.output_size_in_bytes, memory.temp_size_in_bytes, cost["flops"],
    collectives(compiled.as_text()),
  )  # fmt: skip


def row(name: str, layout: str, found: Needs) -> tuple[str, ...]:
  """The cells of one row."""
  gib = lambda n: f"{n / 2**30:.3f}"
  shown = [found.collectives[kind] for kind in KINDS]
  traffic = (*shown[:3], sum(shown[3:]))
  return (
    name, f"{found.parameters / 1e6:.1f} M", layout, gib(found.state), gib(found.workspace),
    f"{found.flops / 1e12:.2f}", *map(gib, traffic),
  )  # fmt: skip


@refusing
def main(argv: list[str] | None = None) -> int:
  """The command line."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
  parser.add_argument("--devices", type=int, default=256)
  parser.add_argument("--only", default="")
  parser.add_argument("--workdir", type=Path, default=Path("runs/scaling"))
  options = parser.parse_args(argv)
  names = chosen(options.only, MODELS)
  jax.config.update("jax_num_cpu_devices", options.devices)
  attention.CACHED = sys.maxsize  # all heads at once, as on a TPU
  rows = []
  for name in names:
    for layout in LAYOUTS:
      rows.append(row(name, layout, needs(name, layout, options.devices)))
      print(*rows[-1], flush=True)
  options.workdir.mkdir(parents=True, exist_ok=True)
  (options.workdir / "scaling.md").write_text(table(HEADER, rows))
  return 0


if __name__ == "__main__":
  sys.exit(main())
