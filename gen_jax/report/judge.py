"""The classifiers that measures ask, of pictures and of their pixels: trained on real data by the
same trainer as everything else."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from absl import logging

from gen_jax import config as configs
from gen_jax.core import Model, PyTree, UserError
from gen_jax.data import Source
from gen_jax.run.folder import locked, read_record
from gen_jax.run.job import NonFinite
from gen_jax.run.loop import train
from gen_jax.run.processes import agree
from gen_jax.run.signals import Stopped
from gen_jax.run.system import System, system_of
from gen_jax.run.waiting import waiting

PASSED_ON = (Stopped, NonFinite)  # what is no fault of what was kept
BUILDER = "gen_jax.models.classifier.build"
OF_PIXELS = "gen_jax.models.segment.build"


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
  judge, states = trained_on(system, source, kept, BUILDER, 128, ())
  return judge_of(judge.program.model, states, source.splits["test"].arrays())


def train_segmenter(
  system: System, source: Source, kept: Path | None
) -> Callable[[np.ndarray], np.ndarray]:
  """x [n, H, W, C] -> the class of each pixel [n, H, W], learnt from a source with label images.

  For the arguments see `train_judge`.
  """
  judge, states = trained_on(system, source, kept, OF_PIXELS, 16, ("flip",))
  classes = jax.jit(lambda s, x: judge.program.model.predict(s, x).argmax(-1))
  return lambda x: batched(classes, states, x, 64)


def trained_on(
  system: System, source: Source, kept: Path | None, builder: str, batch_size: int, augment: tuple
) -> tuple[System, list[PyTree]]:
  """A judge by the builder's name and its states, see `train_judge`."""
  experiment, mesh = system.experiment, system.mesh
  steps = experiment.evaluate.classifier_steps
  feed = dataclasses.asdict(experiment.feed) | {"augment": augment}
  feed["batch_size"] = -(-batch_size // mesh.size) * mesh.size
  config = configs.experiment(
    builder,
    seed=system.config["seed"],
    model={"optimizer": {"learning_rate": 2e-3, "schedule": "cosine", "decay_steps": steps}},
    data=experiment.data | feed,
    train={"steps": steps, "log_every": steps, "checkpoint_every": steps, "keep": 1},
  )
  parsed = configs.parse(config)
  judge = system_of(configs.build(parsed.config, source.spec), source, parsed, mesh)
  with waiting(f"training the classifier that measures of {source.name} ask, {steps} steps"):
    return judge, train(judge).states if kept is None else kept_states(judge, kept)


def kept_states(judge: System, kept: Path) -> list[PyTree]:
  """The states of a classifier that is kept below a folder, trained where they are not there yet.

  What is kept is a cache: where it is damaged or another's, it is removed and made anew; where it
  cannot be written, the classifier is trained without it.
  """
  source, steps = judge.source, judge.total
  specs = [judge.spec, *judge.specs]
  mark = configs.fingerprint(judge.config, specs, judge.sizes, judge.digests)
  folder = kept / f"{source.name.replace(':', '-').replace('/', '-')}-{mark}-{steps}"

  def read_or_train():
    agree(lambda: check_is_of(folder, mark))
    judge.claim(folder)
    return train(judge, workdir=folder, fingerprint=mark).states

  try:
    agree(lambda: remove_if_no_folder(folder))
    with locked(folder, wait=True):
      try:
        return read_or_train()
      except PASSED_ON:
        raise
      except Exception as error:
        logging.warning("%s is removed and trained anew: %s", folder, reason(error))
        agree(lambda: empty(folder))
        return read_or_train()
  except PASSED_ON:
    raise
  except Exception as error:
    logging.warning("the classifier is trained and not kept in %s: %s", folder, reason(error))
    return train(judge).states


def check_is_of(folder: Path, mark: str) -> None:
  """Refuses a folder whose record is damaged or another's; nothing that it names is looked up.

  Raises:
    UserError: in one line.
  """
  path, checkpoints = folder / "config.json", folder / "checkpoints"
  if checkpoints.exists() and not checkpoints.is_dir():
    raise UserError(f"{checkpoints} is no folder")
  if not path.exists():
    if any(each.name != ".lock" for each in folder.iterdir()):
      raise UserError(f"{folder} has no config.json")
    return
  if read_record(folder)["fingerprint"] != mark:
    raise UserError(f"{path} is another classifier's")


def remove_if_no_folder(path: Path) -> None:
  """Makes way for a folder; of a link, the link is removed and not what it leads to."""
  if path.is_symlink() or path.is_file():
    logging.warning("%s is removed and trained anew: it is no folder", path)
    path.unlink()


def empty(folder: Path) -> None:
  """Removes what is in a folder, but for the lock that this process holds. Links are removed, and
  not what they lead to."""
  for each in folder.iterdir():
    if each.is_dir() and not each.is_symlink():
      shutil.rmtree(each)
    elif each.name != ".lock":
      each.unlink()


def reason(error: Exception) -> str:
  """What an error says, in one line."""
  return " ".join(f"{type(error).__name__}: {error}".split())[:300]


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
