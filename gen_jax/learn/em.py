"""Learning by sufficient statistics: EM, Lloyd's algorithm and one-pass closed forms.

  E-step     s_i = E[statistics of (x_i, latent_i) | x_i, params], summed over a whole pass
  M-step     params <- solve(params, sum_i s_i)           (Dempster, Laird & Rubin 1977, section 3)

An update adds the statistics of its batch to the sums; where the batch ends an epoch, it solves and
sets them back to zero. So a pass is one iteration over data of any size, in batches of any size. It
needs `data.remainder="pad"`, which ends every epoch in a batch of its own; `train.steps` is the
number of passes times ceil(examples / batch_size). Statistics of a pass that is not complete at the
end of a run are lost, parameters stay those of the pass before.

State is a dict: `params`, what is learnt; `stats`, of the pass so far: `sums`, the number `n` of
examples and of `batches`, and the running `means` of the metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array, Model, PyTree, masked_mean

# (key, batch [B, ...], weight [B]) -> params
Init = Callable[[Array, dict, Array], PyTree]
# (params, batch [B, ...], weight [B], key) -> (sums over the batch, {metric: [B]})
Statistics = Callable[[PyTree, dict, Array, Array], tuple[PyTree, dict[str, Array]]]
# (params of the pass, its sums) -> params
Solve = Callable[[PyTree, PyTree], PyTree]


def em(
  init: Init, statistics: Statistics, solve: Solve, *, dtype=jnp.float32, **capabilities: Any
) -> Model:
  """A Model that learns by whole passes.

  Args:
    init: the first parameters. Like `statistics` it gets a batch whose padding is 0 and weight [B]
      of the type `dtype`, 0 on the padding and 1 elsewhere.
    statistics: of a batch, summed with `weight`, and metrics per example, under the parameters that
      the pass began with.
    solve: the M-step.
    dtype: of the sums. In float32 a sum over b batches is off by about sqrt(b) 6e-8 of itself, so
      statistics are best taken about a point near the mean: take moments of x - params["mean"].
    **capabilities: the other fields of Model.

  Metrics of an update are the means over its batch, each weighted with the batch's share of
  examples, so that their average over the steps of a pass is the mean over its examples. `solves`
  is 1 where a pass ends, else 0.
  """

  def unpadded(batch):
    mask = batch.get("mask", jnp.ones(len(batch["x"]), bool))
    keep = lambda v: jnp.where(mask.reshape(-1, *[1] * (v.ndim - 1)), v, jnp.zeros_like(v))
    return jax.tree.map(keep, batch), mask

  def gather(params, batch, key):
    batch, mask = unpadded(batch)
    weight = mask.astype(dtype)
    sums, values = statistics(params, batch, weight, key)
    return sums, {name: masked_mean(v, mask).astype(dtype) for name, v in values.items()}, weight

  def init_state(key, batch):
    kept, mask = unpadded(batch)
    params = init(key, kept, mask.astype(dtype))
    sums, means, _ = jax.eval_shape(gather, params, batch, key)
    zeros = lambda tree: jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), tree)
    stats = {"sums": zeros(sums), "means": zeros(means)}
    return {"params": params, "stats": stats | {"n": jnp.zeros((), dtype), "batches": jnp.int32(0)}}

  def update(state, batch, key, step):
    del step
    batch = jax.tree.map(lambda leaf: leaf[0], batch)
    params, stats = state["params"], state["stats"]
    sums, means, weight = gather(params, batch, key)
    # All sums over the batch are of one type, so that devices meet once to add them.
    count, last = weight.sum(), batch["last"].astype(dtype).sum()
    ends = last > 0
    n, batches = stats["n"] + count, stats["batches"] + 1
    change = {name: value - stats["means"][name] for name, value in means.items()}
    toward = lambda rate: {name: stats["means"][name] + rate * d for name, d in change.items()}
    done = {
      "sums": jax.tree.map(jnp.add, stats["sums"], sums),
      "means": toward(count / n),
      "n": n,
      "batches": batches,
    }
    params, stats = lax.cond(
      ends,
      lambda params, done: (solve(params, done["sums"]), jax.tree.map(jnp.zeros_like, done)),
      lambda params, done: (params, done),
      params,
      done,
    )
    metrics = toward(batches.astype(dtype) * count / n) | {"solves": ends.astype(dtype)}
    return {"params": params, "stats": stats}, metrics

  return Model(init=init_state, update=update, weights=("params",), passes=True, **capabilities)
