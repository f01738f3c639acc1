"""Weights to safetensors and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors

import gen_jax
from gen_jax.app import training
from gen_jax.app.cli import load_config
from gen_jax.core import UserError, fold_each
from gen_jax.run.weights import export_safetensors, load_safetensors


def test_round_trip_is_bitwise(tmp_path):
  normal = jax.random.normal(jax.random.key(0), (3, 5))
  tree = {
    "params": {
      "unet": {"Conv_0": {"kernel": normal, "bias": normal[0].astype(jnp.bfloat16)}},
      "layers": [normal.T, jnp.float16(0.1)],
    },
    "codes": np.asfortranarray(np.arange(12, dtype=np.int64).reshape(3, 4)),
    "every_other": np.arange(9, dtype=np.uint8)[::2],
    "used": np.array([True, False]),
    "nothing": jnp.zeros((0, 3)),
    "nan": np.array([np.nan, -0.0, np.inf], np.float32),
    "absent": None,
  }
  path = tmp_path / "weights.safetensors"
  export_safetensors(path, tree, {"fingerprint": "abc"})
  read = load_safetensors(path)
  expected = {
    "params.unet.Conv_0.kernel": tree["params"]["unet"]["Conv_0"]["kernel"],
    "params.unet.Conv_0.bias": tree["params"]["unet"]["Conv_0"]["bias"],
    "params.layers.0": tree["params"]["layers"][0],
    "params.layers.1": tree["params"]["layers"][1],
    **{name: tree[name] for name in ("codes", "every_other", "used", "nothing", "nan")},
  }
  assert read.keys() == expected.keys()
  for name, value in expected.items():
    value = np.asarray(value)
    assert (read[name].dtype, read[name].shape) == (value.dtype, value.shape), name
    assert read[name].tobytes() == value.tobytes(), name
  with safetensors.safe_open(path, "numpy") as file:
    assert file.metadata() == {"fingerprint": "abc"}
  assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_what_cannot_be_written_leaves_the_old_file(tmp_path):
  path = tmp_path / "weights.safetensors"
  export_safetensors(path, {"a": jnp.ones(2)}, {})
  before = path.read_bytes()
  with pytest.raises(ValueError, match=r"called a\.b"):
    export_safetensors(path, {"a.b": jnp.ones(2), "a": {"b": jnp.ones(2)}}, {})
  with pytest.raises(TypeError):
    export_safetensors(path, {"a": jax.random.key(0)}, {})
  assert path.read_bytes() == before


def test_a_file_that_cannot_be_read(tmp_path):
  path = tmp_path / "weights.safetensors"
  with pytest.raises(UserError, match=r"weights\.safetensors"):
    load_safetensors(path)
  export_safetensors(path, {"a": jnp.ones(100)}, {})
  path.write_bytes(path.read_bytes()[:-40])
  with pytest.raises(UserError, match=r"weights\.safetensors"):
    load_safetensors(path)


def test_weights_of_another_run_are_refused(tmp_path):
  config = load_config("configs/pca.py:tiny")
  training.train(config, tmp_path / "run")
  folder = tmp_path / "given"
  folder.mkdir()
  for name in ("config.json", "weights.safetensors"):
    (folder / name).write_bytes((tmp_path / "run" / name).read_bytes())
  with pytest.raises(UserError, match="no checkpoint"):
    gen_jax.load(folder)
  (folder / "export.json").write_text("{}")
  model, states = gen_jax.load(folder)
  whole, others = gen_jax.load(tmp_path / "run")
  keys = fold_each(jax.random.key(0), jnp.arange(3))
  np.testing.assert_array_equal(model.sample(states, keys, None), whole.sample(others, keys, None))
  path, arrays = folder / "weights.safetensors", load_safetensors(folder / "weights.safetensors")
  with safetensors.safe_open(path, "numpy") as file:
    about = file.metadata()
  name = next(iter(arrays))
  export_safetensors(path, arrays | {name: arrays[name][..., :1]}, about)
  with pytest.raises(UserError, match="has not the arrays of the model"):
    gen_jax.load(folder)
  for told in ({}, {"run": "{"}, {"run": '{"fingerprint": "other", "step": 8, "stages": 1}'}):
    export_safetensors(path, arrays, told)
    with pytest.raises(UserError, match="is not of the run"):
      gen_jax.load(folder)
