"""Codes: how many units, codes and factors they carry."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import entr

from gen_jax import metrics
from gen_jax.core import UserError
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure(needs=("encode",))
def active_units(scene: Scene) -> dict[str, Record]:
  """How many units of the code say something of x: Var_x(E[u | x]) > 0.01 (Burda et al. 2016)."""
  code, threshold = scene.encoded(), 0.01
  variance = code.reshape(len(code), -1).var(axis=0, dtype=np.float64)
  facts = {"units": len(variance), "threshold": threshold, "split": scene.settings.split}
  value = int((variance > threshold).sum())
  return {"active_units": {"value": value, "examples": len(code), **facts}}


@measure(needs=("encode",))
def code_use(scene: Scene) -> dict[str, Record]:
  """How many discrete codes are used, their perplexity, and the entropy in nats of one code drawn
  from their shares: what a prior that knows no more than these pays for each.

  Raises:
    UserError: if codes are not integers.
  """
  code = scene.encoded(mean=False)
  if not np.issubdtype(code.dtype, np.integer):
    raise UserError("the measure code_use needs a model with discrete codes; these are real-valued")
  share = np.unique(code, return_counts=True)[1] / code.size
  entropy = float(entr(share).sum())
  facts = {"examples": len(code), "codes": code.size, "split": scene.settings.split}
  values = {
    "codes_used": len(share), "perplexity": math.exp(entropy), "unigram_entropy": entropy,
  }  # fmt: skip
  return {name: {"value": value, **facts} for name, value in values.items()}


@measure(needs=("encode",), fields=("factors",))
def disentanglement(scene: Scene) -> dict[str, Record]:
  """How far single latents carry single factors of the data: see `metrics.disentanglement`.

  Raises:
    UserError: if the data have no field `factors`, or codes are integers.
  """
  if "factors" not in scene.real:
    raise UserError("the measure disentanglement needs data with factors, such as shapes")
  code = scene.encoded()
  if np.issubdtype(code.dtype, np.integer):
    raise UserError("the measure disentanglement needs real-valued codes")
  codes, factors = code.reshape(len(code), -1).astype(np.float64), scene.real["factors"]
  half = len(codes) // 2
  values = metrics.dci(codes[:half], factors[:half], codes[half:], factors[half:])
  values |= {
    "mutual_information_gap": metrics.mutual_information_gap(codes, factors),
    "beta_vae_score": metrics.beta_vae_score(codes, factors, np.random.default_rng(0)),
    "factor_vae_score": metrics.factor_vae_score(codes, factors, np.random.default_rng(0)),
  }
  facts = {"examples": len(codes), "split": scene.settings.split}
  return {name: {"value": value, **facts} for name, value in values.items()}
