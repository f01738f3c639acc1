"""What a run is busy with, said once it takes long: nobody is to guess whether a program hangs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from gen_jax.run.processes import is_first

AFTER = 5.0  # seconds of silence


@contextlib.contextmanager
def waiting(what: str, after: float = AFTER) -> Iterator[None]:
  """Tells, once `after` seconds have gone by, what they go by with, and in the end how long it
  took; nothing of what is quicker. Of several processes the first one tells."""
  begun, told = time.monotonic(), threading.Event()

  def tell():
    told.set()
    tqdm.write(f"{what} ...")  # above a bar, where there is one

  timer = threading.Timer(after, tell)
  timer.daemon = True
  if is_first():
    timer.start()
  try:
    yield
  finally:
    timer.cancel()
    if told.is_set():
      tqdm.write(f"{what}: {time.monotonic() - begun:.0f} s")
