"""The table of measures, which each one enters where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System


class Measure(NamedTuple):
  """take: what writes the figures. figures: their names; () where they depend on the model. needs:
  capabilities of the model. cond: fields it must be conditioned on. fields: what the data must
  have. notes: what the source must state besides (`Source.notes`). settings: fields of config.data
  that must be given. obstacle: what else is known before training to stand against it, in words
  that go on from the measure's name; "" for nothing."""

  take: Callable[[Scene], dict[str, Record]]
  figures: tuple[str, ...] = ()
  needs: tuple[str, ...] = ()
  cond: tuple[str, ...] = ()
  fields: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()
  settings: tuple[str, ...] = ()
  obstacle: Callable[[System], str] = lambda system: ""


MEASURES: dict[str, Measure] = {}


def measure(*figures: str, **declared: Any) -> Callable:
  """Enters a function (scene) -> {figure: record} into the table under its own name."""

  def enter(take):
    MEASURES[take.__name__] = Measure(take, figures, **declared)
    return take

  return enter


def too_few(system: System, least: int, what: str, *sets: str) -> str:
  """An obstacle where a set has fewer than `least` examples.

  Args:
    system: that is measured.
    least: how many are needed.
    what: is needed, in words.
    *sets: names of splits, or "samples" for those that are drawn.
  """
  for name in sets:
    if name == "samples":
      count, which = system.experiment.evaluate.samples, "config.evaluate.samples is"
      remedy = "raise it"
    else:
      count, which = len(system.source.splits.get(name, ())), f"the split {name} has"
      remedy = "give more data, or split them otherwise"
    if count < least:
      return f"needs {what}, and {which} {count}: {remedy}"
  return ""


def translates(system: System) -> str:
  """An obstacle where x is turned into y, to a measure of x restored."""
  there = "y" in system.spec.fields
  return "compares x with what is restored of it, and this model translates x to y" if there else ""
