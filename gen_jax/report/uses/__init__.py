"""What a trained model is for: modes of the command line for every model with the capability.

Each writes a picture or a table into <workdir>/<mode>/ and knows a model by its capabilities only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gen_jax.report.uses.codes import (
  encode,
  interpolate,
  latent_map,
  probe,
  traverse,
  use_of_codes,
)
from gen_jax.report.uses.examples import predict, reconstruct, transform
from gen_jax.report.uses.samples import density, neighbours
from gen_jax.report.uses.styles import mix
from gen_jax.report.uses.use import Use
from gen_jax.report.uses.words import dictionary

__all__ = ["USES", "Mode", "Use"]


class Mode(NamedTuple):
  """run: (use) -> what to print. needs: capabilities of the model. reads: whether it takes examples
  of the user's own."""

  run: Callable[[Use], str]
  needs: tuple[str, ...]
  reads: bool = False


USES: Mapping[str, Mode] = {
  "reconstruct": Mode(reconstruct, ("encode", "decode"), reads=True),
  "transform": Mode(transform, ("transform",), reads=True),
  "predict": Mode(predict, ("predict",), reads=True),
  "interpolate": Mode(interpolate, ("decode",), reads=True),
  "mix": Mode(mix, ("prior", "styles", "decode")),
  "traverse": Mode(traverse, ("encode", "decode")),
  "encode": Mode(encode, ("encode",)),
  "map": Mode(latent_map, ("encode", "decode")),
  "codes": Mode(use_of_codes, ("encode",)),
  "probe": Mode(probe, ("encode",)),
  "neighbours": Mode(neighbours, ("sample",)),
  "density": Mode(density, ("log_prob",)),
  "dictionary": Mode(dictionary, ("transform",)),
}
