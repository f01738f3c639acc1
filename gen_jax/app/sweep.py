"""Many runs by one command, one after another, and one table of what they came to.

  python -m gen_jax.main --config configs/gan.py --sweep variant=ns,ls --sweep seed=0,1,2

trains every combination, each in a process and a run folder of its own below the workdir. A run
that is complete is not made again, and one that was cut off goes on, so that the same command
finishes what it began. The table has a row for each combination but those that differ in their
seed only: they are one row, of means and standard deviations.
"""

from __future__ import annotations

import itertools
import math
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gen_jax.core import UserError

Choice = tuple[tuple[str, str], ...]  # ((field, value), ...) of one run


def parse(given: Sequence[str]) -> dict[str, list[str]]:
  """Fields and their values, of texts FIELD=VALUE,VALUE,...; brackets and quotes keep commas.

  Raises:
    UserError: for a text of another form, a field that stands twice, or a value that does.
  """
  fields: dict[str, list[str]] = {}
  for text in given:
    name, equals, values = text.partition("=")
    if not equals or not name or not all(parts := divided(values)):
      raise UserError(f"--sweep={text!r}: give FIELD=VALUE,VALUE,... such as model.beta=1,4")
    if name in fields or len(set(parts)) < len(parts):
      raise UserError(f"--sweep={text!r}: {name} or one of its values stands twice")
    fields[name] = parts
  return fields


def divided(text: str) -> list[str]:
  """ "1,(2,3),4" -> ["1", "(2,3)", "4"]."""
  parts, depth, part = [], 0, ""
  for letter in text:
    depth += (letter in "([{") - (letter in ")]}")
    if letter == "," and not depth:
      parts.append(part)
      part = ""
    else:
      part += letter
  return [*parts, part]


def choices(fields: Mapping[str, Sequence[str]]) -> list[Choice]:
  """Every combination of one value for each field, the last field fastest."""
  names = list(fields)
  return [tuple(zip(names, values, strict=True)) for values in itertools.product(*fields.values())]


def folder_of(choice: Choice) -> str:
  """A folder's name for one run."""
  safe = lambda value: "".join(c if c.isalnum() or c in "._-" else "_" for c in value)
  return "-".join(f"{name}={safe(value)}" for name, value in choice)


def command(file: str, choice: Choice, workdir: Path, others: Sequence[str]) -> list[str]:
  """The command line of one run; others: arguments that all runs share."""
  choice = dict(choice)
  variant = choice.pop("variant", None)
  name = file if variant is None else f"{file.partition(':')[0]}:{variant}"
  fields = [f"--config.{field}={value}" for field, value in choice.items()]
  return [
    sys.executable, "-m", "gen_jax.main", "--config", name, *others, *fields, "--workdir",
    str(workdir),
  ]  # fmt: skip


def sweep(file: str, given: Sequence[str], workdir: Path, others: Sequence[str]) -> int:
  """Runs every combination below workdir, then writes <workdir>/sweep.md, which it prints, .json
  and .html.

  Args:
    file: of the config, with :VARIANT if wanted.
    given: texts FIELD=VALUE,VALUE,...; the field `variant` goes through variants of the config.
    workdir: the folder of all.
    others: arguments that all runs share.

  Returns:
    The exit status: 0, or that of the first run that failed, which ends the sweep.

  Raises:
    UserError: see `parse`.
  """
  from gen_jax.report.html import write_comparison
  from gen_jax.run.files import write_json, write_text

  runs = {choice: workdir / folder_of(choice) for choice in choices(parse(given))}
  if len(set(runs.values())) < len(runs):
    raise UserError("--sweep: two values have the same folder's name: write them otherwise")
  for i, (choice, folder) in enumerate(runs.items(), 1):
    print(f"sweep {i} of {len(runs)}: {folder}", flush=True)
    if code := finished(command(file, choice, folder, others)):
      print(f"gen_jax: the sweep stops at {folder}; the same command goes on", file=sys.stderr)
      return code
  rows = table(runs)
  write_json(workdir / "sweep.json", rows)
  text = markdown(rows)
  write_text(workdir / "sweep.md", text)
  print(text, end="")
  try:
    if len(runs) > 1:
      print(write_comparison(workdir / "sweep.html", list(runs.values())))
  except UserError as error:
    print(f"no page: {error}")
  return 0


