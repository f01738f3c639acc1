"""Duality gaps of a finished game."""

from __future__ import annotations

import numpy as np

from gen_jax.report import rivals
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.setup import shapes_of_update, terms_of_last
from gen_jax.run.system import System


def no_rivals(system: System) -> str:
  """Rivals answer a critic and a generator, and learn from what neither of these has seen."""
  players = {"critic_loss", "generator_loss"} <= shapes_of_update(system).keys()
  if not players or not {"critic_loss", "critic_on_real"} <= set(terms_of_last(system)):
    return (
      "is of games of a critic and a generator, of which the model's `evaluate` gives critic_loss"
      " and critic_on_real, and this is none"
    )
  if missing := {"validation", "test"} - system.source.splits.keys():
    return f"finds rivals on one split and judges them on another: set data.{min(missing)}"
  return ""


@measure("duality_gap", needs=("respond", "sample"), obstacle=no_rivals)
def duality(scene: Scene) -> dict[str, Record]:
  """max_v' M(u, v') - min_u' M(u', v), with M minus the critic's loss (Grnarova et al. 2019,
  arXiv:1811.05512): how much the players could gain by moving alone. At least 0 but for what rivals
  that were found on the validation split lose on the other, which is not cut off.

  Beside it its parts: M as played, against the best critic and against the best generator. The
  generator is the one that was trained, not the average that is sampled.
  """
  return {"duality_gap": record(scene)}


@measure("proximal_duality_gap", needs=("respond", "sample"), obstacle=no_rivals)
def proximal_duality(scene: Scene) -> dict[str, Record]:
  """The gap in which the generator's rival has to beat the best critic near the one that was
  trained (Sidheekh et al. 2021, arXiv:2105.04801), at a price of lambda d for its distance d: see
  `report.rivals`. It is 0 at an equilibrium of a game that is played in turns too, where the plain
  gap may be large, and at most the plain gap."""
  settings = scene.settings
  near = rivals.Proximal(settings.proximal_weight, settings.proximal_steps)
  facts = {"proximal_weight": near.weight, "proximal_steps": near.steps}
  return {"proximal_duality_gap": record(scene, near, **facts)}


def record(scene: Scene, near: rivals.Proximal | None = None, **facts) -> Record:
  """The gap with its parts and its standard error over the examples of the split."""
  steps = scene.settings.rival_steps
  found = rivals.duality_gap(scene, scene.source.splits["validation"], scene.split, steps, near)
  gap = found.against_critic - found.against_generator
  mean = lambda value: float(value.mean(dtype=np.float64))
  return scene.of_split(
    mean(gap),
    value_as_played=mean(found.value),
    against_critic=mean(found.against_critic),
    against_generator=mean(found.against_generator),
    standard_error=float(gap.std(dtype=np.float64) / len(gap) ** 0.5),
    rival_steps=steps,
    **facts,
  )
