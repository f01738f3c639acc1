"""The files of a folder or of a zip archive, by name and in bounded memory."""

from __future__ import annotations

import json
import os
import re
import stat
import threading
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, NamedTuple

from absl import logging
from etils import epath

from gen_jax import core, remote
from gen_jax.data import digest, images, source

_DEEPEST = 16  # folders within folders
HEAD = 32  # bytes by which the format of a file is known

# Name and, if that is all that is wanted, number of bytes -> content.
Reader = Callable[[str, int | None], bytes]


class Files(NamedTuple):
  """The files of `path`, without hidden ones and those of run folders.

  names: relative paths with "/", in Unicode's form NFC, sorted.
  read: name -> bytes, from any thread. Raises images.BadImage for a file that cannot be read, is
    over images.MAX_BYTES, or is another than when it was first read.
  head: name -> its first HEAD bytes, or fewer. Raises images.BadImage.
  digest: () -> of the names and whole contents of the files read so far.
  """

  path: str
  names: tuple[str, ...]
  read: Callable[[str], bytes]
  head: Callable[[str], bytes]
  digest: Callable[[], str]


def open_files(path: str) -> Files:
  """Lists a folder or a zip archive, here or at a URL.

  Hidden files, those of macOS's archiver, and those of run folders are left out; the last are said.

  Raises:
    UserError: if there is no such folder or archive; if it is a run folder; if a folder cannot be
      listed, or is a link to one that it is in; if two names differ in their form of Unicode only;
      if an archive is damaged, or has an entry that points outside it or a name twice.
  """
  root = remote.locate(path)
  if remote.is_remote(root):
    with remote.reaching(path):
      if root.suffix == ".zip":
        return _files(*_archive(root), path)
      return _files(_remote_names(root, "", 1), _remote_reader(root), path)
  try:
    if os.path.isdir(root):
      return _files(_names(str(root), "", ()), _local_reader(str(root)), path)
    if os.path.isfile(root):
      return _files(*_archive(root), path)
  except OSError as error:
    where = f"{error.filename} in {path}" if error.filename else path
    raise core.UserError(f"cannot read {where}: {error.strerror or error}") from error
  if os.path.exists(root):
    raise core.UserError(f"data.path={path} is neither a folder nor a regular file")
  if remote.is_remote(path):
    raise core.UserError(f"data.path={path} cannot be reached: no such folder or zip archive")
  raise core.UserError(f"no such folder or zip archive: data.path={path}")


def open_top(folder: str) -> Files:
  """The files of a local folder, without those of the folders in it.

  Raises:
    UserError: if it cannot be listed, or see `open_files`.
  """
  try:
    with os.scandir(folder) as entries:
      names = [e.name for e in entries if not _hidden(e.name) and not os.path.isdir(e.path)]
  except OSError as error:
    raise core.UserError(f"cannot read {folder}: {error.strerror}") from error
  return _files(names, _local_reader(folder), folder)


def open_file(path: str, what: str = "data.path") -> IO[bytes]:
  """Opens one file, here or at a URL.

  Raises:
    UserError: if it cannot be read, or is no regular file: a pipe or a device may have no end.
  """
  root = remote.locate(path)
  if remote.is_remote(root):
    with remote.reaching(path):
      return root.open("rb")
  try:
    return _open_regular(root)
  except (OSError, images.BadImage) as error:
    why = getattr(error, "strerror", None) or error
    raise core.UserError(f"{what}={path} cannot be read: {why}") from error


def read_file(path: str, most: int, what: str = "data.path") -> bytes:
  """The content of one file, here or at a URL.

  Raises:
    UserError: see `open_file`; or if it is of more than `most` bytes.
  """
  with open_file(path, what) as stream:
    content = stream.read(most + 1)
  if len(content) > most:
    raise core.UserError(f"{what}={path} is of more than {most} bytes")
  return content


def _open_regular(path) -> IO[bytes]:
  if not stat.S_ISREG(os.stat(path).st_mode):
    raise images.BadImage("not a regular file")
  return open(path, "rb")


def _files(names: Iterable[str], read: Reader, path: str) -> Files:
  """The files of these names, which are as the folder or archive has them."""
  raw: dict[str, str] = {}
  for name in names:
    other = raw.setdefault(unicodedata.normalize("NFC", name), name)
    if other != name:
      raise core.UserError(
        f"{path} has two files named {name}, in different forms of Unicode: keep one of them"
      )
  _leave_out_runs(raw, read, path)
  seen: dict[str, bytes] = {}

  def whole(name):
    content = read(raw[name], None)
    if seen.setdefault(name, mark := digest.of_bytes(content)) != mark:
      raise images.BadImage("it has changed since it was first read")
    return content

  def head(name):
    return read(raw[name], HEAD)

  return Files(path, tuple(sorted(raw)), whole, head, lambda: digest.of_files(seen))


