"""Likelihoods, and what they tell apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gen_jax import metrics
from gen_jax.core import UserError
from gen_jax.data import ArraySplit
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run import evaluate
from gen_jax.run.system import System


@measure(needs=("evaluate",))
def likelihood(scene: Scene) -> dict[str, Record]:
  """The mean of every term of the model's `evaluate`, with its standard error over examples."""
  values = scene.evaluated
  records = {}
  for name, v in values.items():
    facts = {"split": scene.settings.split, **scene.system.config["likelihood"]}
    if bad := len(v) - int(np.isfinite(v).sum()):
      facts["why"] = f"{bad} of {len(v)} examples have a value that is not finite"
    with np.errstate(invalid="ignore"):
      error = float(np.std(v, dtype=np.float64) / len(v) ** 0.5)
    value = {"value": evaluate.mean(v), "examples": len(v), "standard_error": error}
    records[name] = value | facts
  return records


@measure("kl", needs=("log_prob",), notes=("log_density",))
def kl(scene: Scene) -> dict[str, Record]:
  """KL(p || q) of the data's known density p and the model's q in nats: the mean of log p(x) -
  log q(x) over the split, whose scatter is far less than that of either. `of_gaussian_fit` is that
  of a Gaussian with the training data's moments, where a model that has learnt nothing more stays.
  """
  from scipy.stats import multivariate_normal

  log_prob, x = scene.model.log_prob, scene.real["x"]
  q = scene.terms(lambda states, batch, keys: {"q": log_prob(states, batch["x"], keys, None)})["q"]
  p = scene.source.notes["log_density"](x)
  ratio = p - q.astype(np.float64)
  train = scene.train["x"].astype(np.float64)
  gaussian = multivariate_normal(train.mean(0), np.cov(train.T)).logpdf(x)
  error = float(ratio.std() / len(ratio) ** 0.5)
  fit = float((p - gaussian).mean())
  return {"kl": scene.of_split(ratio.mean(), standard_error=error, of_gaussian_fit=fit)}


@measure("bound_gap", needs=("evaluate",), notes=("log_density",))
def bound_gap(scene: Scene) -> dict[str, Record]:
  """How far the `bound` on -log q(x) of a model's `evaluate` lies above -log p(x), the data's known
  density, in nats: at least KL(p || q). `importance_weighted` is the same of its `iw_bound`, where
  there is one. A model that gives a bound_gap of its own, to its own density, keeps it.
  """
  terms = scene.evaluated
  if "bound" not in terms:
    raise UserError("the model's evaluate gives no bound")
  if "bound_gap" in terms:
    return {}
  p = scene.source.notes["log_density"](scene.real["x"])
  gap = p + terms["bound"].astype(np.float64)
  facts = {"standard_error": float(gap.std() / len(gap) ** 0.5)}
  if "iw_bound" in terms:
    facts["importance_weighted"] = float((p + terms["iw_bound"].astype(np.float64)).mean())
  return {"bound_gap": scene.of_split(gap.mean(), **facts)}


@measure("auroc_uniform_noise", "auroc_mixed_examples", needs=("log_prob",))
def anomaly(scene: Scene) -> dict[str, Record]:
  """How well log p(x) tells the split from noise: pixels at random, or each from another example.

  `rejected` is the share of the noise whose log p(x) lies below all but 1% of the training split's.
  """
  split, share = scene.settings.split, 0.01
  noise = metrics.noise_like(scene.real["x"], scene.spec.levels, np.random.default_rng(0))
  log_prob = scene.model.log_prob
  score = lambda states, batch, keys: {"log_p": log_prob(states, batch["x"], keys, None)}
  sets = {"train": scene.train["x"], "real": scene.real["x"], **noise}
  log_p = {name: scene.terms(score, of=ArraySplit({"x": x}))["log_p"] for name, x in sets.items()}
  threshold = float(np.quantile(log_p["train"], share))
  facts = {"split": split, "threshold": threshold, "threshold_quantile_of_train": share}
  facts["rejected_of_split"] = float((log_p["real"] < threshold).mean())
  return {
    f"auroc_{name}": {
      "value": metrics.auroc(log_p["real"], log_p[name]),
      "examples": len(log_p["real"]),
      "noise_examples": len(log_p[name]),
      "rejected": float((log_p[name] < threshold).mean()),
      **facts,
    }
    for name in noise
  }


def no_outliers(system: System) -> str:
  """The test split alone keeps the classes that were not learnt from, where there are others."""
  if system.experiment.evaluate.split != "test":
    return "needs config.evaluate.split=test, the only one that has other classes"
  rest = set(range(system.spec.classes)) - set(system.experiment.data["only"])
  return "" if rest else "needs a class that config.data.only leaves out"


def outliers(scene: Scene, score: Callable, name: str) -> dict[str, Record]:
  """How well a score tells the classes that were learnt from the others, over the whole split.

  Args:
    scene: of a run whose config.data.only names the classes that it learnt from.
    score: (states, batch) -> [B], high for what is known.
    name: of the score.
  """
  only = scene.system.experiment.data["only"]
  scored = lambda states, batch, keys: {"score": score(states, batch, keys)}
  values = scene.terms(scored)["score"]
  known = np.isin(scene.real["label"], list(only))
  record = {
    "value": metrics.auroc(values[known], values[~known]),
    "examples": int(known.sum()),
    "outliers": int((~known).sum()),
    "split": scene.settings.split,
    "learnt_classes": list(only),
  }
  return {f"auroc_{name}": record}


@measure(
  "auroc_error", needs=("encode", "decode"), fields=("label",), settings=("only",),
  obstacle=no_outliers,
)  # fmt: skip
def outliers_by_error(scene: Scene) -> dict[str, Record]:
  """AUROC of the squared error of reconstruction: what a model never saw, it restores badly."""
  model = scene.model

  def score(states, batch, keys):
    x = model.decode(states, model.encode(states, batch["x"], None, batch), batch)
    error = (x - batch["x"].astype(x.dtype)) ** 2
    return -error.reshape(len(error), -1).sum(1)

  return outliers(scene, score, "error")


@measure(
  "auroc_density", needs=("log_prob",), fields=("label",), settings=("only",), obstacle=no_outliers
)
def outliers_by_density(scene: Scene) -> dict[str, Record]:
  """AUROC of log p(x), or of the bound on it that the model has."""
  log_prob = scene.model.log_prob
  score = lambda states, batch, keys: log_prob(states, batch["x"], keys, batch)
  return outliers(scene, score, "density")
