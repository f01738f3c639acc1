"""Do samples of a generator help a classifier that has few images?

  python -m benchmarks.augment [--labels 5,20] [--seeds 5] [--generator CONFIG] [--out FILE]

For each number of images a class and each seed, of all weights and of the choice of images, a
conditional generator is trained on those images only, by its own config, and the same classifier,
for the same number of steps, on

  real      the images                      shift     the same, moved by up to an eighth
  samples   half images, half samples       both      half and half, all moved
  only      samples alone                   twice     half images, half images drawn again

`twice` is `samples` with a generator that copies: it must equal `real`, but for noise. Errors are
of the whole test split, taken once; a line gives their means over seeds, and the differences to
`real`, pair by pair, with their standard errors. `nearest` is how far samples are from the training
images, by the median distance to the nearest, over that of test images: well below 1 is copying.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import jax
import numpy as np

import gen_jax
from benchmarks.common import refusing, table
from benchmarks.few_labels import cell, over_labels
from gen_jax import config as configs
from gen_jax import data, metrics
from gen_jax.app import cli
from gen_jax.core import UserError, fold_each
from gen_jax.main import use_compilation_cache
from gen_jax.models import classifier

ARMS = ("real", "shift", "samples", "both", "only", "twice")
MADE = 2000  # samples of a generator
CLASSIFIER = dict(steps=600, batch_size=64, steps_per_call=1, log_every=300)
Arrays = dict[str, np.ndarray]


def generated(config, few: Arrays, classes: int, seed: int, steps: int) -> Arrays:
  """MADE samples, as many of each class, of a generator that has learnt from these images alone."""
  experiment = configs.parse(config)
  program = configs.build(experiment.config, data.load(**experiment.data).spec)
  if program.model.sample is None or program.model.cond != ("label",):
    raise UserError("--generator must be a config whose samples are conditioned on the label alone")
  every = experiment.train.steps_per_call
  model, state = gen_jax.train(
    program, few, steps=steps - steps % every, seed=seed, batch_size=experiment.feed.batch_size,
    steps_per_call=every, log_every=experiment.train.log_every,
  )  # fmt: skip
  label = (np.arange(MADE) % classes).astype(np.int32)
  keys = fold_each(jax.random.key(seed + 1), np.arange(MADE))
  x = jax.jit(model.sample)(state, keys, {"label": label})
  return {"x": np.asarray(x), "label": label}


def sets(real: Arrays, made: Arrays, seed: int) -> dict[str, tuple[Arrays, tuple[str, ...]]]:
  """arm -> (what it learns from, how that is moved); real images as often as samples."""
  n, rng = len(real["label"]), np.random.default_rng(seed)
  often = np.arange(MADE) % n
  rows = lambda index: {k: v[index] for k, v in real.items()}
  joined = lambda other: {k: np.concatenate([rows(often)[k], other[k]]) for k in real}
  again = rows(rng.integers(n, size=MADE))
  return {
    "real": (real, ()), "shift": (real, ("shift",)), "samples": (joined(made), ()),
    "both": (joined(made), ("shift",)), "only": (made, ()), "twice": (joined(again), ()),
  }  # fmt: skip


def errors_of(config, labels: int, seed: int, steps: int) -> dict[str, float]:
  """The test error of each arm, and `nearest`."""
  given = configs.parse(config).data
  source = data.load(**{**given, "labels": labels, "labels_seed": seed})
  spec, test = source.spec, source.splits["test"].arrays()
  pick = lambda a: {"x": a["x"], "label": a["label"]}
  real = pick(source.splits["train"].arrays())
  made = generated(config, real, spec.classes, seed, steps)
  program, found = classifier.build(spec), {}
  predict = jax.jit(lambda state, x: program.model.predict(state, x).argmax(-1))
  for arm, (arrays, moved) in sets(real, made, seed).items():
    _, state = gen_jax.train(program, arrays, seed=seed, augment=moved, **CLASSIFIER)
    found[arm] = float((np.asarray(predict(state, test["x"])) != test["label"]).mean())
  flat = lambda x: x.reshape(len(x), -1).astype(np.float64)

  def median(x):
    first = metrics.nearest_indices(flat(x), flat(real["x"]), 1)[:, 0]
    return float(np.median(np.linalg.norm(flat(x) - flat(real["x"])[first], axis=1)))

  return {**found, "nearest": median(made["x"][:500]) / median(test["x"])}


def markdown(found: dict[int, dict[str, list[float]]]) -> str:
  """The table of {labels: {arm: errors, "nearest": ratios}}."""
  lines = []
  for labels, errors in found.items():
    of = {name: np.array(values) for name, values in errors.items()}
    cells = [cell(of[arm], None if arm == "real" else of["real"]) for arm in ARMS]
    lines.append((labels, *cells, f"{of['nearest'].mean():.2f}"))
  return table(("images a class", *ARMS, "nearest"), lines)


@refusing
def main(argv: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(prog="benchmarks.augment")
  parser.add_argument("--labels", default="5,20", help="images a class")
  parser.add_argument("--seeds", type=int, default=5)
  parser.add_argument("--generator", default=str(cli.CONFIGS / "cvae.py"))
  parser.add_argument("--steps", type=int, default=2000, help="of the generator")
  parser.add_argument("--out", type=Path, default=Path("runs/augment.json"))
  given = parser.parse_args(argv)
  numbers = given.labels.split(",")
  if not all(n.isdecimal() and int(n) for n in numbers) or given.seeds < 1 or given.steps < 1:
    raise UserError("--labels are whole numbers with commas; --seeds and --steps are 1 or more")
  use_compilation_cache()
  config = cli.load_config(given.generator)
  each = lambda labels, seed: errors_of(config, labels, seed, given.steps)
  print(markdown(over_labels(map(int, numbers), given.seeds, each, given.out)), end="")
  return 0


if __name__ == "__main__":
  sys.exit(main())