def _leave_out_runs(raw: dict[str, str], read: Reader, path: str) -> None:
  """Takes run folders out of the names: what a run has drawn must not be what it learns from."""
  found = set()
  for name in raw:
    folder, _, base = name.rpartition("/")
    if base == "config.json" and _is_record(raw[name], read):
      found.add(folder)
    elif match := re.fullmatch(r"(|.*/)checkpoints/\d+/_CHECKPOINT_METADATA", name):
      found.add(match[1].removesuffix("/"))
  if "" in found:
    raise core.UserError(
      f"{path} is the folder of a run: give the folder of its data, or of its samples"
    )
  for folder in sorted(found):
    inside = [name for name in raw if name.startswith(f"{folder}/")]
    for name in inside:
      del raw[name]
    if inside:
      logging.warning("%s in %s is the folder of a run: it is not read as data.", folder, path)


def _is_record(name: str, read: Reader) -> bool:
  """Whether a config.json is that of a run folder."""
  try:
    record = json.loads(read(name, None))
  except (images.BadImage, ValueError, RecursionError):
    return False
  return isinstance(record, dict) and "fingerprint" in record


def _hidden(part: str) -> bool:
  return part.startswith(".") or part == "__MACOSX"


def _bounded(stream, size: int, wanted: int | None) -> bytes:
  """Reads a file of this stated size, and no more than that of one that states too little."""
  if wanted is not None:
    return stream.read(wanted)
  if size > images.MAX_BYTES:
    raise images.BadImage(f"{size} bytes, more than {images.MAX_BYTES}")
  data = stream.read(size + 1)
  if len(data) > size:
    raise images.BadImage(f"more than the {size} bytes it should have")
  return data


def _names(folder: str, prefix: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
  """Names of what is in a folder and is no folder, be it a link to nothing; `above` are the
  folders that it is in, by device and inode."""
  status = os.stat(folder)
  mark = status.st_dev, status.st_ino
  if mark in above:
    raise core.UserError(
      f"{folder} links to a folder that it is in, which is no layout of files: remove it"
    )
  if len(above) > _DEEPEST:
    raise core.UserError(f"{folder} lies more than {_DEEPEST} folders deep: move it up")
  with os.scandir(folder) as entries:
    for entry in entries:
      if _hidden(entry.name):
        continue
      try:
        is_folder = entry.is_dir()
      except OSError:  # a link to itself
        is_folder = False
      if is_folder:
        yield from _names(entry.path, f"{prefix}{entry.name}/", (*above, mark))
      else:
        yield prefix + entry.name


def _local_reader(root: str) -> Reader:
  def read(name, wanted):
    try:
      with _open_regular(os.path.join(root, name)) as stream:
        return _bounded(stream, os.fstat(stream.fileno()).st_size, wanted)
    except OSError as error:
      raise images.Gone(error.strerror or str(error)) from error

  return read


def _remote_names(folder: epath.Path, prefix: str, depth: int) -> Iterator[str]:
  """As `_names`; every question is a journey, so that what is named like an image is not asked."""
  for entry in folder.iterdir():
    if _hidden(entry.name):
      continue
    if entry.suffix.lower() in images.EXTENSIONS or not entry.is_dir():
      yield prefix + entry.name
    elif depth < _DEEPEST:
      yield from _remote_names(entry, f"{prefix}{entry.name}/", depth + 1)
    else:
      raise core.UserError(f"{entry} lies more than {_DEEPEST} folders deep: move it up")


def _remote_reader(root: epath.Path) -> Reader:
  def read(name, wanted):
    try:
      path = root / name
      with path.open("rb") as stream:
        return _bounded(stream, path.stat().length, wanted)
    except images.BadImage:
      raise
    except Exception as error:
      raise images.Gone(source.reason(error)) from error

  return read


def _archive(path: epath.Path) -> tuple[Iterable[str], Reader]:
  """Names of the files of a zip archive, and their reader."""
  try:
    archive = zipfile.ZipFile(path.open("rb"))
  except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
    raise core.UserError(
      f"not a folder or a readable zip archive: data.path={path} ({error})"
    ) from error
  entries: dict[str, zipfile.ZipInfo] = {}
  for entry in archive.infolist():
    name = entry.filename.replace("\\", "/")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or ":" in "".join(parts[:1]):
      raise core.UserError(
        f"{path} is refused: its entry {entry.filename!r} points outside the archive"
      )
    if not parts or entry.is_dir() or any(map(_hidden, parts)):
      continue
    if "/".join(parts) in entries:
      raise core.UserError(f"{path} is refused: it has {entry.filename!r} twice")
    entries["/".join(parts)] = entry
  lock = threading.Lock()

  def read(name, wanted):
    entry = entries[name]
    # zipfile unpacks the other methods without a bound on the memory.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise images.BadImage("packed by another method than store or deflate")
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
      raise images.BadImage("not a regular file")
    try:
      with lock, archive.open(entry) as stream:
        return _bounded(stream, entry.file_size, wanted)
    except images.BadImage:
      raise
    except Exception as error:  # a damaged, encrypted or oddly packed entry
      raise images.BadImage(source.reason(error)) from error

  return entries, read
