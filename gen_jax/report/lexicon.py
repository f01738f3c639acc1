"""What a translator makes of single words."""

from __future__ import annotations

import jax
import numpy as np

from gen_jax.core import Field, Model, Program, PyTree
from gen_jax.data import SPECIAL
from gen_jax.run.system import as_far_as

BOS, EOS = 1, 2


def first_of(program: Program) -> Model:
  """The system as it stands after its first stage, as a function of the states of all."""
  first = as_far_as(program, 0)
  if first.transform is None or len(program.stages) == 1:
    return first
  return first._replace(transform=lambda states, *args: first.transform(states[:1], *args))


def entries(model: Model, states: list[PyTree], field: Field) -> np.ndarray:
  """The first word that a model writes for each word of a field [V], as a sentence of its own: [V]
  tokens. Those of no word stand for themselves."""
  word = np.arange(field.levels, dtype=np.int32)
  tokens = np.zeros((len(word), *field.shape), np.int32)
  tokens[:, 0], tokens[:, 1], tokens[:, 2] = BOS, word, EOS
  made = np.asarray(jax.jit(model.transform)(states, tokens, None, None))[:, 1]
  return np.where(word < len(SPECIAL), word, made)
