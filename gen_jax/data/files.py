"""The files of a folder or of a zip archive, by name and in bounded memory."""

from __future__ import annotations

import os
import threading
import zipfile
from typing import Callable, NamedTuple

from etils import epath

from gen_jax import core, remote
from gen_jax.data import images, source

_DEEPEST = 5  # one more than archive/split/class/name, so that deeper files are noticed


class Files(NamedTuple):
  """names: relative paths with "/", sorted.  read: name -> bytes, from any thread.

  `read` raises images.BadImage for a file that cannot be read or is over images.MAX_BYTES.
  """

  names: tuple[str, ...]
  read: Callable[[str], bytes]


def open_files(path: str) -> Files:
  """Lists a folder or a zip archive, here or at a URL.

  Hidden files and those of macOS's archiver are left out.

  Raises:
    UserError: if there is no such folder or archive, or an archive is damaged, or has an entry
      that points outside it.
  """
  root = remote.locate(path)
  if remote.is_remote(path):
    with remote.reaching(path):
      return _archive(root) if root.suffix == ".zip" else _remote_folder(root)
  try:
    if root.is_dir():
      return _folder(root)
    if root.is_file():
      return _archive(root)
  except OSError as error:
    raise core.UserError(f"cannot read {path}: {error.strerror or error}") from error
  raise core.UserError(f"no such folder or zip archive: data.path={path}")


def _hidden(part: str) -> bool:
  return part.startswith(".") or part == "__MACOSX"


def _bounded(stream, size: int) -> bytes:
  """Reads a file of this stated size, and no more than that of one that states too little."""
  if size > images.MAX_BYTES:
    raise images.BadImage(f"{size} bytes, more than {images.MAX_BYTES}")
  data = stream.read(size + 1)
  if len(data) > size:
    raise images.BadImage(f"more than the {size} bytes it should have")
  return data


def _folder(root: epath.Path) -> Files:
  def walk(folder, prefix, depth):
    with os.scandir(folder) as entries:
      for entry in entries:
        if _hidden(entry.name):
          continue
        if entry.is_file():
          yield prefix + entry.name
        # A bound on the depth also ends a loop of links.
        elif depth < _DEEPEST and entry.is_dir():
          yield from walk(entry.path, f"{prefix}{entry.name}/", depth + 1)

  def read(name):
    try:
      with open(root / name, "rb") as stream:
        return _bounded(stream, os.fstat(stream.fileno()).st_size)
    except OSError as error:
      raise images.BadImage(error.strerror or str(error)) from error

  return Files(tuple(sorted(walk(root, "", 1))), read)


def _remote_folder(root: epath.Path) -> Files:
  """A folder where every question is a journey: what is named like an image is not asked."""

  def walk(folder, prefix, depth):
    for entry in folder.iterdir():
      if _hidden(entry.name):
        continue
      if entry.suffix.lower() in images.EXTENSIONS or not entry.is_dir():
        yield prefix + entry.name
      elif depth < _DEEPEST:
        yield from walk(entry, f"{prefix}{entry.name}/", depth + 1)

  def read(name):
    try:
      path = root / name
      with path.open("rb") as stream:
        return _bounded(stream, path.stat().length)
    except images.BadImage:
      raise
    except Exception as error:
      raise images.BadImage(source.reason(error)) from error

  return Files(tuple(sorted(walk(root, "", 1))), read)


def _archive(path: epath.Path) -> Files:
  try:
    archive = zipfile.ZipFile(path.open("rb"))
  except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
    raise core.UserError(
      f"not a folder or a readable zip archive: data.path={path} ({error})"
    ) from error
  entries = {}
  for entry in archive.infolist():
    name = entry.filename.replace("\\", "/")
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or ":" in parts[0]:
      raise core.UserError(
        f"{path} is refused: its entry {entry.filename!r} points outside the archive"
      )
    if not entry.is_dir() and not any(map(_hidden, parts)):
      entries[name] = entry
  lock = threading.Lock()

  def read(name):
    entry = entries[name]
    # zipfile unpacks the other methods without a bound on the memory.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise images.BadImage("packed by another method than store or deflate")
    try:
      with lock, archive.open(entry) as stream:
        return _bounded(stream, entry.file_size)
    except images.BadImage:
      raise
    except Exception as error:  # a damaged, encrypted or oddly packed entry
      raise images.BadImage(source.reason(error)) from error

  return Files(tuple(sorted(entries)), read)
