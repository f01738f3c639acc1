"""The report of a run, and of several side by side, as one HTML file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gen_jax import remote
from gen_jax.core import UserError
from gen_jax.report.compare import names_of, number, tables_of
from gen_jax.report.folder import Run, read_run
from gen_jax.report.html import sections
from gen_jax.report.html.charts import Line, chart, lines_of
from gen_jax.report.html.inline import BUDGET, Album
from gen_jax.run.files import write_text
from gen_jax.run.folder import read_record

REPORT = "report.html"


def write_report(workdir: Path) -> Path:
  """Writes <workdir>/report.html of what the run folder holds: nothing is imported that it names,
  but a builder of gen_jax, and no checkpoint is read.

  Raises:
    UserError: if it is no run folder, or Jinja2 is not installed.
  """
  read_record(workdir)
  run, album = read_run(workdir), Album()
  page = render(
    "report.html", title=workdir.resolve().name, about=sections.about(run),
    state=sections.state(run), figures=sections.figures(run), shown=sections.shown(run, album),
    curves=sections.curves(run), health=sections.health(run), config=sections.settings(run),
    launches=[sections.launch(one) for one in run.launches], commands=sections.commands(run),
  )  # fmt: skip
  write_text(workdir / REPORT, page)
  return workdir / REPORT


def write_comparison(out: str | Path, dirs: Sequence[str | Path]) -> str:
  """Writes a page of several runs: how they differ, figures beside each other, curves in one
  picture, the last grids.

  Args:
    out: the page, an .html file.
    dirs: two run folders or more, or their URLs.

  Returns:
    What was written, in one line.

  Raises:
    UserError: for fewer than two folders, one that is no run folder, or if Jinja2 is not installed.
  """
  if len(dirs) < 2:
    raise UserError("compare takes two run folders or more")
  names, runs, grids = names_of(dirs), [], []
  for where, name in zip(dirs, names, strict=True):
    with remote.opened(where) as workdir:
      runs.append(read_run(workdir))
      grids.append(sections.last_grid(runs[-1], Album(BUDGET // len(dirs)), name))
  tables = tables_of(runs)
  page = render(
    "comparison.html", title=" · ".join(names), names=names, grids=grids, tables=tables,
    figures=beside([run.figures for run in runs]), curves=overlaid(names, runs),
  )  # fmt: skip
  Path(out).parent.mkdir(parents=True, exist_ok=True)
  write_text(Path(out), page)
  return f"{out}: {len(runs)} runs"


def beside(figures: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[tuple[str, str]]]]:
  """(figure, (value, difference from the first run's) of each run)."""
  rows = []
  for name in dict.fromkeys(name for run in figures for name in run):
    values = [sections.value_of(run.get(name)) for run in figures]
    first, cells = values[0], []
    for i, value in enumerate(values):
      known = i > 0 and None not in (value, first)
      cells.append((number(value), f"{value - first:+.3g}" if known else ""))
    rows.append((name, cells))
  return rows


def overlaid(names: Sequence[str], runs: Sequence[Run]) -> list:
  """A chart of each term that more than one run has, of the last stage of each, in training; and of
  validation."""
  charts = []
  for split in (None, "validation"):
    rows = [[r for r in run.rows if r.get("split") == split] for run in runs]
    last = [[r for r in some if r["stage"] == some[-1]["stage"]] for some in rows]
    for term in sections.terms_of([r for some in last for r in some]):
      lines = [Line(name, *lines_of(some, term)) for name, some in zip(names, last, strict=True)]
      lines = [line for line in lines if line.x]
      if len(lines) > 1:
        charts.append(chart(f"{term}, {split}" if split else term, lines))
  return charts


def render(template: str, **what: Any) -> str:
  """A template with what stands in it, escaped.

  Raises:
    UserError: if Jinja2 is not installed.
  """
  try:
    import jinja2
  except ImportError:
    raise UserError("reports need Jinja2, which is not installed: pip install jinja2") from None
  loader = jinja2.PackageLoader("gen_jax.report.html")
  environment = jinja2.Environment(
    loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
    lstrip_blocks=True,
  )  # fmt: skip
  return environment.get_template(template).render(**what)
