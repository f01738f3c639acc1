"""What no signature admits, looked for in every builder that there is."""

import dataclasses
import importlib
import math
import typing
from pathlib import Path

import jax
import numpy as np
import pytest

import gen_jax
from gen_jax import config, schema
from gen_jax.core import Spec, UserError
from gen_jax.data import Feed, load
from gen_jax.run.sample import sample_keys

MODELS = Path(gen_jax.__file__).parent / "models"
BUILDERS = {
  path.stem: module.build
  for path in sorted(MODELS.glob("*.py"))
  if hasattr(module := importlib.import_module(f"gen_jax.models.{path.stem}"), "build")
}
TARGETS = {**BUILDERS, "data": load, "feed": Feed}
PCA = "gen_jax.models.pca.build"
SEEDS = (-1, 2**32, 2**40, 2**63, 10**30)


def leaves(fields, path=()):
  """(path, annotation) of every field of a signature, those of its groups too."""
  for name, (kind, default) in fields.items():
    if dataclasses.is_dataclass(default):
      yield from leaves(schema.parameters(type(default)), (*path, name))
    else:
      yield (*path, name), kind


def numbers(kind):
  """Whether a field takes a float, or several."""
  if typing.get_origin(kind) is typing.Annotated:
    return numbers(typing.get_args(kind)[0])
  return kind is float or any(numbers(arg) for arg in typing.get_args(kind))


def nested(path, value):
  for name in reversed(path):
    value = {name: value}
  return value


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400])
def test_no_number_that_is_none_is_taken(name, value):
  fields = schema.parameters(TARGETS[name])
  found = [(path, kind) for path, kind in leaves(fields) if numbers(kind)]
  for path, kind in found:
    given = (value,) if typing.get_origin(schema.bare(kind)) is tuple else value
    with pytest.raises(UserError, match=r"config\.g\." + r"\.".join(path)):
      schema.complete({path[0]: fields[path[0]]}, nested(path, given), "g")
    if value != 10**400:
      with pytest.raises(UserError, match=r"where(\[0\])? must be"):
        schema.check(kind, given, "where")
  assert found or name in ("data", "feed", "kmeans", "classifier"), "no number to try"


def test_whole_numbers_of_any_length_are_taken_or_refused_in_one_line():
  for kind in (schema.Count, schema.Natural):
    assert schema.convert(2**31 - 1, kind, "x") == 2**31 - 1
    for value in (2**31, 10**20, 10**400):
      with pytest.raises(UserError, match="config.x must be below 2147483648, not"):
        schema.convert(value, kind, "x")


@pytest.mark.parametrize("value", SEEDS)
def test_seeds_that_would_wrap_are_refused_wherever_one_is_taken(value):
  program = BUILDERS["vae"](Spec.of((2,)), observation="gaussian", hidden=(2,))
  ways = {
    "seed": [
      lambda: sample_keys(value),
      lambda: gen_jax.train(program, {"x": np.zeros((4, 2), np.float32)}, steps=1, seed=value),
    ],
    "config.data.split_seed": [
      lambda: schema.complete(schema.parameters(load), {"split_seed": value}, "data")
    ],
    "config.seed": [lambda: config.experiment(PCA, seed=value, data={"name": "digits"})],
  }
  said = "0 or more" if value < 0 else "below 4294967296"
  for where, all_of_it in ways.items():
    for way in all_of_it:
      with pytest.raises(UserError, match=rf"{where} must be {said}, not {value}"):
        way()


def test_the_largest_seed_is_another_one_than_any_it_could_be_taken_for():
  keys = [jax.random.key_data(sample_keys(seed)).tolist() for seed in (0, 1, 2**31, 2**32 - 1)]
  assert len({tuple(key) for key in keys}) == 4


@pytest.mark.parametrize("name", BUILDERS)
def test_float64_that_would_be_float32_is_refused_by_every_model(name):
  if "dtype" not in schema.parameters(BUILDERS[name]):
    pytest.skip("has no choice of types")
  with pytest.raises(UserError, match=r"model\.dtype=float64 needs JAX_ENABLE_X64=1"):
    BUILDERS[name](Spec.of((4,)), dtype="float64")
  with jax.enable_x64(True):
    schema.check(schema.parameters(BUILDERS[name])["dtype"][0], "float64", "model.dtype")


def test_a_union_is_checked_by_the_option_that_the_value_is_of():
  steps = schema.parameters(config.Train)["steps"][0]
  for good in (5, (1, 2)):
    schema.check(steps, good, "steps")
  for bad in (0, (1, 0), ()):
    with pytest.raises(UserError, match="steps"):
      schema.check(steps, bad, "steps")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_group_that_is_no_group_is_refused_in_a_direct_call(name):
  for field, (_, default) in schema.parameters(BUILDERS[name]).items():
    if dataclasses.is_dataclass(default):
      with pytest.raises(UserError, match=rf"{field} must be {type(default).__name__}\(\.\.\.\)"):
        BUILDERS[name](Spec.of((8, 8, 1), 256), **{field: {"learning_rate": 1e-3}})
