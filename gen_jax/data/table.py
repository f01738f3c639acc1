"""Tables from CSV files with a stated schema."""

from __future__ import annotations

import csv
import io
import math
import posixpath
from collections.abc import Sequence

import numpy as np

from gen_jax import core
from gen_jax.data import digest, source, text

KINDS = ("real", "category", "label", "group", "skip")

# UCI's Adult census income: files without a header, and labels that end in a full stop in one.
ADULT = (
  "age:real", "workclass:category", "fnlwgt:skip", "education:category", "education-num:real",
  "marital-status:category", "occupation:category", "relationship:category", "race:category",
  "sex:group", "capital-gain:real", "capital-loss:real", "hours-per-week:real",
  "native-country:category", "income:label",
)  # fmt: skip
_ADULT_FILES = {"adult.data": "train", "adult.test": "test"}

Table = dict[str, list[str]]  # column -> its cells


def schema(columns: Sequence[str]) -> dict[str, str]:
  """name -> kind of columns given as "name:kind".

  Raises:
    UserError: for an unknown kind, a name that stands twice, or no column to learn from.
  """
  kinds: dict[str, str] = {}
  for column in columns:
    name, _, kind = column.rpartition(":")
    if kind not in KINDS or not name:
      raise core.UserError(
        f"data.columns has {column!r}: write name:kind, where kind is one of {', '.join(KINDS)}"
      )
    if name in kinds:
      raise core.UserError(f"data.columns has {name!r} twice")
    kinds[name] = kind
  chosen = list(kinds.values())
  for kind in ("label", "group"):
    if chosen.count(kind) > 1:
      raise core.UserError(f"data.columns has {chosen.count(kind)} columns of kind {kind}: one")
  if not {"real", "category"} & set(chosen):
    raise core.UserError("data.columns must name columns of kind real or category to learn from")
  return kinds


def read_table(content: str, kinds: dict[str, str], where: str) -> Table:
  """The columns of a CSV file, whose first line is a header if it names one of them.

  Raises:
    UserError: for a column that is missing, not stated or there twice, rows of unequal length, or
      quotes that do not match.
  """
  lines = csv.reader(io.StringIO(content, newline=""), skipinitialspace=True, strict=True)
  try:
    rows = [[cell.strip() for cell in row] for row in lines]
  except csv.Error as error:
    raise core.UserError(f"{where}, line {lines.line_num}: no CSV ({error})") from error
  rows = [row for row in rows if row not in ([], [""])]
  if not rows:
    raise core.UserError(f"{where} is empty")
  header = list(kinds)
  if set(rows[0]) & set(kinds):
    header, *rows = rows
    if twice := [name for name in header if header.count(name) > 1]:
      raise core.UserError(f"{where} has {len(twice)} columns named {twice[0]!r}: name them apart")
    missing = [name for name in kinds if name not in header]
    if missing:
      raise core.UserError(f"{where} has no column {missing[0]}: it has {', '.join(header)}")
    unknown = [name for name in header if name not in kinds]
    if unknown:
      raise core.UserError(
        f"{where} has a column {unknown[0]}, which data.columns does not name: add it, with the"
        " kind skip if it is not to be read"
      )
  for number, row in enumerate(rows, 1):
    if len(row) != len(header):
      raise core.UserError(
        f"{where}, row {number}: {len(row)} cells, and there are {len(header)} columns"
      )
  if not rows:
    raise core.UserError(f"{where} has a header and no rows")
  return dict(zip(header, map(list, zip(*rows))))


def _numbers(cells: list[str], absent: set[str], name: str, where: str) -> np.ndarray:
  """float64 [N], NaN where missing."""
  out = np.full(len(cells), np.nan)
  for i, cell in enumerate(cells):
    if cell in absent:
      continue
    try:
      out[i] = float(cell.replace("_", "?"))  # 1_000 is a number to Python only
    except ValueError:
      out[i] = math.nan
    if not math.isfinite(out[i]):
      raise core.UserError(
        f"{where}, row {i + 1}: {name} is {cell!r}, not a number: set data.missing if it means"
        f" that there is none, or call the column {name}:category"
      )
  return out


