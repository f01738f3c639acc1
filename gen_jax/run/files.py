"""Files of a run folder: written whole or not at all, read as what a stranger may have left."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gen_jax.core import UserError

# Why the system may refuse to write, in the order in which libraries' texts are searched.
REFUSALS = (
  errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EISDIR,
  errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EMFILE, errno.ENFILE, errno.ESTALE,
  errno.EIO,
)  # fmt: skip


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
  """A temporary path beside `path`, which takes its name once the block has ended well: never half
  a file, and a link of that name is replaced, not followed."""
  temporary = path.with_name(f".{path.name}.tmp")
  try:
    temporary.unlink(missing_ok=True)
    yield temporary
    os.replace(temporary, path)
  except BaseException:
    with contextlib.suppress(OSError):
      temporary.unlink(missing_ok=True)
    raise


def write_bytes(path: Path, data: bytes) -> None:
  """Writes a file whole or not at all."""
  with whole(path) as temporary:
    temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
  """Writes text whole or not at all."""
  write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
  """Writes JSON whole or not at all; numbers that JSON lacks by name, see `jsonable`."""
  write_text(path, json.dumps(jsonable(value), indent=2, default=list, allow_nan=False) + "\n")


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes an .npz whole or not at all."""
  with whole(path) as temporary, temporary.open("wb") as file:
    np.savez(file, **arrays)


def jsonable(value: Any) -> Any:
  """A value as JSON can hold it: NaN and infinities by name, arrays as lists."""
  if isinstance(value, float | np.floating):
    return float(value) if math.isfinite(value) else str(float(value))
  if isinstance(value, Mapping):
    return {str(name): jsonable(v) for name, v in value.items()}
  if isinstance(value, np.ndarray | np.generic):
    return jsonable(value.tolist())
  if isinstance(value, list | tuple | set | frozenset):
    return [jsonable(v) for v in value]
  return value


def folder_in(workdir: Path, name: str) -> Path:
  """A folder of the run folder, made where it is missing.

  Raises:
    UserError: if something else has its name: a link would lead the run's files out of its folder.
  """
  path = workdir / name
  if path.is_symlink():
    raise UserError(f"{path} is a link, and nothing is written outside of a run folder: remove it")
  try:
    path.mkdir(exist_ok=True)
  except FileExistsError:
    raise UserError(f"{path} is not a folder: move it out of the run folder") from None
  return path


def check_writable(workdir: Path, *names: str) -> None:
  """Refuses, before any work is done, a run folder in which a file cannot be made.

  Raises:
    UserError: in one line.
  """
  for path in (workdir, *(folder_in(workdir, name) for name in names if writable(workdir))):
    if not writable(path):
      raise UserError(f"the run folder {path} cannot be written: copy it, and give that --workdir")


def writable(folder: Path) -> bool:
  """Whether a file can be made in a folder; what the mode bits say is not the whole story."""
  probe = folder / ".writable.tmp"
  try:
    probe.unlink(missing_ok=True)
    probe.touch(exist_ok=False)
    probe.unlink()
  except OSError:
    return False
  return True


def unwritable(error: BaseException | None) -> str | None:
  """What the file system says where that is why something could not be written; None otherwise.

  Libraries wrap it in errors of their own, with the system's words in their text.
  """
  while error is not None:
    for number in REFUSALS:
      if getattr(error, "errno", None) == number:
        name = getattr(error, "filename", None)
        return os.strerror(number) + (f": {name}" if isinstance(name, str) else "")
      if os.strerror(number) in str(error):
        return os.strerror(number)
    error = error.__cause__ or error.__context__
  return None


def read_bytes(path: Path) -> bytes:
  """The content of a regular file: a pipe or a device is not waited for.

  Raises:
    UserError: if it is missing, cannot be read, or is no file.
  """
  try:
    if not stat.S_ISREG(path.stat().st_mode):
      raise UserError(f"{path} is not a file: the run folder is damaged")
    return path.read_bytes()
  except (FileNotFoundError, NotADirectoryError):
    raise UserError(f"{path} does not exist: {path.parent} is not a run folder") from None
  except OSError as error:
    raise UserError(f"{path} cannot be read: {error.strerror}") from error


def read_json(path: Path, kind: type = object) -> Any:
  """The content of a JSON file.

  Args:
    path: of the file.
    kind: what it must be: dict or list.

  Raises:
    UserError: if it is missing, is not JSON, or is something else.
  """
  content = read_bytes(path)
  try:
    value = json.loads(content)
  except (ValueError, RecursionError) as error:  # a UnicodeDecodeError is a ValueError
    raise UserError(f"{path} is not JSON ({error}): the run folder is damaged") from error
  if not isinstance(value, kind):
    raise UserError(f"{path} is not what a run writes: the run folder is damaged")
  return value


def keep_aside(path: Path) -> Path:
  """Gives a file that is not what it should be another name, so that nothing of it is lost."""
  aside = path.with_name(f"{path.name}.damaged")
  os.replace(path, aside)
  return aside
