"""What the benchmarks share: refusals, which were asked for, how far apart results are, tables."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from gen_jax.core import UserError


def refusing(main: Callable[..., int]) -> Callable[..., int]:
  """A command line that tells what is wrong with what it was given in one line, with status 2."""

  @functools.wraps(main)
  def told(argv: Sequence[str] | None = None) -> int:
    try:
      return main(argv)
    except UserError as error:
      name = Path(main.__code__.co_filename).stem
      print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
      return 2

  return told


def chosen(given: str, known: Collection[str]) -> list[str]:
  """The names in --only=a,b, or all where it is empty.

  Raises:
    UserError: for a name that is not known.
  """
  names = given.split(",") if given else list(known)
  if unknown := sorted(set(names) - set(known)):
    raise UserError(f"--only: no {', '.join(unknown)}; there are {', '.join(known)}")
  return names


def distance(a: np.ndarray, b: np.ndarray) -> float:
  """max |a - b| / (1 + |a|), 0 of nothing."""
  a, b = np.float64(a), np.float64(b)
  return float(np.max(np.abs(a - b) / (1 + np.abs(a)), initial=0.0))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
  """Markdown."""
  lines = (head, ("---",) * len(head), *rows)
  return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
