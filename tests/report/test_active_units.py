"""Active units of an encoder whose variances are known."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Model, Program
from gen_jax.data import ArraySplit
from gen_jax.report import measures


def test_units_are_counted_whose_mean_moves_with_the_data(mesh):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(301, 3)).astype(np.float32)
  x = (x - x.mean(axis=0)) / x.std(axis=0)
  label = np.arange(301, dtype=np.int32) % 2
  # Variances 1, 0.0101, 0.0099 and, by the label alone, 0.25; a unit far from 0 that never moves.
  scale = jnp.sqrt(jnp.array([1.0, 0.0101, 0.0099]))

  def encode(states, x, keys, cond):
    assert keys is None  # a draw would move every unit
    still = jnp.full((len(x), 1), 7.0)
    return jnp.concatenate([x * scale, cond["label"][:, None], still], axis=-1)

  model = Model(init=None, update=None, evaluate=None, encode=encode, cond=("label",))
  source = SimpleNamespace(splits={"test": ArraySplit({"x": x, "label": label})})
  experiment = SimpleNamespace(evaluate=SimpleNamespace(split="test", batch_size=64))
  scene = measures.Scene(
    Program((), model), [], source, experiment, mesh, jax.random.key(0), train_judge=None
  )
  record = measures.active_units(scene)["active_units"]
  assert record["value"] == 3 and record["units"] == 5 and record["examples"] == 301
