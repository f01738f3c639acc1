"""SIGINT and SIGTERM: a question that the trainer asks between steps, an exception elsewhere."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class Stopped(Exception):
  """A signal asked for a stop, and everything is saved. `code` is the exit status: 0 for SIGINT, 75
  (try again later) for SIGTERM, so that a scheduler restarts the job."""

  def __init__(self, number: int, step: int):
    super().__init__(f"signal {number} at step {step}")
    self.code, self.step = (0 if number == signal.SIGINT else 75), step


class Interrupted(KeyboardInterrupt):
  """A signal asked for a stop where there is no state to save. `code`: 130 for SIGINT, 75 for
  SIGTERM."""

  def __init__(self, number: int):
    super().__init__(f"signal {number}")
    self.number, self.code = number, 130 if number == signal.SIGINT else 75


def interrupt(number: int, frame=None) -> None:
  """A handler that ends what is going on."""
  raise Interrupted(number)


@contextlib.contextmanager
def handled(handler: Callable) -> Iterator[None]:
  """Both signals go to a handler meanwhile; not so outside of the main thread, where Python allows
  none."""
  try:
    before = {number: signal.signal(number, handler) for number in NUMBERS}
  except ValueError:
    before = {}
  try:
    yield
  finally:
    for number, was in before.items():
      signal.signal(number, was)


@contextlib.contextmanager
def received() -> Iterator[Callable[[], int | None]]:
  """Yields a function that gives the signal that came, or None. A second SIGINT stops at once."""
  seen: list[int] = []

  def note(number, frame):
    seen.append(number)
    signal.signal(signal.SIGINT, interrupt)

  with handled(note):
    yield lambda: seen[0] if seen else None
