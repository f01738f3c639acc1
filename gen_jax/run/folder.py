"""A run folder: whose it is, who is in it, and the files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from gen_jax.config import fingerprint, parse, read_spec, spec_record
from gen_jax.core import Spec, UserError
from gen_jax.run.processes import agree


def write_json(path: Path, value: Any) -> None:
  """Writes JSON under a temporary name, then gives it its name: never half a file."""
  write_text(path, json.dumps(value, indent=2, default=list) + "\n")


def write_text(path: Path, text: str) -> None:
  """Writes text under a temporary name, then gives it its name: never half a file."""
  temporary = path.with_name(f".{path.name}.tmp")
  temporary.write_text(text)
  os.replace(temporary, path)


def unwritable(error: BaseException | None) -> str | None:
  """What the file system says where that is why something could not be written; None otherwise.

  Libraries wrap it in errors of their own, with the system's words in their text.
  """
  while error is not None:
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
      if getattr(error, "errno", None) == number or os.strerror(number) in str(error):
        return os.strerror(number)
    error = error.__cause__ or error.__context__
  return None


def read_json(path: Path) -> Any:
  """The content of a JSON file.

  Raises:
    UserError: if it is missing or is not JSON.
  """
  try:
    return json.loads(path.read_text())
  except (FileNotFoundError, NotADirectoryError):
    raise UserError(f"{path} does not exist: {path.parent} is not a run folder") from None
  except ValueError as error:
    raise UserError(f"{path} is not JSON ({error}): the run folder is damaged") from error


@contextlib.contextmanager
def locked(workdir: Path, wait: bool = False) -> Iterator[None]:
  """Keeps every other job out of the folder; of several processes, the first one does.

  Raises:
    UserError: if the folder cannot be made or written, or a process is in it and `wait` is False.
  """
  with contextlib.ExitStack() as stack:
    agree(lambda: stack.enter_context(open_locked(workdir, wait)))
    yield


def open_locked(workdir: Path, wait: bool) -> IO[str]:
  """The lock file of the folder, locked until it is closed."""
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    handle = open(workdir / ".lock", "w")  # noqa: SIM115
  except OSError as error:
    raise UserError(f"the run folder {workdir} cannot be written: {error.strerror}") from error
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    handle.close()
    raise UserError(
      f"another process is running in {workdir}: wait for it, or give another --workdir"
    ) from None
  return handle


def read_record(workdir: Path) -> dict:
  """What config.json records: config, spec, sizes of the splits, fingerprint.

  Raises:
    UserError: if the folder is no run folder, or the record is not whole.
  """
  path = workdir / "config.json"
  record = read_json(path)
  if isinstance(record, dict) and "specs" not in record and "spec" in record:
    raise UserError(f"{workdir} was made by an earlier version of gen_jax, which alone reads it")
  for name in ("config", "spec", "specs", "sizes", "fingerprint"):
    if not isinstance(record, dict) or name not in record:
      raise UserError(f"{path} lacks {name!r}: it is not the record of a run of this program")
  return record


def claim(
  workdir: Path, config: Mapping, spec: Spec, specs: Sequence[Spec], sizes: Mapping[str, int]
) -> str:
  """Makes the folder this config's, or checks that it is; returns the config's fingerprint.

  The record's own fingerprint is computed anew, so that a field that has come into being since, and
  stands at its default, makes no difference.

  Raises:
    UserError: if it belongs to another config; names the fields that differ.
  """
  path, mark = workdir / "config.json", fingerprint(config, [spec, *specs], sizes)
  record = {
    "config": config, "spec": spec_record(spec), "specs": [spec_record(s) for s in specs],
    "sizes": dict(sizes), "fingerprint": mark,
  }  # fmt: skip

  def check_and_write():
    if path.exists():
      other = read_record(workdir)
      theirs = parse(other["config"]).config
      if fingerprint(theirs, specs_of(other), other["sizes"]) != mark:
        raise UserError(
          f"{workdir} belongs to another config ({differences(theirs, config)}): give another"
          " --workdir, or remove the folder to start over"
        )
    write_json(path, record)

  agree(check_and_write)
  return mark


def differences(a: Mapping, b: Mapping) -> str:
  """The first few fields of model and data in which two configs differ, as "field a, here b"."""
  # JSON knows no tuples: both sides go through it before they are compared.
  a, b = (flat(json.loads(json.dumps(c, default=list))) for c in (a, b))
  named = ("builder", "model", "data", "seed")
  keys = [k for k in sorted(a.keys() | b.keys()) if k.split(".")[0] in named]
  found = [f"{k} {a.get(k)!r} there, {b.get(k)!r} here" for k in keys if a.get(k) != b.get(k)]
  more = f" and {len(found) - 3} more" if len(found) > 3 else ""
  return ", ".join(found[:3]) + more if found else "its data differ"


def flat(tree: Mapping, prefix: str = "") -> dict[str, Any]:
  """Nested mappings as one dict with dotted keys."""
  out = {}
  for key, value in tree.items():
    name = f"{prefix}{key}"
    out.update(flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
  return out


def specs_of(record: Mapping) -> list[Spec]:
  """The specs in a config.json: of the config's data, then of each stage's."""
  return [read_spec(spec) for spec in (record["spec"], *record["specs"])]


def note_launch(workdir: Path, launch: Mapping) -> None:
  """Adds one launch to provenance.json, the list of all launches of this run."""
  path = workdir / "provenance.json"
  launches = read_json(path) if path.exists() else []
  write_json(path, [*launches, dict(launch)])


def read_rows(path: Path) -> list[dict]:
  """The rows of a metrics.jsonl; a last line that was cut off is left out."""
  rows = []
  if path.exists():
    for line in path.read_text().splitlines():
      try:
        rows.append(json.loads(line))
      except ValueError:
        break
  return rows


def drop_rows_after(path: Path, stage: int, step: int) -> float:
  """Keeps the rows up to `step` of `stage`; returns the seconds that the last of them states."""
  rows = [r for r in read_rows(path) if (r["stage"], r["step"]) <= (stage, step)]
  if path.exists():
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))
  return max((row.get("seconds", 0.0) for row in rows), default=0.0)


def jsonable(value: float) -> float | str:
  """A float as JSON can hold it: NaN and infinities by name."""
  return value if math.isfinite(value) else str(value)
