"""Codes: how many units, codes and factors they carry."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import entr

from gen_jax import metrics
from gen_jax.core import UserError, permutation
from gen_jax.report.measures.table import measure, too_few
from gen_jax.report.scene import Record, Scene
from gen_jax.run.setup import shapes_of_codes
from gen_jax.run.system import System


def inputs(scene: Scene) -> str:
  """What is encoded where the mean of a code is asked for, in words."""
  if scene.system.config["model"].get("binarize"):
    return "the data's grey levels, not binary pixels drawn of them as in training"
  binary = scene.system.experiment.data.get("binarize")
  return f"the data, {binary} binarised" if binary else "the data"


@measure("active_units", needs=("encode",))
def active_units(scene: Scene) -> dict[str, Record]:
  """How many units of the code say something of x: Var_x(E[u | x]) > 0.01 (Burda et al. 2016). What
  x is stands beside it: grey pixels and binary ones need not move the same units.

  Raises:
    UserError: for codes that are not finite.
  """
  code, threshold = metrics.finite(scene.encoded(), "the codes"), 0.01
  variance = code.reshape(len(code), -1).var(axis=0, dtype=np.float64)
  facts = {"units": len(variance), "threshold": threshold, "split": scene.settings.split}
  facts["inputs"] = inputs(scene)
  value = int((variance > threshold).sum())
  return {"active_units": {"value": value, "examples": len(code), **facts}}


def is_discrete(dtype: np.dtype) -> bool:
  return np.issubdtype(dtype, np.integer)


def real_codes(system: System) -> str:
  """Only discrete codes are used or not."""
  discrete = all(map(is_discrete, shapes_of_codes(system)))
  return "" if discrete else "needs a model with discrete codes; these are real-valued"


@measure("codes_used", "perplexity", "unigram_entropy", needs=("encode",), obstacle=real_codes)
def code_use(scene: Scene) -> dict[str, Record]:
  """How many discrete codes are used, their perplexity, and the entropy in nats of one code drawn
  from their shares: what a prior that knows no more than these pays for each.

  Raises:
    UserError: if codes are not integers.
  """
  code = scene.encoded(mean=False)
  if not is_discrete(code.dtype):
    raise UserError("the measure code_use needs a model with discrete codes; these are real-valued")
  share = np.unique(code, return_counts=True)[1] / code.size
  entropy = float(entr(share).sum())
  facts = {"examples": len(code), "codes": code.size, "split": scene.settings.split}
  values = {
    "codes_used": len(share), "perplexity": math.exp(entropy), "unigram_entropy": entropy,
  }  # fmt: skip
  return {name: {"value": value, **facts} for name, value in values.items()}


def unfit_for_factors(system: System) -> str:
  """Scores of disentanglement compare factors, and intervals of codes."""
  if any(map(is_discrete, shapes_of_codes(system))):
    return "needs real-valued codes"
  if system.spec.fields["factors"].shape[0] < 2:
    return "needs data with two factors or more"
  return too_few(system, 2, "two examples or more", system.experiment.evaluate.split)


@measure(
  "dci_disentanglement", "dci_completeness", "dci_informativeness", "mutual_information_gap",
  "beta_vae_score", "factor_vae_score", needs=("encode",), fields=("factors",),
  obstacle=unfit_for_factors,
)  # fmt: skip
def disentanglement(scene: Scene) -> dict[str, Record]:
  """How far single latents carry single factors of the data: see `metrics.disentanglement`. DCI
  learns from one half of the examples, picked by a fixed permutation, and is tested on the other.

  Raises:
    UserError: for codes that are not finite, or fewer than two factors that vary.
  """
  code, order = scene.encoded(), permutation(len(scene.split))
  codes, factors = code.reshape(len(code), -1)[order], scene.real["factors"][order]
  half = len(codes) // 2
  values = metrics.dci(codes[:half], factors[:half], codes[half:], factors[half:])
  values |= {
    "mutual_information_gap": metrics.mutual_information_gap(codes, factors),
    "beta_vae_score": metrics.beta_vae_score(codes, factors, np.random.default_rng(0)),
    "factor_vae_score": metrics.factor_vae_score(codes, factors, np.random.default_rng(0)),
  }
  facts = {"examples": len(codes), "split": scene.settings.split}
  return {name: {"value": value, **facts} for name, value in values.items()}
