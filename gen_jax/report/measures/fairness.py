"""What a classifier's output says of a protected group."""

from __future__ import annotations

from gen_jax import metrics
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
