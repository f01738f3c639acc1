"""A run folder: whose it is, and who is in it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from absl import logging

from gen_jax import config as configs
from gen_jax.config import fingerprint, identity, read_spec, spec_record
from gen_jax.core import Spec, UserError
from gen_jax.run.files import jsonable, keep_aside, read_json, write_json
from gen_jax.run.processes import agree, shared

RECORDED = ("config", "spec", "specs", "sizes", "data", "fingerprint")  # in config.json


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
  path = workdir / ".lock"
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not stat.S_ISREG(path.stat().st_mode)):
      raise UserError(f"{path} is not a file: remove it")
    handle = open(path, "w")  # noqa: SIM115
  except OSError as error:
    raise UserError(f"the run folder {workdir} cannot be written: {error.strerror}") from error
  try:
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
  except BlockingIOError:
    handle.close()
    raise UserError(
      f"another process is running in {workdir}: wait for it, or give another --workdir"
    ) from None
  except OSError as error:
    handle.close()
    raise UserError(
      f"{workdir} is on a file system that cannot lock files ({error.strerror}): give the folder as"
      f" --workdir=file://{workdir.absolute()}"
    ) from error
  return handle


def read_record(workdir: Path) -> dict:
  """What config.json records: see RECORDED. Nothing that it names is imported.

  Raises:
    UserError: if the folder is no run folder, or the record is not what the program wrote.
  """
  path = workdir / "config.json"
  record = read_json(path, dict)
  if "config" in record and "spec" in record and not {"specs", "digest"} <= record.keys():
    raise UserError(f"{workdir} was made by an earlier version of gen_jax, which alone reads it")
  for name in (*RECORDED, "digest"):
    if name not in record:
      raise UserError(f"{path} lacks {name!r}: it is not the record of a run of this program")
  if record["digest"] != digest_of(record):
    raise UserError(
      f"{path} was changed after the program wrote it: put the original back; other options are"
      " given on the command line, as --config.FIELD=VALUE"
    )
  return record


def digest_of(record: Mapping) -> str:
  """SHA-256 of a record's content, whatever the order of its fields."""
  what = json.dumps(jsonable({name: record[name] for name in RECORDED}), sort_keys=True)
  return hashlib.sha256(what.encode()).hexdigest()


def recorded(workdir: Path, allow: Sequence[str] = ()) -> tuple[dict, configs.Experiment]:
  """The record of a run folder, and its config checked against the builder that it names.

  Args:
    workdir: the run folder, which somebody else may have made.
    allow: dotted names of builders that the caller trusts, besides those of gen_jax.models.

  Raises:
    UserError: as of `read_record`; or if the builder is another one, which is not imported.
  """
  record = read_record(workdir)
  configs.check_registered(record["config"], workdir / "config.json", allow)
  return record, configs.parse(record["config"])


def claim(
  workdir: Path,
  config: Mapping,
  specs: Sequence[Spec],
  sizes: Mapping[str, int],
  digests: Sequence[str],
  *,
  passes: bool = False,
  write: bool = True,
) -> str:
  """Makes the folder this config's, or checks that it is; returns the fingerprint of the run.

  The record's own fingerprint is computed anew before it is compared, so that a field that has come
  into being since, and stands at its default, makes no difference; what the run was first given,
  which its checkpoints bear, stays.

  Args:
    workdir: the run folder.
    config: complete.
    specs: of the config's data, then of each stage's.
    sizes: of the splits.
    digests: of the data, in the order of `specs`.
    passes: whether it learns from whole passes over the data, in the middle of which the size of
      its batches cannot change.
    write: whether the record becomes this config's, with its lengths; False to check alone.

  Raises:
    UserError: if it belongs to another config; names the fields that differ.
  """
  path = workdir / "config.json"
  mark = fingerprint(config, specs, sizes, digests)
  first, *rest = map(spec_record, specs)
  record = {
    "config": config, "spec": first, "specs": rest, "sizes": dict(sizes), "data": [*digests],
    "fingerprint": mark,
  }  # fmt: skip

  def check_and_write():
    if path.exists() or path.is_symlink():
      other, theirs = recorded(workdir, allow=(config["builder"],))
      was = fingerprint(theirs.config, specs_of(other), other["sizes"], other["data"])
      if was != mark:
        raise UserError(
          f"{workdir} belongs to {why_other(theirs.config, config)}: give another --workdir, with"
          f" --init_from={workdir} to start from its weights, or remove the folder to start over"
        )
      check_batch_size(workdir, theirs.config, config, passes)
      record["fingerprint"] = other["fingerprint"]
    if write:
      write_json(path, record | {"digest": digest_of(record)})

  agree(check_and_write)
  return shared(record["fingerprint"])


def check_batch_size(workdir: Path, theirs: Mapping, ours: Mapping, passes: bool) -> None:
  """Says that a run goes on with batches of another size, or refuses it."""
  was, now = (config["data"]["batch_size"] for config in (theirs, ours))
  if was == now:
    return
  if passes:
    raise UserError(
      f"{workdir} learns from whole passes over the data: go on with config.data.batch_size={was}"
    )
  logging.warning("%s had batches of %s, and goes on with batches of %s", workdir, was, now)


def why_other(theirs: Mapping, ours: Mapping) -> str:
  """What a run of another fingerprint is, in words."""
  if identity(theirs) != identity(ours):
    return f"another config ({differences(theirs, ours)})"
  return "other data (files have changed, come or gone since)"


def differences(theirs: Mapping, ours: Mapping) -> str:
  """The first few fields in which the identities of two configs differ, as "field a there, b
  here"."""
  a, b = (flat(dict(zip(configs.IDENTITY, identity(c), strict=True))) for c in (theirs, ours))
  found = [
    f"{k} {a.get(k)!r} there, {b.get(k)!r} here"
    for k in sorted(a.keys() | b.keys())
    if a.get(k) != b.get(k)
  ]
  more = f" and {len(found) - 3} more" if len(found) > 3 else ""
  return ", ".join(found[:3]) + more


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
  """Adds one launch to provenance.json, the list of all launches of this run; one that is damaged
  is kept under another name, and begun anew."""
  path, launches = workdir / "provenance.json", []
  if path.exists():
    try:
      launches = read_json(path, list)
    except UserError as error:
      logging.warning("%s; it is kept as %s", error, keep_aside(path).name)
  write_json(path, [*launches, dict(launch)])
