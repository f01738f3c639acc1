"""metrics.jsonl: the rows of a run's log, one JSON object a line."""

from __future__ import annotations

import json
from pathlib import Path

from absl import logging

from gen_jax.run.files import read_bytes, write_text


def read_rows(path: Path) -> list[dict]:
  """The rows of a metrics.jsonl, [] where there is none.

  A last line that was cut off is left out; so are lines that are no rows, with a warning.

  Raises:
    UserError: if it cannot be read.
  """
  return parse_rows(path)[0]


def parse_rows(path: Path) -> tuple[list[dict], list[str]]:
  """The rows, and the lines besides that are none."""
  if not path.exists():
    return [], []
  *lines, last = read_bytes(path).decode("utf-8-sig", errors="replace").split("\n")
  rows, bad = [], []
  for number, line in enumerate(lines, 1):
    row = parse_row(line)
    if row is not None:
      rows.append(row)
    else:
      bad.append(line)
      if len(bad) == 1:
        logging.warning("%s: line %d is no row of a log; it is left out", path, number)
  row = parse_row(last)  # what a run that was killed did not finish is no row
  return rows + [row] * (row is not None), bad


def parse_row(line: str) -> dict | None:
  """One row, or None."""
  try:
    row = json.loads(line)
  except (ValueError, RecursionError):
    return None
  counts = isinstance(row, dict) and all(type(row.get(k)) is int for k in ("stage", "step"))
  return row if counts else None


def drop_rows_after(path: Path, stage: int, step: int) -> float:
  """Keeps the rows up to `step` of `stage`; returns the seconds that the last of them states.

  Lines that are no rows go to <path>.damaged.
  """
  rows, bad = parse_rows(path)
  rows = [row for row in rows if (row["stage"], row["step"]) <= (stage, step)]
  if bad:
    aside = path.with_name(f"{path.name}.damaged")
    kept = read_bytes(aside).decode(errors="replace") if aside.exists() else ""
    write_text(aside, kept + "".join(line + "\n" for line in bad))
    logging.warning("%d lines of %s are kept in %s", len(bad), path, aside.name)
  if path.exists() or path.is_symlink():  # a link is replaced, not followed
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
  seconds = (row.get("seconds", 0.0) for row in rows)
  return max((s for s in seconds if isinstance(s, int | float)), default=0.0)