def _classes(tables: dict[str, Table], name: str, absent: set[str], where: str) -> tuple[str, ...]:
  for split, table in tables.items():
    bad = [i for i, cell in enumerate(table[name]) if cell in absent]
    if bad:
      raise core.UserError(
        f"{where}, {split} row {bad[0] + 1}: {name} is missing, which labels and groups must not be"
      )
  return tuple(sorted(set().union(*(table[name] for table in tables.values()))))


def from_tables(
  tables: dict[str, Table], kinds: dict[str, str], absent: set[str], held_out: dict, where: str
) -> source.Source:
  """The source of some splits' tables; see `load`."""
  sizes = {split: len(next(iter(table.values()))) for split, table in tables.items()}
  chosen = source.hold_out(sizes, **held_out)
  take = lambda name, split: [tables[chosen[split][0]][name][i] for i in chosen[split][1]]
  x: dict[str, list[np.ndarray]] = {split: [] for split in chosen}
  names: list[str] = []
  missing, unseen = {}, {}
  for name, kind in kinds.items():
    if kind not in ("real", "category"):
      continue
    cells = {split: take(name, split) for split in chosen}
    count = sum(cell in absent for column in cells.values() for cell in column)
    if count:
      missing[name] = count
    if kind == "real":
      values = {split: _numbers(column, absent, name, where) for split, column in cells.items()}
      if np.isnan(values["train"]).all():
        raise core.UserError(f"{where}: {name} is missing in every training row")
      with np.errstate(over="ignore"):
        mean, deviation = np.nanmean(values["train"]), np.nanstd(values["train"]) or 1.0
      if not math.isfinite(mean) or not math.isfinite(deviation):
        raise core.UserError(f"{where}: {name} has numbers too large to be standardised")
      names.append(name)
      for split, value in values.items():
        x[split].append(np.nan_to_num((value - mean) / deviation)[:, None])
    else:
      tidy = {s: ["" if cell in absent else cell for cell in column] for s, column in cells.items()}
      levels = sorted(set(tidy["train"]))
      names += [f"{name}={level or 'missing'}" for level in levels]
      for split, column in tidy.items():
        x[split].append(np.array([[cell == level for level in levels] for cell in column], float))
      new = sum(cell not in levels for column in tidy.values() for cell in column)
      if new:
        unseen[name] = new
  fields, targets = {}, {}
  for name, kind in kinds.items():
    if kind in ("label", "group"):
      levels = _classes(tables, name, absent, where)
      fields[kind] = core.Field((), max(len(levels), 2), levels)
      targets[kind] = {s: np.array([levels.index(c) for c in take(name, s)], np.int32) for s in x}
  splits = {
    split: source.ArraySplit(
      {"x": np.concatenate(parts, 1).astype(np.float32)}
      | {kind: target[split] for kind, target in targets.items()}
    )
    for split, parts in x.items()
  }
  notes = {"columns": tuple(names), "missing": missing, "unseen": unseen}
  for kind, field in fields.items():
    source.say_untrained(targets[kind]["train"], field, f"{kind} of {where}")
  spec = core.Spec(core.Field((len(names),)), fields)
  cells = {
    f"{split}/{name}": "\n".join(column)
    for split, table in tables.items()
    for name, column in table.items()
  }
  return source.Source("table", spec, splits, notes, digest.of_texts(cells))


def load(
  *,
  path: str,
  columns: tuple[str, ...],
  missing: str,
  validation: float,
  test: float,
  split_seed: int,
) -> source.Source:
  """Rows of CSV files: one file, or train.csv, val.csv and test.csv in a folder; each maybe .gz.

  Real columns are standardised by the training split's mean and deviation, a missing one being the
  mean; categories are one-hot, of the training split's values and "missing"; a value that only
  other splits have is zero in all of them.

  Returns:
    A source with x float32 [D], and label and group int32 where columns are of those kinds. notes:
    `columns`, the names of the D; `missing` and `unseen`, {column: how many cells}.

  Raises:
    UserError: if columns are missing or not stated, or a cell is not what its column is.
  """
  if not path:
    raise core.UserError("data.name=table reads CSV files from data.path, which is not given")
  names, read = text.open_text(path)
  files = {split: found[""] for split, found in text.find(names, (), path).items()}
  if not columns:
    first = read(files["train"]).splitlines()[:1]
    raise core.UserError(
      "data.name=table needs data.columns, such as ('age:real', 'job:category', 'income:label');"
      f" the first line of {path} is {first[0][:200] if first else 'empty'}"
    )
  kinds = schema(columns)
  tables = {split: read_table(read(name), kinds, f"{name}") for split, name in files.items()}
  held_out = dict(validation=validation, test=test, seed=split_seed)
  return from_tables(tables, kinds, {"", missing}, held_out, path)


