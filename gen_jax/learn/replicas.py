"""Several seeds of one model, trained as one model whose state has one axis more."""

from __future__ import annotations

import jax

from gen_jax.core import Model


def replicas(model: Model, n: int) -> Model:
  """n copies of a model under `vmap`: each has its own initial weights, randomness and batches.

  State is the model's with a leading axis [n, ...], and an update takes n times its microbatches,
  so that no two copies see the same batch. Metrics and evaluation are averages over the copies.
  What else the model can do, one copy's part of the state can do with the model itself.
  """

  def init(key, batch):
    return jax.vmap(model.init, (0, None))(jax.random.split(key, n), batch)

  def update(state, batch, key, step):
    own = jax.tree.map(lambda leaf: leaf.reshape(n, model.microbatches, *leaf.shape[1:]), batch)
    keys = jax.random.split(key, n)
    state, metrics = jax.vmap(model.update, (0, 0, 0, None))(state, own, keys, step)
    return state, jax.tree.map(lambda v: v.mean(axis=0), metrics)

  def evaluate(state, batch, keys):
    terms = jax.vmap(model.evaluate, (0, None, None))(state, batch, keys)
    return jax.tree.map(lambda v: v.mean(axis=0), terms)

  return Model(init, update, evaluate, microbatches=n * model.microbatches, weights=model.weights)
