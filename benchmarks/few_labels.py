"""What an autoencoder gains for a classifier with few labels, beside label spreading.

  python -m benchmarks.few_labels [--labels 1,2,5,10] [--seeds 10] [--config CONFIG] [--out FILE]

For each number of labels a class and each seed, of the weights and of the choice of labels, trains
the forms of configs/pretrain.py with the same number of steps in all, and measures the error on the
whole test split; label spreading (Zhou et al. 2004, as scikit-learn has it, on the pixels, of the
training split alone, k = 7) and a logistic regression of the same labelled pixels stand beside. A
line gives means over seeds, and the difference to `scratch`, pair by pair, with its standard error.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import jax
import numpy as np

from benchmarks.common import refusing, table
from gen_jax import config as configs
from gen_jax import data
from gen_jax.app import cli
from gen_jax.core import UserError
from gen_jax.main import use_compilation_cache
from gen_jax.run.files import write_json
from gen_jax.run.loop import train
from gen_jax.run.mesh import make_mesh
from gen_jax.run.system import system_of

FORMS = ("scratch", "code", "finetuned", "joined")


def error_of(config, form: str, labels: int, seed: int) -> float:
  """The test error of a form, trained."""
  steps = config.train.steps
  given = {
    "seed": seed,
    "model": {"form": form, "labels": labels, "labels_seed": seed},
    "train": {"steps": sum(steps) if form == "scratch" else tuple(steps)},
  }
  experiment = configs.parse(configs.merge(configs.as_dict(config.to_dict()), given))
  source = data.load(**experiment.data)
  program = configs.build(experiment.config, source.spec)
  system = system_of(program, source, experiment, make_mesh(jax.devices()[:1]))
  states = train(system).states
  test = source.splits["test"].arrays()
  predicted = jax.jit(program.model.predict)(states, test["x"]).argmax(-1)
  return float((np.asarray(predicted) != test["label"]).mean())


def without_nets(config, labels: int, seed: int) -> dict[str, float]:
  """The test errors of label spreading and of a logistic regression, of the same labels."""
  from sklearn.linear_model import LogisticRegression
  from sklearn.semi_supervised import LabelSpreading

  given = configs.parse(config).data
  flat = lambda a: a["x"].reshape(len(a["x"]), -1).astype(np.float64)
  every = data.load(**given).splits
  few = data.load(**{**given, "labels": labels, "labels_seed": seed}).splits["train"].arrays()
  train_all, test = every["train"].arrays(), every["test"].arrays()
  x = np.concatenate([flat(few), flat(train_all)])
  label = np.concatenate([few["label"], np.full(len(train_all["x"]), -1)])
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    spread = LabelSpreading(kernel="knn", n_neighbors=7, alpha=0.2).fit(x, label)
    plain = LogisticRegression(max_iter=1000).fit(flat(few), few["label"])
  wrong = lambda model: float((model.predict(flat(test)) != test["label"]).mean())
  return {"label spreading": wrong(spread), "logistic regression": wrong(plain)}


def cell(errors: np.ndarray, scratch: np.ndarray | None = None) -> str:
  """Errors [seeds] in percent: mean +- standard deviation, and the paired difference."""
  text = f"{100 * errors.mean():.1f} +- {100 * errors.std():.1f}"
  if scratch is None or len(errors) < 2:
    return text
  gain = 100 * (errors - scratch)
  return f"{text} ({gain.mean():+.1f} +- {gain.std(ddof=1) / math.sqrt(len(gain)):.1f})"


def markdown(found: dict[int, dict[str, list[float]]]) -> str:
  """The table of {labels: {form: errors}}."""
  names = list(next(iter(found.values())))
  lines = []
  for labels, errors in found.items():
    of = {name: np.array(values) for name, values in errors.items()}
    cells = [cell(v, None if name == "scratch" else of["scratch"]) for name, v in of.items()]
    lines.append((labels or "all", *cells))
  return table(("labels a class", *names), lines)


def over_labels(
  labels: Iterable[int], seeds: int, errors_of: Callable[[int, int], dict[str, float]], out: Path
) -> dict[int, dict[str, list[float]]]:
  """{labels: {name: values [seeds]}} of errors_of(labels, seed), also as JSON in `out`, which is
  written anew after each number of labels."""
  found: dict[int, dict[str, list[float]]] = {}
  out.parent.mkdir(parents=True, exist_ok=True)
  for n in labels:
    values = found[n] = {}
    for seed in range(seeds):
      each = errors_of(n, seed)
      for name, value in each.items():
        values.setdefault(name, []).append(value)
      print(f"{n} a class, seed {seed}: {each}", file=sys.stderr, flush=True)
    write_json(out, {str(n): e for n, e in found.items()})
  return found


@refusing
def main(argv: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="benchmarks.few_labels")
  parser.add_argument("--labels", default="1,2,5,10", help="numbers a class, 0 for all")
  parser.add_argument("--seeds", type=int, default=10)
  parser.add_argument("--config", default=str(cli.CONFIGS / "pretrain.py:finetuned"))
  parser.add_argument("--out", type=Path, default=Path("runs/few_labels.json"))
  given = parser.parse_args(argv)
  numbers = given.labels.split(",")
  if not all(n.isdecimal() for n in numbers) or given.seeds < 1:
    raise UserError("--labels are whole numbers with commas, and --seeds is 1 or more")
  use_compilation_cache()
  config = cli.load_config(given.config)
  if isinstance(config.train.steps, int):
    raise UserError(f"--config={given.config}: give a variant with two stages, not scratch")

  def errors_of(labels, seed):
    each = {form: error_of(config, form, labels, seed) for form in FORMS}
    return each | (without_nets(config, labels, seed) if labels else {})

  found = over_labels(map(int, numbers), given.seeds, errors_of, given.out)
  print(markdown(found), end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
