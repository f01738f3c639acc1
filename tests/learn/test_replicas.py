"""Copies of a model are the model, each with its own part of keys and batches."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Model
from gen_jax.learn.replicas import replicas

# A walk: a step by the mean of the batches and by noise.
WALK = Model(
  init=lambda key, batch: {"at": jax.random.normal(key, (2,))},
  update=lambda state, batch, key, step: (
    {"at": state["at"] + batch["x"].mean((0, 1)) + jax.random.normal(key, (2,)) + step},
    {"size": jnp.sum(state["at"])},
  ),
  evaluate=lambda state, batch, keys: {"near": -jnp.abs(batch["x"] - state["at"]).sum(-1)},
  microbatches=2,
  weights=("at",),
)


def test_a_copy_is_the_model_with_its_own_part():
  n, x = 3, jnp.asarray(np.random.default_rng(0).normal(size=(6, 4, 2)), jnp.float32)
  many = replicas(WALK, n)
  assert many.microbatches == 6 and many.weights == ("at",)
  state = many.init(jax.random.key(0), {"x": x[0]})
  after, metrics = many.update(state, {"x": x}, jax.random.key(1), 5)
  parts = zip(jax.random.split(jax.random.key(0), n), jax.random.split(jax.random.key(1), n))
  sizes = []
  for i, (init_key, key) in enumerate(parts):
    alone = WALK.init(init_key, {"x": x[0]})
    np.testing.assert_allclose(state["at"][i], alone["at"], rtol=1e-6)
    moved, own = WALK.update(alone, {"x": x[2 * i : 2 * i + 2]}, key, 5)
    np.testing.assert_allclose(after["at"][i], moved["at"], rtol=1e-6)
    sizes.append(own["size"])
  np.testing.assert_allclose(metrics["size"], np.mean(sizes), rtol=1e-6)
  near = many.evaluate(after, {"x": x[0]}, None)["near"]
  each = [WALK.evaluate({"at": at}, {"x": x[0]}, None)["near"] for at in after["at"]]
  np.testing.assert_allclose(near, np.mean(each, axis=0), rtol=1e-6)
