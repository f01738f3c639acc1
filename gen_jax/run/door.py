"""Training from Python: a program and arrays, without a config, a command line or a run folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gen_jax import data
from gen_jax.config import Evaluate, Experiment, Train
from gen_jax.core import Model, Program, PyTree, UserError
from gen_jax.data import Feed
from gen_jax.run.loop import train
from gen_jax.run.system import system_of
from gen_jax.schema import Seed, check, nearest, parameters


def train_on_arrays(
  program: Program,
  arrays: Mapping[str, np.ndarray],
  *,
  steps: int | tuple[int, ...],
  seed: int = 0,
  title: str = "",
  **settings: Any,
) -> tuple[Model, list[PyTree]]:
  """Trains a program on arrays: `model, state = gen_jax.train(program, {"x": x}, steps=1000)`.

  The program is built of `gen_jax.data.from_arrays(arrays).spec`, or one like it.

  Args:
    program: what to train.
    arrays: x [N, ...] and other fields [N, ...], all of them to learn from.
    steps: length of the run, or of each stage.
    seed: of everything random.
    title: of the progress; empty for silence.
    **settings: fields of `Feed` and `Train`: batch_size=64, log_every=100, ...

  Returns:
    The model and the states of all stages, as `gen_jax.load` gives them.

  Raises:
    UserError: for arrays that do not go together, a setting that does not exist, or a seed that is
      negative or longer than 32 bits.
  """
  check(Seed, seed, "seed")
  kinds = {"data": parameters(Feed), "train": parameters(Train)}
  known = {name for fields in kinds.values() for name in fields}
  for name in settings:
    if name not in known:
      raise UserError(f"train: no setting {name!r}{nearest(name, known)}")
  given = {**settings, "steps": steps}
  feed = Feed(**{k: v for k, v in given.items() if k in kinds["data"]})
  lengths = Train(
    **{"checkpoint_every": 0} | {k: v for k, v in given.items() if k in kinds["train"]}
  )
  check(Feed, feed, "data")
  check(Train, lengths, "train")
  source = data.from_arrays(arrays, validation=0.0, test=0.0)
  config = {"seed": seed, "measures": (), "likelihood": {}}
  experiment = Experiment(config, {}, feed, lengths, Evaluate())
  result = train(system_of(program, source, experiment), title=title)
  return program.model, result.states
