"""Runs side by side, as plain text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gen_jax import remote
from gen_jax.core import UserError
from gen_jax.run.files import read_json
from gen_jax.run.folder import flat
from gen_jax.run.rows import read_rows

MISSING = "-"


def compare(dirs: Sequence[str | Path]) -> str:
  """How runs differ, and what each came to.

  Four tables, each left out where it is empty: the fields of config.json that differ, the figures
  of evaluation.json with their facts (examples, split, ...), the last row of training in
  metrics.jsonl, and what differs in the last launch of provenance.json.

  Args:
    dirs: two run folders or more, or their URLs.

  Returns:
    Lines of text, a column for each run.

  Raises:
    UserError: for fewer than two folders, or one that is no run folder or is damaged.
  """
  if len(dirs) < 2:
    raise UserError("compare takes two run folders or more")
  runs = []
  for where in dirs:
    with remote.opened(where) as path:
      runs.append(_read(path))
  tables = (
    ("config", [run["config"] for run in runs], True),
    ("evaluation", [run["evaluation"] for run in runs], False),
    ("last row of metrics", [run["metrics"] for run in runs], False),
    ("provenance", [run["provenance"] for run in runs], True),
  )
  names = _names(dirs)
  parts = [_table(title, names, columns, differing) for title, columns, differing in tables]
  return "\n\n".join(part for part in parts if part)


def _read(path: Path) -> dict[str, dict[str, str]]:
  """One run's tables, name -> text of the cell."""

  def optional(name: str, empty: Any) -> Any:
    value = read_json(path / name) if (path / name).exists() else empty
    if not isinstance(value, type(empty)):
      raise UserError(f"{path / name} is not what a run writes: the run folder is damaged")
    return value

  record = read_json(path / "config.json")
  if not isinstance(record, Mapping) or not isinstance(record.get("config"), Mapping):
    raise UserError(f"{path / 'config.json'} is not what a run writes: the run folder is damaged")
  rows = [row for row in read_rows(path / "metrics.jsonl") if "split" not in row]
  launches = optional("provenance.json", [])
  return {
    "config": {k: json.dumps(v) for k, v in flat(record["config"]).items()},
    "evaluation": {k: _figure(v) for k, v in optional("evaluation.json", {}).items()},
    "metrics": {k: _number(v) for k, v in (rows[-1] if rows else {}).items()},
    "provenance": {k: _number(v) for k, v in flat(launches[-1] if launches else {}).items()},
  }


def _figure(entry: Any) -> str:
  """One figure of evaluation.json: its value, then its facts, without which it compares little."""
  if not isinstance(entry, Mapping):
    return _number(entry)
  facts = ", ".join(f"{k} {_number(v)}" for k, v in entry.items() if k != "value")
  value = _number(entry.get("value", MISSING))
  return f"{value} ({facts})" if facts else value


def _number(value: Any) -> str:
  if value is None:
    return MISSING
  return f"{value:.6g}" if isinstance(value, float) else str(value)


def _names(dirs: Sequence[str | Path]) -> list[str]:
  """The folders' own names, or the paths where two are alike."""
  names = [Path(d).resolve().name for d in dirs]
  return names if len(set(names)) == len(names) else list(map(str, dirs))


def _table(
  title: str, names: Sequence[str], columns: Sequence[Mapping[str, str]], differing: bool
) -> str:
  """A table with a row for each key; "" where there is none. differing: leave out equal rows."""
  keys = list(dict.fromkeys(key for column in columns for key in column))
  rows = [[key, *(column.get(key, MISSING) for column in columns)] for key in keys]
  rows = [row for row in rows if not differing or len(set(row[1:])) > 1]
  if not rows:
    return ""
  rows.insert(0, [title, *names])
  widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
  return "\n".join(
    "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for row in rows
  )
