"""Active units of an encoder whose variances are known."""

import jax.numpy as jnp
import numpy as np

from gen_jax.core import Model, Spec
from gen_jax.data import ArraySplit, Source
from gen_jax.report.measures import codes
from tests.report import made


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
  test = ArraySplit({"x": x, "label": label})
  source = Source("units", Spec.of((3,), None, 2), {"test": test})
  scene = made.scene(model, source, made.settings(batch_size=64), mesh=mesh)
  record = codes.active_units(scene)["active_units"]
  assert record["value"] == 3 and record["units"] == 5 and record["examples"] == 301
  assert record["inputs"] == "the data"
  scene.system.experiment.data["binarize"] = "static"
  assert codes.active_units(scene)["active_units"]["inputs"] == "the data, static binarised"
  scene.system.config["model"] = {"binarize": "fresh"}
  assert "not binary pixels" in codes.active_units(scene)["active_units"]["inputs"]
