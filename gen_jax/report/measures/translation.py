"""Translations beside their right answers, where the data hold them."""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from gen_jax import config as configs
from gen_jax.core import Array, Model, unit
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene

OPPOSITE = {"x_to_y": "y_to_x", "y_to_x": "x_to_y"}


def squared_error(a: Array, b: Array, levels: int) -> Array:
  """Mean squared difference in [0, 1] of each example: integers [B, ...] -> [B]."""
  return ((unit(a, levels) - unit(b, levels)) ** 2).mean(axis=tuple(range(1, a.ndim)))


def opposite(scene: Scene) -> Model | None:
  """The model that translates the other way, None where the config has no direction."""
  config = scene.system.config
  direction = config.get("sample", {}).get("direction")
  if direction is None:
    return None
  turned = configs.merge(config, {"sample": {"direction": OPPOSITE[direction]}})
  return configs.build(turned, scene.spec).model


@measure(needs=("transform",), fields=("y",), notes=("counterparts",))
def translation(scene: Scene) -> dict[str, Record]:
  """Mean squared errors in [0, 1], of translations rounded to the data's levels:

  counterpart_error: to the right answer, beside that of the input left as it is where the two
    domains are alike. `psnr` is -10 log10 of each figure, in dB.
  identity_error: of an example of the target domain, to itself.
  cycle_error_rounded: of an example that is translated, rounded, and translated back.

  The last two are of models with two directions.
  """
  back, spec = opposite(scene), scene.spec
  start = scene.model.given
  to = "x" if start == "y" else "y"
  direction = f"{start}_to_{to}"
  levels = {"x": spec.levels, "y": spec.fields["y"].levels}
  alike = spec.shape == spec.fields["y"].shape and levels["x"] == levels["y"]
  of = terms_of(scene.model.transform, back, scene.cond, start, to, levels, alike)
  means = {name: float(np.mean(value)) for name, value in scene.terms(of).items()}
  untouched = means.pop("untouched", None)
  records = {
    name: scene.of_split(mean, direction=direction, psnr=psnr(mean)) for name, mean in means.items()
  }
  if untouched is not None:
    records["counterpart_error"] |= {"of_input": untouched, "psnr_of_input": psnr(untouched)}
  return records


def psnr(error: float) -> float:
  """-10 log10 of a mean squared error in [0, 1], in dB; that of an error of 0 is put at 100."""
  return float(-10 * np.log10(max(error, 1e-10)))


def terms_of(
  transform: Callable, back: Model | None, cond: Callable, start: str, to: str, levels: dict,
  alike: bool,
) -> Callable:  # fmt: skip
  """(states, batch, keys) -> {figure: [B]}."""

  def terms(states, batch, keys):
    given, wanted, c = batch[start], batch[to], cond(batch)
    made = transform(states, given, keys, c)
    out = {"counterpart_error": squared_error(made, wanted, levels[to])}
    if alike:
      out["untouched"] = squared_error(given, wanted, levels[to])
    if back is not None:
      returned = back.transform(states, made, keys, c)
      out["cycle_error_rounded"] = squared_error(returned, given, levels[start])
      if alike:
        kept = transform(states, jnp.asarray(wanted), keys, c)
        out["identity_error"] = squared_error(kept, wanted, levels[to])
    return out

  return terms
