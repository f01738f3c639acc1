"""Ours against what a user would otherwise pick: the same work, in turns, on the same machine.

  python -m benchmarks.pairs --peers PYTHON [--only vae,unet] [--rounds 7] [--workdir DIR]
    [--device cpu|gpu] [--dtype float32|bfloat16]

Each side runs in a process of its own, ready and waiting, and the sides work in turns, so that what
else the machine does falls on both. The table has the medians, the ratio of the speeds (higher is
better for ours), and the parameter counts, which must be equal; further our floating-point
operations a second beside those of a large product of matrices, and on GPU the most memory that
each side took. PYTHON is an interpreter that has the packages of benchmarks/peers.txt:

  python3.11 -m venv .peers && .peers/bin/pip install -r benchmarks/peers.txt
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.common import chosen, refusing, table
from gen_jax.core import UserError
from gen_jax.run.files import write_json

HERE = Path(__file__).resolve().parent
SIDES = HERE / "sides"


class Pair(NamedTuple):
  """file: in benchmarks/sides, of both. ours, peers: its functions. what: one piece of work."""

  file: str
  ours: str
  peers: tuple[str, ...]
  what: str


PAIRS = {
  "vae": Pair(
    "vae", "ours", ("pytorch", "pytorch_compiled", "pythae"),
    "VAE 784-200-200-50, an epoch of 60,000",
  ),
  "iwae": Pair("vae", "ours_50", ("pytorch_50",), "IWAE, k = 50, 6,000 examples"),
  "unet": Pair(
    "unet", "ours", ("diffusers", "diffusers_compiled"), "DDPM U-Net, 3 training steps (GPU: 30)"
  ),
  "unet_sample": Pair("unet", "ours_sample", ("diffusers_sample",), "DDPM U-Net, 4 DDIM steps"),
  "segment": Pair(
    "segment", "ours", ("pytorch", "pytorch_compiled"),
    "segmentation U-Net, 3 training steps (GPU: 30)",
  ),
  "realnvp": Pair("realnvp", "ours", ("normflows",), "RealNVP in the plane, 200 training steps"),
  "realnvp_sample": Pair("realnvp", "ours_sample", ("normflows_sample",), "RealNVP, 100,000 draws"),
  "wgan_gp": Pair("wgan_gp", "ours", ("pytorch",), "WGAN-GP, dense, 50 rounds of 5 + 1 turns"),
  "transformer": Pair(
    "transformer", "ours", ("pytorch", "pytorch_compiled"),
    "transformer, 5 training steps of 32 sequences of 256 (GPU: 100)",
  ),
  "transformer_sample": Pair(
    "transformer", "ours_sample", ("pytorch_sample",),
    "transformer, 64 sequences of 256 with a cache",
  ),
  "translate": Pair(
    "translate", "ours", ("pytorch", "pytorch_compiled"),
    "translator, 5 training steps of 32 pairs of sentences, both ways (GPU: 100)",
  ),
  "translate_decode": Pair(
    "translate", "ours_decode", ("pytorch_decode",), "translator, 64 sentences with a cache"
  ),
  "gmm": Pair("gmm", "ours", ("sklearn",), "EM, diagonal, 60,000x784, 32 components, 5 passes"),
  "pca": Pair("gmm", "ours_pca", ("sklearn_pca",), "PCA, 60,000x784, 50 components"),
  "meanshift": Pair(
    "meanshift", "ours", ("sklearn", "sklearn_jobs"), "mean shift, 2,000 points, flat kernel"
  ),
}  # fmt: skip
CEILING = Pair("trainer", "ceiling", (), "a product of large matrices")


class Side:
  """A process that does pieces of work."""

  def __init__(self, python: str, file: str, function: str, setting: dict[str, str]):
    self.name = function
    self.process = subprocess.Popen(
      [python, HERE / "worker.py", SIDES / f"{file}.py", function], text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HERE.parent, env=os.environ | setting,
    )  # fmt: skip
    self.facts = self.answer()

  def answer(self) -> dict[str, Any]:
    line = self.process.stdout.readline()
    if not line:
      raise UserError(f"{self.name} ended with status {self.process.wait()} before it answered")
    return json.loads(line)

  def work(self) -> dict[str, float]:
    """seconds, loss and peak memory of one more piece."""
    self.process.stdin.write("go\n")
    self.process.stdin.flush()
    return self.answer()

  def close(self) -> None:
    self.process.stdin.close()
    self.process.wait(60)


def setting(device: str, dtype: str) -> dict[str, str]:
  """The environment that says to both sides where and how to compute."""
  on_gpu = device == "gpu"
  return {
    "PAIRS_DEVICE": "cuda" if on_gpu else "cpu", "PAIRS_DTYPE": dtype,
    "JAX_PLATFORMS": "cuda" if on_gpu else "cpu",
    # Several processes share the GPU.
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
  }  # fmt: skip


@contextlib.contextmanager
def sides(pair: Pair, python: str, env: dict[str, str]) -> Iterator[list[Side]]:
  """Ours first, then the peers; one is made ready after the other."""
  with contextlib.ExitStack() as stack:
    ready = []
    for function in (pair.ours, *pair.peers):
      own = function == pair.ours or function.startswith("sklearn")
      side = Side(sys.executable if own else python, pair.file, function, env)
      stack.callback(side.close)
      ready.append(side)
    yield ready


def measure(pair: Pair, python: str, rounds: int, env: dict[str, str]) -> dict[str, Any]:
  """{side: facts with median, fastest and slowest seconds, the last loss, and peak memory}."""
  found: dict[str, dict] = {}
  with sides(pair, python, env) as ready:
    counts = {side.facts["parameters"] for side in ready}
    if len(counts) > 1:
      told = ", ".join(f"{side.name} {side.facts['parameters']}" for side in ready)
      raise UserError(f"the sides of {pair.what} differ in their parameters: {told}")
    times: dict[str, list[float]] = {side.name: [] for side in ready}
    last: dict[str, dict] = {}
    for _ in range(rounds):
      for side in ready:
        done = side.work()
        times[side.name].append(done["seconds"])
        last[side.name] = done
    for side in ready:
      seconds = times[side.name]
      found[side.name] = side.facts | {
        "seconds": statistics.median(seconds), "fastest": min(seconds), "slowest": max(seconds),
        "loss": last[side.name]["loss"], "memory": last[side.name]["memory"],
      }  # fmt: skip
  return found


def markdown(results: dict[str, dict], ceiling: float = 0.0) -> str:
  """The table: a row for each pair of sides.

  ceiling: operations a second of a large product of matrices, 0 where it was not measured.
  """
  head = [
    "work", "parameters", "ours, s", "peer", "peer, s", "ratio", "loss, ours", "loss, peer",
    "GFLOP/s, ours", "of the ceiling", "GiB, ours", "GiB, peer",
  ]  # fmt: skip
  gib = lambda side: f"{side['memory'] / 2**30:.2f}" if side["memory"] else ""
  rows = []
  for name, found in results.items():
    pair = PAIRS[name]
    ours = found[pair.ours]
    rate = ours.get("flops", 0.0) / ours["seconds"]
    share = f"{rate / ceiling:.0%}" if rate and ceiling else ""
    for peer in pair.peers:
      other = found[peer]
      rows.append((
        pair.what, f"{ours['parameters']:,}", f"{ours['seconds']:.3g}", other["version"],
        f"{other['seconds']:.3g}", f"{other['seconds'] / ours['seconds']:.2f}",
        f"{ours['loss']:.4g}", f"{other['loss']:.4g}", f"{rate / 1e9:.0f}" if rate else "", share,
        gib(ours), gib(other),
      ))  # fmt: skip
  return table(head, rows)


@refusing
def main(argv: Sequence[str] | None = None) -> int:
  """The command line; returns the exit status."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs", description=__doc__)
  parser.add_argument("--peers", default=".peers/bin/python")
  parser.add_argument("--only", default="")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
  parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
  parser.add_argument("--workdir", type=Path, default=Path("runs/pairs"))
  options = parser.parse_args(argv)
  names = chosen(options.only, PAIRS)
  if options.rounds < 1:
    raise UserError(f"--rounds must be 1 or more, not {options.rounds}")
  if not Path(options.peers).exists():
    raise UserError(f"--peers: {options.peers} does not exist; see python -m benchmarks.pairs -h")
  results, env = {}, setting(options.device, options.dtype)
  top = measure(CEILING, options.peers, options.rounds, env)["ceiling"]
  ceiling = top["flops"] / top["fastest"]
  print(f"{CEILING.what}: {ceiling / 1e9:.0f} GFLOP/s")
  options.workdir.mkdir(parents=True, exist_ok=True)
  for name in names:
    results[name] = measure(PAIRS[name], options.peers, options.rounds, env)
    print(markdown({name: results[name]}, ceiling).splitlines()[-1], flush=True)
    write_json(options.workdir / "pairs.json", results | {"ceiling": ceiling})
    (options.workdir / "pairs.md").write_text(markdown(results, ceiling))
  print(markdown(results, ceiling), end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
