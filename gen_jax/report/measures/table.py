"""The table of measures, which each one enters where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gen_jax.report.scene import Record, Scene


class Measure(NamedTuple):
  """take: what writes the figures. needs: capabilities of the model. cond: fields it must be
  conditioned on. fields: what the data must have. notes: what the source must state besides
  (`Source.notes`). settings: fields of config.data that must be given."""

  take: Callable[[Scene], dict[str, Record]]
  needs: tuple[str, ...] = ()
  cond: tuple[str, ...] = ()
  fields: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()
  settings: tuple[str, ...] = ()


MEASURES: dict[str, Measure] = {}


def measure(**declared: tuple[str, ...]) -> Callable:
  """Enters a function (scene) -> {figure: record} into the table under its own name."""

  def enter(take):
    MEASURES[take.__name__] = Measure(take, **declared)
    return take

  return enter
