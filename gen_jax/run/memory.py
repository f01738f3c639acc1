"""Memory that was not there: what an error of a library says of it, in words of ours."""

from __future__ import annotations

import errno
import re

# "Out of memory allocating 4000000000 bytes.", "Out of memory while trying to allocate 3.64TiB.",
# "Unable to allocate 7.28 TiB for an array with shape (1000000000000,) and data type float64".
AMOUNT = re.compile(r"allocat\w* (?P<number>[\d.]+) ?(?P<unit>bytes|B|[KMGTPE]i?B)\b")
SHAPE = re.compile(r"for an array with shape \([\d, ]*\)")
# What NumPy and Python say of sizes that no address reaches.
BEYOND = (
  "Maximum allowed dimension exceeded",
  "Maximum allowed size exceeded",
  "array is too big",
  "too large to convert to C",
  "cannot fit 'int' into an index-sized integer",
  "Invalid dimensions",
)


def size(count: float) -> str:
  """Bytes in a readable unit."""
  for unit, power in (("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30)):
    if count >= 2**power:
      return f"{count / 2**power:.2f} {unit}"
  return f"{count / 2**20:.1f} MiB"


def out_of_memory(error: BaseException | None) -> str | None:
  """What was to be allocated, and how to take less, in one line; None for any other error.

  Libraries wrap such errors in others of their own: the whole chain is read. A file system that is
  full is no lack of memory (`run.files.unwritable`).
  """
  seen = set()
  while error is not None and id(error) not in seen:
    seen.add(id(error))
    text = str(error)
    if is_memory(error, text):
      return (
        f"out of memory{allocation(text)}: --dry_run shows what training takes; less of it are a"
        " smaller data.batch_size, evaluate.batch_size, evaluate.samples or --n, or a smaller model"
      )
    error = error.__cause__ or error.__context__
  return None


def is_memory(error: BaseException, text: str) -> bool:
  """Whether an error, whose text that is, says that memory was not there."""
  if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
    return True
  if isinstance(error, ValueError | OverflowError) and any(said in text for said in BEYOND):
    return True
  exhausted = "RESOURCE_EXHAUSTED" in text or "Resource exhausted" in text
  return (exhausted and "OS error" not in text) or "Out of memory" in text


def allocation(text: str) -> str:
  """ " allocating 3.64 TiB ...", as far as the text of an error says how much it was."""
  if not (amount := AMOUNT.search(text)):
    return ""
  number, unit = amount["number"], amount["unit"]
  much = (
    size(int(number)) if unit == "bytes" and number.isdigit() else f"{number.rstrip('.')} {unit}"
  )
  shape = SHAPE.search(text)
  return f" allocating {much}" + (f" {shape[0]}" if shape else "")
