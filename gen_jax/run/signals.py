"""SIGINT and SIGTERM as a question that the trainer asks between steps."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator


class Stopped(Exception):
  """A signal asked for a stop, and everything is saved. `code` is the exit status: 0 for SIGINT, 75
  (try again later) for SIGTERM, so that a scheduler restarts the job."""

  def __init__(self, number: int, step: int):
    super().__init__(f"signal {number} at step {step}")
    self.code, self.step = (0 if number == signal.SIGINT else 75), step


@contextlib.contextmanager
def received() -> Iterator[Callable[[], int | None]]:
  """Yields a function that gives the signal that came, or None. A second SIGINT stops at once."""
  seen: list[int] = []

  def note(number, frame):
    seen.append(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)

  try:
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
  except ValueError:  # not in the main thread, where Python allows no handlers
    before = {}
  try:
    yield lambda: seen[0] if seen else None
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)
