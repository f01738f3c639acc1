"""What stands in a report: the parts of a run folder in words, rows and pictures."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gen_jax import config as configs
from gen_jax.core import UserError
from gen_jax.report.compare import number
from gen_jax.report.figure import of_what
from gen_jax.report.folder import Run
from gen_jax.report.html.charts import Chart, Line, chart, lines_of
from gen_jax.report.html.inline import Album, Picture
from gen_jax.run.files import read_bytes
from gen_jax.run.folder import flat
from gen_jax.schema import as_dict

FACTS = {"stage", "step", "seconds", "examples_per_second", "examples", "split"}
APART = {"checkpoints", "samples", "failure", "profile", "damaged"}  # have no pictures to add
HISTORY = 5  # grids besides the last one
TEXT = 8000  # characters of a text


class Figure(NamedTuple):
  """A row of the table of figures, as text. facts: what else is known of it."""

  name: str
  value: str
  error: str
  of: str
  step: str
  facts: str


class About(NamedTuple):
  """builder: its dotted name. data: their name. summary: the first paragraph of what the module
  says of itself. rest: the others, as they stand there."""

  builder: str
  data: str
  summary: str
  rest: str


class Shown(NamedTuple):
  """last, history: grids of samples. texts: (name, text). others: (folder, pictures)."""

  last: list[Picture]
  history: list[Picture]
  texts: list[tuple[str, str]]
  others: list[tuple[str, list[Picture]]]


def about(run: Run) -> About:
  """What the run is, by the module of its builder: read, and not imported, since a run folder may
  name any."""
  builder = str(run.config["builder"])
  doc = docstring(builder)
  summary, _, rest = doc.partition("\n\n")
  return About(builder, str(run.config["data"]["name"]), " ".join(summary.split()), rest)


def docstring(builder: str) -> str:
  """The docstring of the module of a builder of gen_jax.models, "" of any other."""
  *package, module, _ = ["", "", "", *builder.split(".")]
  if package[-2:] != ["gen_jax", "models"] or not module.isidentifier():
    return ""
  found = importlib.util.find_spec("gen_jax")
  file = Path(found.origin).parent / "models" / f"{module}.py"
  return (ast.get_docstring(ast.parse(file.read_text())) or "") if file.is_file() else ""


def state(run: Run) -> str:
  """How far the run has come, in words."""
  total = sum(run.lengths)
  if run.complete:
    return f"complete at step {run.complete.get('step')}"
  if not run.trained:
    return f"begun; no row of {total} steps is logged yet"
  row = run.trained[-1]
  return f"unfinished: stage {row['stage']}, step {row['step']}; {total} steps in all"


def value_of(record: Any) -> float | None:
  """The value of a figure's record; None where it is missing."""
  value = record.get("value") if isinstance(record, Mapping) else None
  return value if isinstance(value, int | float) else None


def figures(run: Run) -> list[Figure]:
  """The table of figures, with what each is of."""
  rows = []
  for name, record in sorted(run.figures.items()):
    if not isinstance(record, Mapping) or "value" not in record:
      continue
    told = {"value", "examples", "split", "step", "standard_error", "why", "checkpoint", "options"}
    told |= set() if "examples" in record else {"says"}
    facts = flat({k: v for k, v in record.items() if k not in told})
    error = record.get("standard_error")
    rows.append(
      Figure(
        name, number(record["value"]), "" if error is None else f"{error:.2g}",
        of_what(record),
        str(record.get("step", "")), ", ".join(f"{k} {number(v)}" for k, v in facts.items()),
      )
    )  # fmt: skip
  return rows


def grids_of(run: Run) -> list[Path]:
  """The grids that training left, by their step."""
  return sorted(p for p in (run.path / "samples").glob("*.png") if re.fullmatch(r"\d{6,}", p.stem))


def last_grid(run: Run, album: Album, name: str) -> Picture | None:
  """The newest grid of a run; None where there is none."""
  grids = grids_of(run)
  if not grids:
    return None
  return album.take(grids[-1], f"{name}: what it made at step {int(grids[-1].stem)}")


def shown(run: Run, album: Album) -> Shown:
  """The pictures and texts of a run, the newest first served of the page's room."""
  samples, grids = run.path / "samples", grids_of(run)
  newest = [album.take(p, f"what the model made at step {int(p.stem)}") for p in grids[-1:]]
  newest += [
    album.take(path, what)
    for path, what in (
      (samples / f"{grids[-1].stem}.gif" if grids else samples / "-", "the same, moving"),
      (samples / "trajectory.gif", "how samples come to be, step by step"),
    )
    if path.is_file()
  ]
  others = []
  for folder in sorted(p for p in run.path.iterdir() if p.is_dir() and p.name not in APART):
    some = sorted(folder.glob("*.png"))[:12]
    taken = [album.take(p, f"{folder.name}: {p.stem}", 600_000, 1200) for p in some]
    if any(taken):
      others.append((folder.name, [p for p in taken if p]))
  drawn = [p for p in sorted(samples.glob("*.png")) if p not in grids][:6]
  taken = [album.take(p, f"samples drawn: {p.stem}", 600_000, 1200) for p in drawn]
  if any(taken):
    others.insert(0, ("drawn samples", [p for p in taken if p]))
  before = spread(grids[:-1], HISTORY)
  history = [album.take(p, f"step {int(p.stem)}", 150_000, 500) for p in before]
  written = sorted(samples.glob("*.txt"))[-1:]
  texts = [(p.stem, read_bytes(p).decode(errors="replace")[:TEXT]) for p in written]
  return Shown([p for p in newest if p], [p for p in history if p], texts, others)


