"""A run folder read as data: what it records, measured, logged and drew. Nothing of it is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gen_jax.core import UserError
from gen_jax.run.files import read_json
from gen_jax.run.rows import read_rows


class Run(NamedTuple):
  """path: of the folder. config: complete. figures: of evaluation.json, name -> record. rows: of
  metrics.jsonl. launches: of provenance.json. complete: of complete.json, {} before the end.
  failure: of failure/record.json, {} where none is on record."""

  path: Path
  config: Mapping[str, Any]
  figures: Mapping[str, Any]
  rows: Sequence[Mapping[str, Any]]
  launches: Sequence[Mapping[str, Any]]
  complete: Mapping[str, Any]
  failure: Mapping[str, Any]

  @property
  def trained(self) -> list[Mapping[str, Any]]:
    """The rows of training, without those of validation."""
    return [row for row in self.rows if "split" not in row]

  @property
  def seconds(self) -> float | None:
    """How long it was trained for, over all launches; None if that was not logged."""
    said = [row["seconds"] for row in self.rows if isinstance(row.get("seconds"), int | float)]
    return max(said, default=None)

  @property
  def machines(self) -> list[str]:
    """What the launches ran on, each kind once: "1 thread of cpu", "8 x NVIDIA H200"."""
    said = []
    for launch in self.launches:
      devices, threads = launch.get("devices"), launch.get("cpu_threads")
      if isinstance(devices, Mapping) and (kind := devices.get("kind")):
        of_cpu = f"{threads} thread{'s' * (threads != 1)} of {kind}"
        said.append(of_cpu if kind == "cpu" and threads else f"{devices.get('count')} x {kind}")
    return list(dict.fromkeys(said))

  @property
  def lengths(self) -> tuple[int, ...]:
    """How many steps each stage was to have."""
    steps = self.config["train"]["steps"]
    return tuple(steps) if isinstance(steps, list | tuple) else (steps,)


def read_run(path: Path) -> Run:
  """What a run folder holds; what is not there yet is empty.

  Raises:
    UserError: if it is no run folder, or a file in it is damaged.
  """

  def optional(name: str, kind: type) -> Any:
    return read_json(path / name, kind) if (path / name).exists() else kind()

  record = read_json(path / "config.json", dict)
  config = record.get("config")
  if not isinstance(config, Mapping):
    raise UserError(f"{path / 'config.json'} is not what a run writes: the run folder is damaged")
  launches = optional("provenance.json", list)
  if not all(isinstance(launch, Mapping) for launch in launches):
    raise UserError(f"{path / 'provenance.json'} is not what a run writes: it is damaged")
  return Run(
    path, config, optional("evaluation.json", dict), read_rows(path / "metrics.jsonl"), launches,
    optional("complete.json", dict), optional("failure/record.json", dict),
  )  # fmt: skip
