"""The duality gap of a finished game."""

from __future__ import annotations

import numpy as np

from gen_jax.report import rivals
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.setup import shapes_of_update
from gen_jax.run.system import System


def no_rivals(system: System) -> str:
  """Rivals answer a critic and a generator, and learn from what neither of these has seen."""
  if not {"critic_loss", "generator_loss"} <= shapes_of_update(system).keys():
    return "is of games of a critic and a generator, and this is none"
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
  steps = scene.settings.rival_steps
  found = rivals.duality_gap(scene, scene.source.splits["validation"], scene.split, steps)
  gap = found.against_critic - found.against_generator
  mean = lambda value: float(value.mean(dtype=np.float64))
  parts = {
    "value_as_played": mean(found.value),
    "against_critic": mean(found.against_critic),
    "against_generator": mean(found.against_generator),
  }
  error = float(gap.std(dtype=np.float64) / len(gap) ** 0.5)
  facts = {**parts, "standard_error": error, "rival_steps": steps}
  return {"duality_gap": scene.of_split(mean(gap), **facts)}