def spread(items: Sequence, most: int) -> list:
  """At most so many of the items, evenly, the first among them."""
  if len(items) <= most:
    return list(items)
  return [items[i * len(items) // most] for i in range(most)]


def terms_of(rows: Sequence[Mapping]) -> list[str]:
  """The terms that rows hold, losses first."""
  names = {name for row in rows for name in row} - FACTS
  return sorted(names, key=lambda name: ("loss" not in name, "norm" in name, name))


def curves(run: Run) -> list[tuple[str, list[Chart]]]:
  """(stage, a chart of each term over its steps), training and validation in one."""
  out, stages = [], sorted({row["stage"] for row in run.rows})
  for stage in stages:
    rows = [row for row in run.rows if row["stage"] == stage]
    charts = []
    for term in terms_of(rows):
      lines = []
      for label, split in (("training", None), ("validation", "validation")):
        x, y = lines_of([r for r in rows if r.get("split") == split], term)
        lines += [Line(label, x, y)] if x else []
      charts.append(chart(term, lines))
    out.append((f"stage {stage}" if len(stages) > 1 else "", charts))
  return out


def health(run: Run) -> list[tuple[str, str]]:
  """(what, in words): what a reader should know before believing the figures."""
  rows, said = run.trained, []
  if run.failure:
    term, step = run.failure.get("term"), run.failure.get("step")
    said.append(("Not finite", f"{term} at step {step}; --mode=replay runs it again"))
  if (run.path / "metrics.jsonl.damaged").exists():
    said.append(("Damaged rows", "lines of metrics.jsonl were no rows: they are kept apart"))
  if len(run.launches) > 1:
    said.append(("Launches", f"{len(run.launches)}: it was stopped and went on"))
  speeds = sorted(r["examples_per_second"] for r in rows if r.get("examples_per_second"))
  if speeds:
    said.append(("Speed", f"{speeds[len(speeds) // 2]:.4g} examples/s (median of the log)"))
  if run.seconds is not None:
    said.append(("Time", f"{run.seconds / 60:.1f} minutes of training"))
  missing = [k for k, r in run.figures.items() if isinstance(r, Mapping) and r.get("value") is None]
  if missing:
    said.append(("Missing figures", ", ".join(missing)))
  kept = sorted(int(p.name) for p in (run.path / "checkpoints").glob("*") if p.name.isdigit())
  if kept:
    said.append(("Checkpoints", ", ".join(map(str, kept))))
  return said


def settings(run: Run) -> list[tuple[str, list[tuple[str, str, str, bool]]]]:
  """(group, (field, value, default, whether they differ)) of the config; no defaults of a builder
  that is none of gen_jax.models, which is not imported."""
  known: dict[str, Any] = {}
  try:
    configs.check_registered(run.config, run.path / "config.json")
    known = configs.schema(configs.resolve(run.config["builder"]))
  except UserError:
    pass
  out = []
  for name in configs.GROUPS:
    values = flat(run.config.get(name, {}))
    defaults = {k: as_dict(v[1]) for k, v in known.get(name, {}).items()}
    defaults = {k: v for k, v in flat(defaults).items() if v is not inspect.Parameter.empty}
    rows = []
    for field, value in values.items():
      default = cell(defaults[field]) if field in defaults else ""
      rows.append((field, cell(value), default, cell(value) != default))
    if rows:
      out.append((name, rows))
  return out


def cell(value: Any) -> str:
  """A setting as text, alike before and after JSON."""
  if isinstance(value, list | tuple):
    return f"({', '.join(map(cell, value))})"
  return number(value) if isinstance(value, float) else str(value)


def launch(record: Mapping[str, Any]) -> list[tuple[str, str]]:
  """(what, text) of a launch."""
  return [(k, str(v)) for k, v in flat(record).items() if v not in (None, "")]


def commands(run: Run) -> list[tuple[str, str]]:
  """(what it does, a command)."""
  where = shlex.quote(str(run.path))
  asked = run.launches[-1].get("command") if run.launches else None
  out = [("resume, or say that it is complete", str(asked))] if asked else []
  for mode, what in (("sample", "draw samples"), ("evaluate", "measure again")):
    out.append((what, f"python -m gen_jax.main --mode={mode} --workdir {where}"))
  return out
