"""What the command line says, and to whom: streams that may close, one line for every refusal."""

from __future__ import annotations

import os
import sys


class Tolerant:
  """A standard stream whose reader may leave, as in `... | head`: what is said then is said to
  nobody, and ends nothing."""

  def __init__(self, stream):
    self.stream = stream

  def write(self, text: str) -> int:
    return self.attempt(self.stream.write, text)

  def flush(self) -> None:
    self.attempt(self.stream.flush)

  def attempt(self, act, *args):
    try:
      return act(*args)
    except BrokenPipeError:
      os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
      return act(*args)

  def __getattr__(self, name: str):
    return getattr(self.stream, name)


def worth_telling(record) -> bool:
  """Whether a line of the log is. Orbax warns of what is meant, such as reading only, and of its
  own deprecations; of a full disk each of its threads tells at length what one line says, and so
  do its reads of a damaged checkpoint's further arrays, where the first one's error is raised."""
  if record.name == "asyncio":
    return "exception was never retrieved" not in record.getMessage()  # of a task or a future
  if "orbax" not in record.pathname:
    return True
  from gen_jax.run.files import unwritable

  return record.levelno >= 40 and not unwritable(record.exc_info[1] if record.exc_info else None)


def tell(text: str) -> None:
  """One line to standard error."""
  print(f"gen_jax: {' '.join(text.split())}", file=sys.stderr)


def refuse(error: Exception) -> int:
  """Says what was wrong, in one line; returns the exit status."""
  tell(f"error: {error}")
  return 2
