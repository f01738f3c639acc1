"""Where the time of ours goes: the work of benchmarks.pairs under JAX's profiler.

  python -m benchmarks.profiles [--only vae,unet] [--workdir DIR]

Each work runs in a process of its own, once to compile and once in the profiler. The table has the
share of each kind of operation in the time of all of them, which for several threads is that of
all. The profiler slows small operations most, so that they are overstated.
"""

from __future__ import annotations

import argparse
import gzip
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.common import chosen, refusing, table
from benchmarks.pairs import HERE, PAIRS, Pair
from gen_jax.core import UserError
from gen_jax.run.files import write_json

KINDS = (
  "convolutions", "products", "copies", "sums", "random numbers", "reads and writes", "rest"
)  # fmt: skip
# Their bodies are operations of their own.
OUTER = {"while", "call", "conditional"}
INSTRUCTION = re.compile(
  r"^ *(?:ROOT )?%?(?P<name>[\w.-]+) = [^=]*?(?P<opcode>[a-z][a-z0-9-]*)\((?P<rest>.*)$"
)


def instructions(hlo: str) -> dict[str, dict[str, tuple[str, str]]]:
  """{computation: {instruction: (opcode, what follows)}} of an HLO module's text."""
  found: dict[str, dict[str, tuple[str, str]]] = {}
  inside: dict[str, tuple[str, str]] = {}
  for line in hlo.splitlines():
    if start := re.match(r"(?:ENTRY )?%?([\w.-]+) .*\{$", line):
      inside = found.setdefault(start[1], {})
    elif one := INSTRUCTION.match(line):
      inside[one["name"]] = one["opcode"], one["rest"]
  return found


def kind(opcodes: set[str], named: str) -> str:
  """The kind of an operation of these opcodes, whose metadata are `named`."""
  if "convolution" in opcodes:
    return "convolutions"
  if "dot" in opcodes or "dot_general" in named:
    return "products"
  if "threefry" in named or "random_bits" in named or "rng-bit-generator" in opcodes:
    return "random numbers"
  if opcodes & {"reduce", "reduce-window"}:
    return "sums"
  if opcodes & {"gather", "scatter", "dynamic-slice", "dynamic-update-slice", "sort"}:
    return "reads and writes"
  if opcodes <= {"copy", "transpose", "bitcast", "parameter", "reshape", "tuple"}:
    return "copies"
  return "rest"


def kinds(hlo: str) -> dict[str, str]:
  """{instruction: kind} of an HLO module's text, without loops and calls."""
  computations, found = instructions(hlo), {}
  for inside in computations.values():
    for name, (opcode, rest) in inside.items():
      if opcode in OUTER:
        continue
      called = re.search(r"calls=%?([\w.-]+)", rest)
      within = computations.get(called[1], {}) if called else {}
      named = " ".join(re.findall(r'op_name="([^"]*)"', rest))
      found[name] = kind({opcode} - {"fusion"} | {op for op, _ in within.values()}, named)
  return found


def events(folder: Path) -> Iterator[tuple[str, str, float]]:
  """(module, instruction, microseconds) of each operation that the profiler saw."""
  for file in folder.rglob("*.trace.json.gz"):
    for event in json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]:
      args = event.get("args", {})
      if event.get("ph") == "X" and "hlo_op" in args:
        yield args["hlo_module"], args["hlo_op"], event["dur"]


def shares(folder: Path) -> dict[str, float]:
  """{kind: share} of the operations of a profile and a dump of XLA in `folder`.

  Raises:
    UserError: if the profile is of none of the dumped modules.
  """
  modules = {
    re.sub(r"^module_\d+\.|\..*$", "", file.name): kinds(file.read_text())
    for file in sorted(folder.rglob("*after_optimizations.txt"))
  }
  time: Counter[str] = Counter()
  for module, name, spent in events(folder):
    if which := modules.get(module, {}).get(name):
      time[which] += spent
  if not time:
    raise UserError(f"the profile in {folder} is of no operation that is known")
  return {which: time[which] / time.total() for which in KINDS}


def profiled(pair: Pair) -> dict[str, float]:
  """{kind: share} of one piece of work of ours, in a process of its own."""
  with tempfile.TemporaryDirectory() as folder:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={folder} --xla_dump_hlo_as_text"
    # Nothing is compiled, and so nothing dumped, of what a cache has.
    env = os.environ | {"XLA_FLAGS": flags.strip(), "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-m", "benchmarks.profiles", "--piece", pair.file, pair.ours, folder]
    done = subprocess.run(command, cwd=HERE.parent, env=env, capture_output=True, text=True)
    if done.returncode:
      raise UserError(f"{pair.what} ended with status {done.returncode}: {done.stderr[-300:]}")
    return shares(Path(folder))


def piece(file: str, function: str, folder: str) -> None:
  """One piece of work in the profiler, after another that compiles it."""
  import jax

  _, work = getattr(importlib.import_module(f"benchmarks.sides.{file}"), function)()
  work()
  with jax.profiler.trace(folder):
    work()


def markdown(results: dict[str, dict[str, float]]) -> str:
  """The table: a row for each work."""
  rows = [
    (PAIRS[name].what, *(f"{found[which]:.0%}" for which in KINDS))
    for name, found in results.items()
  ]
  return table(("work", *KINDS), rows)


@refusing
def main(argv: Sequence[str] | None = None) -> int:
  """The command line; returns the exit status."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description=__doc__)
  parser.add_argument("--only", default="")
  parser.add_argument("--workdir", type=Path, default=Path("runs/profiles"))
  parser.add_argument("--piece", nargs=3, metavar=("FILE", "FUNCTION", "FOLDER"), help="one work")
  options = parser.parse_args(argv)
  if options.piece:
    piece(*options.piece)
    return 0
  results = {}
  options.workdir.mkdir(parents=True, exist_ok=True)
  for name in chosen(options.only, PAIRS):
    results[name] = profiled(PAIRS[name])
    print(markdown({name: results[name]}).splitlines()[-1], flush=True)
    write_json(options.workdir / "profiles.json", results)
    (options.workdir / "profiles.md").write_text(markdown(results))
  print(markdown(results), end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