def finished(argv: Sequence[str]) -> int:
  """Runs a command to its end and returns its status; signals to stop are the run's to answer."""
  process = subprocess.Popen(argv)

  def pass_on(number, frame):
    process.send_signal(number)

  # The terminal sends SIGINT to both; a scheduler SIGTERM to this process only.
  before = signal.signal(signal.SIGINT, signal.SIG_IGN), signal.signal(signal.SIGTERM, pass_on)
  try:
    return process.wait()
  finally:
    signal.signal(signal.SIGINT, before[0])
    signal.signal(signal.SIGTERM, before[1])


def table(runs: Mapping[Choice, Path]) -> list[dict[str, Any]]:
  """A row for each combination without its seed: {fields..., "runs": n, "figures": {name:
  {"mean", "deviation" (of a sample, absent for one run), "values"}}}."""
  from gen_jax.run.files import read_json

  groups: dict[Choice, list[dict]] = {}
  for choice, folder in runs.items():
    rest = tuple((name, value) for name, value in choice if name != "seed")
    groups.setdefault(rest, []).append(read_json(folder / "evaluation.json"))
  rows = []
  for choice, records in groups.items():
    names = [n for n in records[0] if all(isinstance(r.get(n), Mapping) for r in records)]
    figures = {name: summary([number_of(r[name]) for r in records]) for name in names}
    rows.append({"fields": dict(choice), "runs": len(records), "figures": figures})
  return rows


def number_of(record: Mapping[str, Any]) -> float | None:
  """The value of a figure; None where it is missing."""
  value = record.get("value")
  return value if isinstance(value, int | float) else None


def summary(values: Sequence[float | None]) -> dict[str, Any]:
  """Mean and standard deviation of a sample; a mean of None where a run lacks the figure."""
  if any(value is None for value in values):
    return {"mean": None, "values": list(values)}
  mean = math.fsum(values) / len(values)
  out = {"mean": mean, "values": list(values)}
  if len(values) > 1:
    out["deviation"] = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
  return out


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
  """The rows as a table, with their mean below; different variants have no mean."""
  fields = list(rows[0]["fields"])
  names = list(dict.fromkeys(name for row in rows for name in row["figures"]))
  lines = [[*fields, "runs", *names], ["---"] * (len(fields) + 1 + len(names))]
  for row in rows:
    cells = [cell(row["figures"].get(name)) for name in names]
    lines.append([*(row["fields"][f] for f in fields), str(row["runs"]), *cells])
  if len(rows) > 1 and fields and "variant" not in fields:
    means = [[r["figures"][n]["mean"] for r in rows if n in r["figures"]] for n in names]
    cells = [cell(summary(m)) if len(m) == len(rows) else "" for m in means]
    lines.append(["mean", *[""] * (len(fields) - 1), str(sum(r["runs"] for r in rows)), *cells])
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(figure: Mapping[str, Any] | None) -> str:
  """ "mean" or "mean ± deviation"; "-" where the figure is missing in a run."""
  if figure is None:
    return ""
  if figure["mean"] is None:
    return "-"
  mean = f"{figure['mean']:.4g}"
  return f"{mean} ± {figure['deviation']:.2g}" if "deviation" in figure else mean


def shared_arguments(argv: Sequence[str]) -> list[str]:
  """What a command line passes on to each run: all but the config, the workdir and the sweep."""
  out, skip = [], False
  for argument in argv[1:]:
    name, equals, _ = argument.lstrip("-").partition("=")
    if skip or (argument.startswith("-") and name in ("config", "workdir", "sweep")):
      skip = not skip and not equals
    else:
      out.append(argument)
  return out
