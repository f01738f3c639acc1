"""Errors of subgroups, counted by hand, and a probe of what codes say of a group."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Model, Spec
from gen_jax.data import ArraySplit, Source
from gen_jax.report import measures
from tests.report import made

SPEC = Spec.of((1,), None, 2, ("other", "heart"), group=Field((), 2, ("warm", "cool")))
MODEL = Model(
  init=None, update=None, evaluate=None,
  predict=lambda states, x: jax.nn.one_hot((x[:, 0] > 0).astype(int), 2),
  encode=lambda states, x, keys, cond: x,
)  # fmt: skip


def split(*rows):
  """Rows (x, label, group, how often)."""
  x, label, group, count = (np.array(column) for column in zip(*rows, strict=True))
  of = lambda value, kind: np.repeat(value, count).astype(kind)
  x = of(x, np.float32)[:, None]
  return ArraySplit({"x": x, "label": of(label, np.int32), "group": of(group, np.int32)})


TRAIN = split((1, 1, 0, 30), (1, 1, 1, 2), (-1, 0, 0, 20), (-1, 0, 1, 20))
TEST = split((1, 1, 0, 8), (-1, 1, 0, 2), (1, 1, 1, 6), (-1, 1, 1, 4), (-1, 0, 0, 9), (1, 0, 1, 1))


def taken(name, train=TRAIN, test=TEST, rows=()):
  scene = made.scene(MODEL, Source("made", SPEC, {"train": train, "test": test}))
  scene.rows = rows
  return measures.take((name,), scene)


def test_errors_of_the_pair_that_is_rarest_in_training_and_of_all():
  rows = [{"effective_sample_size": float(i)} for i in range(20)]
  found = taken("subgroups", rows=rows)
  assert found["rare_group_error"]["value"] == pytest.approx(4 / 10)
  assert found["rare_group_error"]["group"] == "heart of cool"
  assert found["rare_group_error"]["trained_on"] == 2
  assert found["overall_error"]["value"] == pytest.approx((2 + 4 + 1) / 30)
  assert found["overall_error"]["heart of warm"] == pytest.approx(2 / 10)
  assert found["effective_sample_size"]["value"] == 18.5
  found = taken("subgroups")
  assert found["effective_sample_size"]["value"] is None
  assert "alike" in found["effective_sample_size"]["why"]


def test_a_pair_that_the_split_lacks_is_told():
  found = taken("subgroups", test=split((1, 1, 0, 5), (-1, 0, 0, 5)))
  assert "label 1 of group 1 is not in the split" in found["rare_group_error"]["why"]


def test_a_probe_reads_a_group_that_codes_tell_and_no_other():
  told = split((5, 0, 1, 50), (-5, 0, 0, 50))
  hidden = split((5, 0, 1, 30), (-5, 0, 0, 30), (5, 0, 0, 30), (-5, 0, 1, 30))
  assert taken("group_probe", test=told)["group_probe_accuracy"]["value"] == 1
  found = taken("group_probe", test=hidden)
  assert found["group_probe_accuracy"]["value"] < 0.65
  assert 0.5 <= found["group_share"]["value"] < 0.65
  assert jnp.isfinite(found["group_share"]["value"])
