"""Folders that are elsewhere: gs://bucket/run, s3://bucket/run, file:///mnt/share/run.

An object store cannot append, rename or lock. So a job works in a local copy of its run folder,
which is a run folder like any other: what changed is copied to where it belongs before each
checkpoint and at the end. Checkpoints are written and read there directly. Which folders are copies
is known to the process that made them alone: a file of a run folder could name any place.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import NamedTuple

import jax
from etils import epath

from gen_jax.core import UserError

SCHEMES = ("gs", "s3", "file")
CHECKPOINTS = "checkpoints"
MARKER = "complete.json"  # the last file of a run, by which it is known to be complete
APART = (CHECKPOINTS, "damaged")  # what is never copied


class Home(NamedTuple):
  """Of a copy: the URL that it is of, and time and size of the files that are there."""

  url: str
  copied: dict[str, list[int]]


HOMES: dict[Path, Home] = {}  # the copies that this process works in


def is_remote(path: str | PurePath) -> bool:
  """Whether this is a URL."""
  return "://" in str(path)


def locate(path: str | PurePath) -> epath.Path:
  """A local path or URL as a path that can be opened.

  Raises:
    UserError: for a URL of a scheme that is not known.
  """
  text = str(path)
  scheme, mark, rest = text.partition("://")
  if not mark:
    return epath.Path(text).expanduser()
  if scheme not in SCHEMES or not rest.strip("/"):
    known = ", ".join(f"{name}://" for name in SCHEMES)
    raise UserError(f"{text} is not a folder that can be reached: {known} or a local path")
  return epath.Path(rest if scheme == "file" else text)


@contextlib.contextmanager
def reaching(url: str) -> Iterator[None]:
  """File systems raise whatever they like: here that is input that cannot be reached."""
  try:
    yield
  except UserError:
    raise
  except Exception as error:
    first = (str(error).splitlines() or [""])[0][:200]
    raise UserError(f"{url} cannot be reached ({type(error).__name__}: {first})") from error


@contextlib.contextmanager
def opened(workdir: str | PurePath) -> Iterator[Path]:
  """A run folder to work in: itself where it is local, else a copy, copied back at the end.

  Raises:
    UserError: if it cannot be reached.
  """
  if not is_remote(workdir):
    yield Path(workdir).expanduser()
    return
  there, url = locate(workdir), str(workdir).rstrip("/")
  with tempfile.TemporaryDirectory(prefix="gen_jax-") as folder:
    here = Path(folder) / there.name
    here.mkdir()
    with reaching(url):
      pull(there, here)
    HOMES[here] = Home(url, stamps(here))
    try:
      with contextlib.redirect_stdout(Renaming(str(here), url)):
        yield here
    except UserError as error:
      raise UserError(str(error).replace(str(here), url)) from error
    finally:
      push(here)
      del HOMES[here]


class Renaming:
  """Standard output, where a copy goes by the name of what it is a copy of."""

  def __init__(self, here: str, url: str):
    self.here, self.url, self.stream = here, url, sys.stdout

  def write(self, text: str) -> int:
    return self.stream.write(text.replace(self.here, self.url))

  def __getattr__(self, name: str):
    return getattr(self.stream, name)


def pull(there: epath.Path, here: Path) -> None:
  """Copies the files of a remote run folder, without its checkpoints, into a local one."""
  if not there.exists():
    return
  for entry in there.iterdir():
    name = entry.name
    if name in APART or name.startswith("."):
      continue
    if entry.is_dir():
      (here / name).mkdir()
      pull(entry, here / name)
    elif os.path.exists(entry) and not os.path.isfile(entry):
      raise UserError(f"{entry} is not a file: the run folder is damaged")
    else:
      (here / name).write_bytes(entry.read_bytes())


def stamps(here: Path) -> dict[str, list[int]]:
  """Relative name -> time and size of every file that is copied."""
  found = {}
  for path in sorted(here.rglob("*")):
    parts = path.relative_to(here).parts
    if path.is_file() and parts[0] not in APART and not any(p.startswith(".") for p in parts):
      stat = path.stat()
      found["/".join(parts)] = [stat.st_mtime_ns, stat.st_size]
  return found


def push(here: Path) -> None:
  """Copies what changed in the copy of a remote folder to where it belongs; else does nothing.

  Of several processes, the first one does.

  Raises:
    UserError: if it cannot be written there.
  """
  if here not in HOMES or jax.process_index():
    return
  (url, copied), now = HOMES[here], stamps(here)
  with reaching(url):
    changed = [name for name, stamp in now.items() if copied.get(name) != stamp]
    for name in sorted(changed, key=lambda name: (name == MARKER, name)):
      target = locate(f"{url}/{name}")
      target.parent.mkdir(parents=True, exist_ok=True)
      # An object comes to be whole or not at all; a file does so by being renamed.
      first = target if is_remote(target) else target.with_name(f".{target.name}.tmp")
      first.write_bytes((here / name).read_bytes())
      if first != target:
        first.replace(target)
  HOMES[here] = Home(url, now)


def checkpoints(workdir: Path) -> epath.Path:
  """Where the checkpoints of a run folder, or of a copy of one, are."""
  home = HOMES.get(workdir)
  return (locate(home.url) if home else epath.Path(workdir)) / CHECKPOINTS