def adult(
  *, path: str, columns: tuple[str, ...], validation: float, test: float, split_seed: int
) -> source.Source:
  """UCI's Adult: adult.data and adult.test in a folder, each maybe .gz; label income, group sex.

  See `load`; `columns` in place of ADULT, of the same names.
  """
  if not path:
    raise core.UserError("table:adult reads adult.data and adult.test from data.path: give it")
  names, read = text.open_text(path)
  by_base = {posixpath.basename(name).removesuffix(".gz"): name for name in names}
  if absent := [base for base in _ADULT_FILES if base not in by_base]:
    raise core.UserError(f"{path} has no {absent[0]}, with or without .gz")
  kinds = schema(columns or ADULT)
  if len(kinds) != len(ADULT):
    raise core.UserError(f"data.columns has {len(kinds)} columns, and Adult has {len(ADULT)}")
  tables = {}
  for base, split in _ADULT_FILES.items():
    # The first line of adult.test is a remark.
    rows = "".join(
      line
      for line in read(by_base[base]).splitlines(keepends=True)
      if line.strip() and not line.startswith("|")
    )
    tables[split] = read_table(rows, kinds, by_base[base])
    for name, kind in kinds.items():
      if kind == "label":
        tables[split][name] = [cell.removesuffix(".") for cell in tables[split][name]]
  held_out = dict(validation=validation, test=test, seed=split_seed)
  return from_tables(tables, kinds, {"", "?"}, held_out, path)._replace(name="table:adult")


SIZES = {"train": 20_000, "validation": 2_000, "test": 10_000}


def biased(*, validation: float, test: float, split_seed: int) -> source.Source:
  """A table whose best prediction depends on the group, and whose fair one is known.

  After the toy data of Zhang, Lemoine and Mitchell (2018, section 5): the group r is 0 or 1, v ~
  N(r, 1), u and w ~ N(v, 1); x = (r, u), and the label is whether w > 0. Each split has its own
  stream (validation and test are left out where their fraction is 0).

  Returns:
    A source with x float32 [2], label and group int32. notes: `best`, x [n, 2] -> the probability
    of label 1 given x; `fair`, the same given u - r, which says nothing of the group.
  """
  from scipy.special import ndtr

  def draw(stream, n):
    rng = np.random.default_rng([split_seed, stream])
    group = rng.integers(2, size=n)
    v = group + rng.standard_normal(n)
    u, w = v + rng.standard_normal((2, n))
    x = np.stack([group, u], 1).astype(np.float32)
    return {"x": x, "label": (w > 0).astype(np.int32), "group": group.astype(np.int32)}

  def best(x):  # v given r and u is N((r + u) / 2, 1 / 2)
    return ndtr(x.sum(-1) / 2 / math.sqrt(1.5))

  def fair(x):  # v - r given u - r is N((u - r) / 2, 1 / 2), and r is a fair coin
    half = (x[..., 1] - x[..., 0]) / 2
    return (ndtr(half / math.sqrt(1.5)) + ndtr((half + 1) / math.sqrt(1.5))) / 2

  wanted = {"train": 1, "validation": validation, "test": test}
  splits = {
    split: source.ArraySplit(draw(stream, size))
    for stream, (split, size) in enumerate(SIZES.items())
    if wanted[split]
  }
  group = core.Field((), 2, ("r=0", "r=1"))
  notes = {"columns": ("r", "u"), "best": best, "fair": fair}
  return source.Source("table:biased", core.Spec.of((2,), classes=2, group=group), splits, notes)
