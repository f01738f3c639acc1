"""Outliers told by a score that is known."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Model, Spec, UserError
from gen_jax.data import ArraySplit, Source
from gen_jax.report.measures import check
from gen_jax.report.measures import likelihood as measures
from tests.report import made

LABELS = np.repeat(np.arange(4), 8).astype(np.int32)
X = np.stack([LABELS, np.arange(32) % 5], 1).astype(np.float32)


def scene_of(model, only):
  test = ArraySplit({"x": X, "label": LABELS})
  source = Source("classes", Spec.of((2,), None, 4), {"test": test})
  return made.scene(model, source, made.settings({"only": only}))


def model_of(**capabilities):
  return Model(init=None, update=None, evaluate=None, **capabilities)


def test_error_of_a_model_that_restores_one_class_only():
  model = model_of(
    encode=lambda states, x, keys, cond: jnp.minimum(x, 1), decode=lambda states, z, cond: z * 1.0
  )
  found = measures.outliers_by_error(scene_of(model, (0,)))["auroc_error"]
  error = ((np.minimum(X, 1) - X) ** 2).sum(1)
  known, other = error[LABELS == 0], error[LABELS != 0]
  pairs = (known[:, None] < other) + 0.5 * (known[:, None] == other)
  assert found["value"] == pytest.approx(pairs.mean())
  assert (found["examples"], found["outliers"], found["learnt_classes"]) == (8, 24, [0])


def test_density():
  model = model_of(log_prob=lambda states, x, keys, cond: -x[:, 0])
  assert measures.outliers_by_density(scene_of(model, (0,)))["auroc_density"]["value"] == 1
  assert measures.outliers_by_density(scene_of(model, (3,)))["auroc_density"]["value"] == 0


def test_all_classes_learnt_leave_no_outliers():
  model = model_of(log_prob=lambda states, x, keys, cond: -x[:, 0])
  system = scene_of(model, ()).system
  system.config["measures"] = ("outliers_by_density",)
  with pytest.raises(UserError, match="outliers_by_density needs a setting: set config.data.only"):
    check(system)
