"""The classifier that measures ask: trained on real data by the same trainer as everything else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from gen_jax import config as configs
from gen_jax.core import Model, PyTree
from gen_jax.data import Source
from gen_jax.run.folder import locked
from gen_jax.run.loop import train
from gen_jax.run.system import System, system_of

BUILDER = "gen_jax.models.classifier.build"


class Judge(NamedTuple):
  """A trained classifier: what measures that need a feature space or labels ask.

  predict: x [n, ...] -> label [n]. features: x [n, ...] -> [n, F]. accuracy: on real test data.
  """

  predict: Callable[[np.ndarray], np.ndarray]
  features: Callable[[np.ndarray], np.ndarray]
  accuracy: float


def train_judge(system: System, source: Source, kept: Path | None) -> Judge:
  """A classifier of a source, for the measures of a system.

  Args:
    system: that is measured: its seed, devices and `evaluate.classifier_steps`.
    source: what the classifier learns from, and is tested on.
    kept: a folder that it is kept below and read from again, or None.
  """
  experiment, mesh = system.experiment, system.mesh
  steps = experiment.evaluate.classifier_steps
  feed = dataclasses.asdict(experiment.feed) | {"augment": ()}
  feed["batch_size"] = -(-128 // mesh.size) * mesh.size
  config = configs.experiment(
    BUILDER,
    seed=system.config["seed"],
    model={"optimizer": {"learning_rate": 2e-3, "schedule": "cosine", "decay_steps": steps}},
    data=experiment.data | feed,
    train={"steps": steps, "log_every": steps, "checkpoint_every": steps, "keep": 1},
  )
  parsed = configs.parse(config)
  judge = system_of(configs.build(parsed.config, source.spec), source, parsed, mesh)
  if kept is None:
    result = train(judge)
  else:
    sizes = {name: len(split) for name, split in source.splits.items()}
    mark = configs.fingerprint(judge.config, [judge.spec, *judge.specs], sizes, judge.digests)
    folder = kept / f"{source.name.replace(':', '-')}-{mark}-{steps}"
    with locked(folder, wait=True):
      judge.claim(folder)
      result = train(judge, workdir=folder, fingerprint=mark)
  return judge_of(judge.program.model, result.states, source.splits["test"].arrays())


def judge_of(
  model: Model, states: PyTree, test: Mapping[str, np.ndarray], size: int = 256
) -> Judge:
  """A Judge of a trained classifier: any model that can predict and encode."""
  logits = jax.jit(lambda s, x: model.predict(s, x).argmax(-1))
  encode = jax.jit(lambda s, x: model.encode(s, x, None, None))
  predict = lambda x: batched(logits, states, x, size)
  accuracy = float((predict(test["x"]) == test["label"]).mean())
  return Judge(predict, lambda x: batched(encode, states, x, size), accuracy)


def batched(function: Callable, states: PyTree, x: np.ndarray, size: int) -> np.ndarray:
  """function(states, x) over x [n, ...] in chunks of one size, on the host."""
  pieces = []
  for start in range(0, len(x), size):
    rows = np.minimum(np.arange(start, start + size), len(x) - 1)
    pieces.append(np.asarray(function(states, x[rows])))
  return np.concatenate(pieces)[: len(x)]
