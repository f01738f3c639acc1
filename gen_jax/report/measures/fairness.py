"""What a classifier's output says of a protected group."""

from __future__ import annotations

import numpy as np

from gen_jax import metrics
from gen_jax.core import UserError, permutation
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.system import System


def not_binary(system: System) -> str:
  """Rates and gaps are of two classes and two groups."""
  two = system.spec.classes == system.spec.fields["group"].levels == 2
  return "" if two else "needs data with two classes and two groups"


@measure(
  "fairness_accuracy", "parity_gap", "false_positive_gap", "false_negative_gap", "group_auroc",
  needs=("predict",), fields=("label", "group"), obstacle=not_binary,
)  # fmt: skip
def fairness(scene: Scene) -> dict[str, Record]:
  """Accuracy, and the gaps between groups: of the share predicted positive (parity), and of false
  positives and false negatives (odds). group_auroc is that of a fresh logistic regression of the
  group on the predictor's logits, fitted on the training split: 1/2 where they tell nothing of it.

  Raises:
    UserError: if a group of the split has no example of a class, or logits are not finite.
  """
  real, predicted = scene.real, scene.predicted
  of_groups = metrics.rates(real["label"], predicted, real["group"])
  names = scene.spec.fields["group"].names or tuple(map(str, of_groups))
  facts = {names[g]: each for g, each in of_groups.items()}
  notes = {
    name: scene.source.notes[name] for name in ("best", "fair") if name in scene.source.notes
  }
  right = lambda p: float(((p(real["x"]) > 0.5) == real["label"]).mean())
  known = {f"accuracy_of_{name}": right(p) for name, p in notes.items()}
  gap = metrics.gaps(of_groups)
  return {
    "fairness_accuracy": scene.of_split((predicted == real["label"]).mean(), **known),
    "parity_gap": scene.of_split(gap["positive"], **facts),
    "false_positive_gap": scene.of_split(gap["false_positive"]),
    "false_negative_gap": scene.of_split(gap["false_negative"]),
    "group_auroc": scene.of_split(fresh_adversary(scene)),
  }


@measure("group_probe_accuracy", "group_share", needs=("encode",), fields=("group",))
def group_probe(scene: Scene) -> dict[str, Record]:
  """How often a linear classifier of the codes reads the group, fitted on one half of the split and
  asked about the other; beside it the share of the commonest group there, which needs no code.

  Raises:
    UserError: for codes that are not finite.
  """
  code, order = metrics.finite(scene.encoded(), "the codes"), permutation(len(scene.split))
  z, group = code.reshape(len(code), -1)[order], scene.real["group"][order]
  half = len(z) // 2
  errors = metrics.probe_errors(z[:half], group[:half], z[half:], group[half:])
  share = np.bincount(group[half:]).max() / len(group[half:])
  facts = {"examples": len(z) - half, "split": scene.settings.split}
  return {
    "group_probe_accuracy": {"value": 1 - errors["linear"], **facts},
    "group_share": {"value": float(share), **facts},
  }


@measure(
  "rare_group_error", "overall_error", "effective_sample_size", needs=("predict",),
  fields=("label", "group"),
)  # fmt: skip
def subgroups(scene: Scene) -> dict[str, Record]:
  """Errors of the split by (label, group): of the pair that is rarest in training, and of all.
  effective_sample_size is the mean over the last tenth of the log's rows, of models that report it.

  Raises:
    UserError: if the split has no example of the rarest pair.
  """
  real, groups = scene.real, scene.spec.fields["group"].levels
  pair_of = lambda arrays: arrays["label"].astype(np.int64) * groups + arrays["group"]
  trained = np.bincount(pair_of(scene.train), minlength=scene.spec.classes * groups)
  rare = int(np.where(trained > 0, trained, trained.max()).argmin())
  pairs, wrong = pair_of(real), scene.predicted != real["label"]
  if not (pairs == rare).any():
    raise UserError(f"label {rare // groups} of group {rare % groups} is not in the split")
  names = [
    field.names or tuple(map(str, range(field.levels)))
    for field in (scene.spec.fields["label"], scene.spec.fields["group"])
  ]
  called = lambda pair: f"{names[0][pair // groups]} of {names[1][pair % groups]}"
  by_pair = {called(pair): float(wrong[pairs == pair].mean()) for pair in np.unique(pairs).tolist()}
  few = by_pair if len(by_pair) <= 8 else {}
  facts = {"group": called(rare), "trained_on": int(trained[rare])}
  out = {
    "rare_group_error": scene.of_split(wrong[pairs == rare].mean(), **facts),
    "overall_error": scene.of_split(wrong.mean(), **few),
  }
  out["rare_group_error"]["examples"] = int((pairs == rare).sum())
  sizes = [row["effective_sample_size"] for row in scene.rows if "effective_sample_size" in row]
  last = sizes[-max(len(sizes) // 10, 1) :]
  size = {"value": float(np.mean(last)), "examples": len(last), "split": "train"} if last else None
  none = {"value": None, "why": "this model draws all examples alike", "split": "train"}
  return {**out, "effective_sample_size": size or none}


def fresh_adversary(scene: Scene) -> float:
  """AUROC of the group by a logistic regression on the difference of the logits."""
  from sklearn.linear_model import LogisticRegression

  predict = scene.model.predict
  output = lambda states, batch, keys: {"logits": predict(states, batch["x"])}
  train = scene.terms(output, of=scene.source.splits["train"])["logits"]
  held = metrics.finite(scene.terms(output)["logits"], "the logits")
  train = metrics.finite(train, "the logits")
  adversary = LogisticRegression().fit(train[:, 1:] - train[:, :1], scene.train["group"])
  score = adversary.decision_function(held[:, 1:] - held[:, :1])
  group = scene.real["group"]
  return metrics.auroc(score[group == 1], score[group == 0])
