"""Runs side by side, as plain text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gen_jax import remote
from gen_jax.core import UserError
from gen_jax.report.folder import Run, read_run
from gen_jax.run.folder import flat

MISSING = "-"


def compare(dirs: Sequence[str | Path]) -> str:
  """How runs differ, and what each came to, as text: the tables of `tables_of`.

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
      runs.append(read_run(path))
  names = names_of(dirs)
  return "\n\n".join(_text([[title, *names], *rows]) for title, rows in tables_of(runs).items())


def tables_of(runs: Sequence[Run]) -> dict[str, list[list[str]]]:
  """Title -> rows [name, cell of each run].

  Four tables, each left out where it is empty: the fields of config.json that differ, the figures
  of evaluation.json, below each those of its facts (examples, split, ...) that differ, the last row
  of training in metrics.jsonl, and what differs in the last launch of provenance.json.
  """
  cells = [_cells(run) for run in runs]
  tables = {}
  for title, differing in (
    ("config", True), ("evaluation", False), ("last row of metrics", False), ("provenance", True),
  ):  # fmt: skip
    columns = [run[title] for run in cells]
    keys = list(dict.fromkeys(key for column in columns for key in column))
    figures = list(dict.fromkeys(key.split(FACT)[0] for key in keys))
    keys.sort(key=lambda key: figures.index(key.split(FACT)[0]))  # facts below their figure
    rows = [
      [key, *(column.get(key, MISSING) for column in columns)]
      for key in keys
      if differs(key, columns) or not (differing or FACT in key)
    ]
    if rows:
      tables[title] = rows
  return tables


def _cells(run: Run) -> dict[str, dict[str, str]]:
  """One run's tables, name -> text of the cell."""
  last, launch = run.trained[-1:], run.launches[-1:]
  return {
    "config": {k: json.dumps(v) for k, v in flat(run.config).items()},
    "evaluation": {k: v for name, entry in run.figures.items() for k, v in _figure(name, entry)},
    "last row of metrics": {k: number(v) for row in last for k, v in row.items()},
    "provenance": {k: number(v) for one in launch for k, v in flat(one).items()},
  }


FACT = " · "  # between the name of a figure and that of one of its facts


def differs(key: str, columns: Sequence[Mapping[str, str]]) -> bool:
  """Whether runs tell a row apart: one of a fact, those that have its figure."""
  figure = key.split(FACT)[0]
  among = [column for column in columns if figure in column] if FACT in key else columns
  return len({column.get(key, MISSING) for column in among}) > 1


def _figure(name: str, entry: Any) -> Iterator[tuple[str, str]]:
  """The row of a figure of evaluation.json, with its standard error, and those of its facts."""
  if not isinstance(entry, Mapping):
    yield name, number(entry)
    return
  error = entry.get("standard_error")
  value = number(entry.get("value", MISSING))
  yield name, value if error is None else f"{value} ± {error:.2g}"
  for fact, told in entry.items():
    if fact not in ("value", "standard_error"):
      yield f"{name}{FACT}{fact}", number(told)


def number(value: Any) -> str:
  """A cell of a table."""
  if value is None:
    return MISSING
  return f"{value:.6g}" if isinstance(value, float) else str(value)


def names_of(dirs: Sequence[str | Path]) -> list[str]:
  """The folders' own names, or the paths where two are alike."""
  names = [Path(d).resolve().name for d in dirs]
  return names if len(set(names)) == len(names) else list(map(str, dirs))


def _text(rows: Sequence[Sequence[str]]) -> str:
  """Rows in columns of equal width."""
  widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
  return "\n".join(
    "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    for row in rows
  )
