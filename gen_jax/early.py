"""What must stand before anything large is imported: signals and standard streams.

Imported first by the command line, and by nothing else.
"""

from __future__ import annotations

import os
import signal
import sys


def stop(number: int, frame) -> None:
  """Ends the program while it is still being imported, in one line."""
  os.write(2, b"gen_jax: stopped before anything was begun\n")
  os._exit(75 if number == signal.SIGTERM else 130)


def open_streams() -> None:
  """Opens the standard streams that are closed: the next file opened would take their place, and
  what is printed would be written into it."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
  sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
  sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if getattr(getattr(sys.modules["__main__"], "__spec__", None), "name", "") == "gen_jax.main":
  open_streams()
  for each in (signal.SIGINT, signal.SIGTERM):
    signal.signal(each, stop)
