"""Whole passes of a model that learns by them, without the trainer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import fold_each
from gen_jax.data import ArraySplit, passes


def batches(size: int, **arrays) -> list[dict]:
  """One pass in order, the last batch padded."""
  split = ArraySplit({name: np.asarray(value) for name, value in arrays.items()})
  return [jax.tree.map(jnp.asarray, batch) for batch in passes(split, size)]


def fit(model, pass_: list[dict], n: int = 1, params=None, state=None):
  """(state, {metric: [n]} averaged over each pass) after n passes, from `params` where given."""
  if state is None:
    state = jax.jit(model.init)(jax.random.key(0), pass_[0])
  if params is not None:
    state = {**state, "params": jax.tree.map(jnp.asarray, params)}
  update, rows = jax.jit(model.update), []
  before = update._cache_size()
  for i in range(n):
    row = []
    for j, batch in enumerate(pass_):
      key = jax.random.fold_in(jax.random.key(1), i * len(pass_) + j)
      state, metrics = update(state, jax.tree.map(lambda a: a[None], batch), key, jnp.int32(0))
      row.append(metrics)
    rows.append({name: np.mean([float(m[name]) for m in row]) for name in row[0]})
  assert update._cache_size() <= before + 1  # one compilation
  return state, {name: np.array([row[name] for row in rows]) for name in rows[0]}


def keys(n: int, seed: int = 2):
  return fold_each(jax.random.key(seed), jnp.arange(n))
