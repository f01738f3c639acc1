"""When a run is complete: everything that its command leaves behind is there, of the last step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from gen_jax import remote
from gen_jax.core import UserError
from gen_jax.run import processes
from gen_jax.run.files import jsonable, read_bytes, read_json, write_json
from gen_jax.run.folder import read_record
from gen_jax.run.system import System

FIGURES = "evaluation.json"
# What the figures depend on besides the run: another wish of these is measured anew.
ASKED = ("measures", "evaluate", "likelihood", "sample")


def mark_complete(system: System, workdir: Path) -> None:
  """Writes the marker, the last file of a run: its step, what was asked for, and digests of what
  was made, so that a file that is lost or damaged later is made anew."""
  if processes.is_first():
    made = [workdir / name for name in ("metrics.jsonl", "curves.png", "weights.safetensors")]
    made += pictures(system, workdir)
    files = {str(path.relative_to(workdir)): digest(path) for path in made if path.exists()}
    marker = {
      "step": system.total, "fingerprint": read_record(workdir)["fingerprint"],
      "asked": asked(system.config), "files": files,
      "figures": sorted(read_json(workdir / FIGURES, dict)),
    }  # fmt: skip
    write_json(workdir / remote.MARKER, marker)


def pictures(system: System, workdir: Path) -> list[Path]:
  """The pictures that the end of a run makes."""
  samples, last = workdir / "samples", f"{system.total:06d}"
  shown = [samples / f"{last}.png", samples / f"{last}.txt", samples / "trajectory.gif"]
  return [*shown, *sorted((workdir / "pictures").glob("*.png"))]


def digest(path: Path) -> str:
  """SHA-256 of a file."""
  return hashlib.sha256(read_bytes(path)).hexdigest()


def asked(config: Mapping) -> dict:
  """What the command asks the finished run for, as JSON holds it."""
  return {name: jsonable(config[name]) for name in ASKED}


def missing(system: System, workdir: Path) -> str:
  """Why a run whose training is done is not complete; empty where it is."""
  try:
    marker = read_json(workdir / remote.MARKER, dict)
    if marker["step"] != system.total:
      return f"what it left behind is of step {marker['step']}"
    if marker["fingerprint"] != read_record(workdir)["fingerprint"]:
      return "what it left behind is another run's"
    if marker["asked"] != asked(system.config):
      return "other figures are asked for"
    for name, was in marker["files"].items():
      if not (workdir / name).is_file() or digest(workdir / name) != was:
        return f"{name} is not as it was left"
    figures = read_json(workdir / FIGURES, dict)
    if any(figures[name]["step"] != system.total for name in marker["figures"]):
      return f"figures in {FIGURES} are of another step"
  except (UserError, KeyError, TypeError, AttributeError):
    return "not everything that it leaves behind is there"
  return ""


def figures_of_step(path: Path, step: int) -> dict[str, dict]:
  """The figures in a file that are of that step: what others stand in it is of another model. Nor
  does it tell again what could not be taken."""
  try:
    figures = {k: r for k, r in read_json(path, dict).items() if isinstance(r, dict)}
  except UserError:
    return {}
  of_step = lambda r: r.get("step") == step and r.get("value") is not None
  return {name: record for name, record in figures.items() if of_step(record)}
