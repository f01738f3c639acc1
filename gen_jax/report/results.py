"""The figures of many runs as one page, made of their evaluation.json files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from gen_jax import remote
from gen_jax.core import UserError
from gen_jax.report.figure import of_what
from gen_jax.report.folder import read_run
from gen_jax.run.files import read_json, write_text
from gen_jax.run.folder import read_record

HEAD = """# Results

Made of the `evaluation.json` files of run folders by

    python -m gen_jax.main results docs/results.md RUN RUN ...

Each figure is of the examples, of the split and at the step that stand beside it. `records/` beside
this page keeps the files it was made of. Times are of runs that may have shared their machine.
"""


def results(out: str | Path, dirs: Sequence[str | Path]) -> str:
  """Writes the page, and each run's figures as records/<name>.json beside it.

  Runs that an earlier page was made of stay on it where they are not named again: their records are
  read.

  Args:
    out: the page, a .md file.
    dirs: run folders, or their URLs.

  Returns:
    What was written, in one line.

  Raises:
    UserError: if a folder is no run folder, or has not been measured.
  """
  page = Path(out)
  kept = page.parent / "records"
  kept.mkdir(parents=True, exist_ok=True)
  for where in dirs:
    with remote.opened(where) as workdir:
      record, path = read_record(workdir), workdir / "evaluation.json"
      if not path.exists():
        raise UserError(f"{where} has no evaluation.json: it has not been measured")
      run, name = read_run(workdir), Path(str(where).rstrip("/")).name
    config = record["config"]
    told = {"builder": config["builder"], "data": config["data"]["name"], "figures": run.figures}
    if run.seconds is not None:
      told["training"] = {"seconds": run.seconds, "machines": run.machines}
    write_text(kept / f"{name}.json", to_json(told))
  runs = {path.stem: read_json(path) for path in sorted(kept.glob("*.json"))}
  write_text(page, HEAD + "".join(section(name, run) for name, run in runs.items()))
  return f"{page}: {len(runs)} runs"


def to_json(value: dict) -> str:
  """JSON, sorted, so that a figure that stays the same makes no difference."""
  return json.dumps(value, indent=1, sort_keys=True, default=list) + "\n"


def section(name: str, run: dict) -> str:
  """One run: a table of its figures, and how long it was trained, where that is on record."""
  family = run["builder"].split(".")[-2]
  took = ""
  if training := run.get("training"):
    on = " and ".join(training["machines"])
    took = f", {training['seconds'] / 60:.1f} minutes of training" + (f" on {on}" if on else "")
  lines = [
    f"\n## {name}\n",
    f"`{family}` on {run['data']}{took}\n",
    "| figure | value | standard error | of | step |",
    "|---|---|---|---|---|",
  ]
  for figure, record in sorted(run["figures"].items()):
    if isinstance(record, dict) and "value" in record:
      error = record.get("standard_error")
      cells = [
        figure,
        "-" if record["value"] is None else f"{record['value']:.4g}",
        "" if error is None else f"{error:.2g}",
        of_what(record).replace("|", "/"),
        str(record.get("step", "")),
      ]
      lines.append(f"| {' | '.join(cells)} |")
  return "\n".join(lines) + "\n"
