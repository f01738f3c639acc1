"""What every mode starts from: a trained system and the examples it works on.

A code is a pytree of arrays [n, ...]; as one vector, its leaves are flattened and joined. It is
drawn without a key: the mean of q(z | x) where the model has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gen_jax.core import Array, PyTree, UserError, fold_each, permutation
from gen_jax.data import Inputs, Split, passes
from gen_jax.run import pictures, sample
from gen_jax.run.conditions import conditions
from gen_jax.run.files import folder_in
from gen_jax.run.system import Trained

CODES_AT_ONCE = 256


class Use:
  """A trained system at work on examples: those of the evaluation split, or the user's own.

  Args:
    trained: the system, with its data.
    n: how many samples or examples.
    inputs: the user's own examples, or None.
    given: conditions by name, in place of the examples' own.
    apart: folder of what is made below that of the mode, where options are not the run's own; or
      empty.
  """

  def __init__(
    self,
    trained: Trained,
    n: int,
    inputs: Inputs | None = None,
    given: Mapping[str, np.ndarray] | None = None,
    apart: str = "",
  ):
    self.trained, self.n, self.inputs, self.given = trained, n, inputs, given or {}
    self.apart = apart
    self.model, self.states, self.spec = trained.model, trained.states, trained.spec
    self.source, self.mesh, self.workdir = trained.source, trained.system.mesh, trained.workdir
    self.settings, self.levels = trained.system.experiment.evaluate, trained.spec.levels

  @property
  def split(self) -> Split:
    """The evaluation split."""
    return self.source.splits[self.settings.split]

  def examples(self, n: int) -> dict[str, np.ndarray]:
    """n examples of the evaluation split, picked by a fixed permutation, or the user's own, with
    their conditions."""
    if self.inputs is None:
      batch = self.split.take(permutation(len(self.split))[:n])
    else:
      x = np.stack(self.inputs.x)
      batch = {"x": x} | conditions(self.model, self.spec, len(x), given=self.given)
    count = len(batch["x"])
    return batch | {k: np.repeat(v[None], count, axis=0) for k, v in self.given.items()}

  def cond(self, batch: Mapping) -> dict | None:
    return {name: batch[name] for name in self.model.cond} or None

  def encode(self, batch: Mapping) -> PyTree:
    """The codes of a batch, without randomness: the posterior's means where there is one."""
    return jax.jit(self.model.encode)(self.states, batch["x"], None, self.cond(batch))

  def draw_codes(self, n: int, cond: dict | None) -> PyTree:
    """Codes of the first n samples of the run's seed."""
    if self.inputs is not None or self.model.prior is None:
      raise UserError("this needs a model with encode, and this has none")
    key = sample.sample_keys(self.trained.system.config["seed"])
    return jax.jit(self.model.prior)(self.states, fold_each(key, np.arange(n)), cond)

  def styles(self, code: PyTree, cond: dict | None) -> Array:
    """The styles of codes."""
    return jax.jit(self.model.styles)(self.states, code, cond)

  def decode(self, code: PyTree, cond: dict | None) -> np.ndarray:
    return np.asarray(jax.jit(self.model.decode)(self.states, code, cond))

  def folder(self, mode: str) -> Path:
    path = folder_in(self.workdir, mode)
    return folder_in(path, self.apart) if self.apart else path

  def save_each(self, mode: str, x: np.ndarray, levels: int | None) -> None:
    """One picture for each of the user's own examples, under its name."""
    if self.inputs is not None and x.ndim == 4 and x.shape[-1] in (1, 3, 4):
      for name, image in zip(self.inputs.names, pictures.to_uint8(x, levels), strict=True):
        pictures.save_png(self.folder(mode) / f"{name}.png", image)


def columns_of(n: int) -> int:
  return min(n, max(8, math.isqrt(n)))


def unraveller(code: PyTree) -> Callable[[Array], PyTree]:
  """[n, Z] -> codes [n, ...] like those given.

  Raises:
    UserError: if codes are integers, between which nothing lies.
  """
  if any(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(code)):
    raise UserError("this mode moves between codes, and those of this model are discrete")
  return jax.vmap(ravel_pytree(jax.tree.map(lambda a: a[0], code))[1])


def vectors(code: PyTree) -> np.ndarray:
  """Codes [n, ...] as one float vector each: [n, Z]."""
  flat = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(code)]
  return np.concatenate(flat, axis=1).astype(np.float64)


def all_codes(run: Use, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
  """Codes [N, Z] and labels [N] of a whole split."""
  encode = jax.jit(run.model.encode)
  codes, labels = [], []
  for batch in passes(split, CODES_AT_ONCE):
    code = encode(run.states, batch["x"], None, run.cond(batch))
    codes.append(vectors(code)[batch["mask"]])
    if "label" in batch:
      labels.append(batch["label"][batch["mask"]])
  return np.concatenate(codes), np.concatenate(labels) if labels else None
