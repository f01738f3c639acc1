"""Two systems of a few numbers, for what no small system of the registry does: stages of different
resolution, and a condition that shares the geometry of x. A config file like those of configs/.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from gen_jax.config import experiment, variant
from gen_jax.core import Program, Spec, Stage, UserError, fold_all, over_states, quantize, unit
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.schema import Dtype, builder


def mean_model(spec: Spec, mean_of, params, dtype, optimizer, cond=()):
  """x ~ N(mean, 1/16), the mean a function (params, cond) -> [B, H, W, C] in [0, 1]."""
  real = jnp.dtype(dtype)
  shape = spec.shape

  def error(params, x, cond):
    chex.assert_shape(x, (None, *shape))
    return jnp.mean((unit(x, spec.levels, real) - mean_of(params, cond)) ** 2, axis=(1, 2, 3))

  def loss(params, mutable, batch, key, step):
    return error(params["mean"], batch["x"], batch), (mutable["mean"], {})

  def sample(state, keys, cond=None):
    if cond is None and wanted:
      raise UserError(f"this model is conditioned on {wanted[0]}: give it")
    noise = jax.vmap(lambda key: jax.random.normal(key, shape, real))(fold_all(keys, 0))
    x = mean_of(averaged(state, "mean"), cond) + noise / 4
    return quantize(2 * x - 1, spec.levels)

  wanted = cond
  return game(
    {"mean": Player(minimise("mean", loss), optimizer.make())},
    lambda key, batch: ({"mean": params(key, batch, real)}, {"mean": {}}),
    ema={"mean": 0.5},
    evaluate=lambda state, batch, keys: {
      "squared_error": error(averaged(state, "mean"), batch["x"], batch)
    },
    sample=sample,
    cond=cond,
  )


@builder
def two_resolutions(
  spec: Spec, *, dtype: Dtype = "float32", optimizer: Optimizer = Optimizer("sgd", 0.5)
) -> Program:
  """A mean picture, first at half the resolution; the second stage begins with it enlarged, keeps
  its average and frees the first stage's state."""
  if len(spec.shape) != 3 or spec.levels is None or spec.shape[0] != spec.shape[1]:
    raise UserError("this toy is of square images")
  height = spec.shape[0] // 2
  small = Spec(spec.x._replace(shape=(height, height, spec.shape[2])))
  zeros = lambda shape: lambda key, batch, real: {"w": jnp.zeros(shape, real)}
  model_of = lambda s: mean_model(s, lambda p, cond: p["w"], zeros(s.shape), dtype, optimizer)

  def carry(previous, state):
    grow = lambda w: w.repeat(2, axis=0).repeat(2, axis=1)
    kept = {name: jax.tree.map(grow, previous[0][name]) for name in ("params", "ema")}
    return {**state, **kept, "updates": dict(previous[0]["updates"])}

  first = Stage(model_of(small), steps=4, data={"resolution": height, "batch_size": 8})
  second = Stage(model_of(spec), steps=4, carry=carry, release=(0,))
  return Program((first, second), over_states(second.model))


@builder
def aligned(
  spec: Spec, *, dtype: Dtype = "float32", optimizer: Optimizer = Optimizer("sgd", 0.5)
) -> Program:
  """A colour for each class of pixel, given which class each pixel is of."""
  if "segmentation" not in spec.fields:
    raise UserError("this toy needs data with a segmentation")
  classes = spec.fields["segmentation"].levels

  def params(key, batch, real):
    seen = jax.nn.one_hot(batch["segmentation"], classes, dtype=real)
    return {"colour": jnp.zeros((classes, spec.shape[-1]), real), "share": seen.mean((0, 1, 2))}

  mean_of = lambda p, cond: p["colour"][cond["segmentation"]]
  model = mean_model(spec, mean_of, params, dtype, optimizer, ("segmentation",))
  return Program((Stage(model),), over_states(model))


TINY = dict(
  data=dict(name="shapes", resolution=16, batch_size=16, test=0.003, validation=0.002),
  train=dict(steps=8, log_every=2, validate_every=4, sample_every=2, checkpoint_every=4),
  evaluate=dict(samples=8, batch_size=8, classifier_steps=2),
)
VARIANTS = {
  "two_resolutions": {**TINY, "train": {**TINY["train"], "steps": (4, 4)}},
  "aligned": {**TINY, "data": {**TINY["data"], "resolution": 8, "augment": ("flip", "shift")}},
}


def get_config(name: str = "two_resolutions"):
  """The config of one of the two."""
  return experiment(f"tests.conformance.toys.{name}", **variant(name, VARIANTS))
