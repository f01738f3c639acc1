"""The measures of colours and of painted label images, of models whose answers are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.colour import PALETTE, paint, rgb_to_lab
from gen_jax.core import Field, Model, Spec, UserError
from gen_jax.data import ArraySplit, Source
from gen_jax.report import measures
from gen_jax.report.judge import Judge
from gen_jax.report.measures.painted import place_prior
from tests.report import made

RNG = np.random.default_rng(0)
RGB = Spec.of((4, 4, 3), 256, 2)
GREY = Model(
  init=None, update=None, evaluate=None,
  observe=lambda states, x, keys, cond: jnp.broadcast_to(
    x.max(-1, keepdims=True), x.shape
  ),
  transform=lambda states, x, keys, cond: x,
)  # fmt: skip


def source(spec, notes=(), **arrays):
  """Halves of the arrays to learn from and to test on."""
  split = lambda part: ArraySplit({name: value[part] for name, value in arrays.items()})
  return Source("made", spec, {"train": split(np.s_[:8]), "test": split(np.s_[8:])}, dict(notes))


def pictures():
  x = RNG.integers(0, 256, (16, 4, 4, 3)).astype(np.uint8)
  return source(RGB, x=x, label=np.arange(16, dtype=np.int32) % 2)


def taken(model, data, *names, judges=None, mesh=None):
  return measures.take(names, made.scene(model, data, judges=judges, mesh=mesh))


def test_a_model_that_leaves_grey_is_as_far_as_grey_is(mesh):
  data = pictures()
  found = taken(GREY, data, "colour", mesh=mesh)
  ab = np.asarray(rgb_to_lab(jnp.asarray(data.splits["test"].arrays()["x"] / 255.0)))[..., 1:]
  rmse = (ab**2).sum(-1).mean() ** 0.5
  assert found["ab_rmse"]["value"] == pytest.approx(rmse, rel=1e-3)
  for figure in ("ab_rmse", "auc", "auc_rebalanced"):
    assert found[figure]["value"] == pytest.approx(found[figure]["of_grey"], rel=1e-3)
  assert found["chroma_ratio"]["value"] == pytest.approx(0, abs=1e-3)
  assert found["chroma_ratio"]["of_grey"] == 0 and found["ab_rmse"]["of_table"] > 0


def test_a_table_knows_colours_that_the_grey_tells(mesh):
  """Pictures of one grey level each and the colour that goes with it."""
  level = np.repeat(np.arange(8), 2)
  shade = np.stack([120 + 10 * level, 20 * level, 0 * level], -1)
  x = np.broadcast_to(shade[:, None, None], (16, 4, 4, 3)).astype(np.uint8)
  order = np.r_[0:16:2, 1:16:2]
  data = source(RGB, x=x[order], label=level[order].astype(np.int32) % 2)
  found = taken(GREY, data, "colour", mesh=mesh)
  assert found["ab_rmse"]["of_table"] == pytest.approx(0, abs=1e-4)
  assert found["auc"]["of_table"] == pytest.approx(100, abs=0.7)
  assert found["chroma_ratio"]["of_table"] == pytest.approx(1, rel=1e-4)
  assert found["ab_rmse"]["cell_entropy"] <= np.log(8) + 1e-6


def test_a_classifier_reads_what_is_recoloured_beside_grey_and_real(mesh):
  """One that tells classes by whether the picture has any colour."""
  x = np.full((16, 4, 4, 3), 100, np.uint8)
  label = np.arange(16, dtype=np.int32) % 2
  x[label == 1, ..., 0] = 200
  judge = Judge(lambda x: (np.ptp(x, axis=-1).max((1, 2)) > 0).astype(int), lambda x: x, 1.0)
  back = GREY._replace(
    transform=lambda states, x, keys, cond: x.at[..., 1:].set(jnp.where(x[..., 1:] > 150, 100, 100))
  )
  data = source(RGB, x=x, label=label)
  found = taken(back, data, "recoloured_accuracy", judges=lambda *a: judge, mesh=mesh)
  record = found["recoloured_accuracy"]
  assert (record["value"], record["of_grey"], record["of_real"]) == (1, 0.5, 1)


def test_pictures_without_channels_are_refused_before_training():
  obstacle = measures.MEASURES["colour"].obstacle
  grey = made.trained(GREY, spec=Spec.of((4, 4, 1), 256)).system
  assert "RGB" in obstacle(grey)
  assert not obstacle(made.trained(GREY, spec=RGB).system)


K = 3
LABELS = Spec.of(
  (2, 2, 3), 256, y=Field((2, 2, 3), 256, (), True), segmentation=Field((2, 2), K, (), True)
)


def painted(given="x", **changes):
  labels = RNG.integers(0, K, (16, 2, 2)).astype(np.uint8)
  labels[:, 0, 0] = 255
  # The photograph of a class is its colour, a little off.
  x = (paint(labels).astype(int) // 2 + 40).astype(np.uint8)
  data = source(LABELS, {"painted": True}, x=x, y=paint(labels), segmentation=labels)
  model = Model(init=None, update=None, evaluate=None, given=given, **changes)
  return data, labels[8:], model


def test_painted_labels_are_read_by_the_nearest_colour(mesh):
  back = lambda states, x, keys, cond: ((x.astype(jnp.int32) - 40) * 2).astype(jnp.uint8)
  data, labels, model = painted(transform=back)
  found = taken(model, data, "painted", mesh=mesh)
  assert found["translated_iou"]["value"] == 1
  assert found["translated_pixel_accuracy"]["value"] == 1
  assert found["translated_iou"]["direction"] == "x_to_y"
  black = model._replace(transform=lambda states, x, keys, cond: 0 * x)
  found = taken(black, data, "painted", mesh=mesh)
  counted = labels[labels < K]
  assert found["translated_pixel_accuracy"]["value"] == pytest.approx((counted == 0).mean())
  assert found["translated_class_accuracy"]["value"] == pytest.approx(1 / 3)
  assert "of_real" not in found["translated_iou"]


def test_photographs_are_read_by_a_net_of_real_ones(mesh):
  data, labels, model = painted(given="y", transform=lambda states, x, keys, cond: 0 * x)
  scene = made.scene(model, data, mesh=mesh)
  real = scene.real["x"]
  reads = lambda x: labels % 255 if np.array_equal(x, real) else np.zeros(labels.shape, int)
  scene.__dict__["segmenter"] = reads
  found = measures.take(("painted",), scene)
  assert found["translated_pixel_accuracy"]["of_real"] == 1
  counted = labels[labels < K]
  assert found["translated_pixel_accuracy"]["value"] == pytest.approx((counted == 0).mean())
  prior = place_prior(data.splits["train"].arrays()["segmentation"], K)
  right = (np.broadcast_to(prior, labels.shape) == labels)[labels < K].mean()
  assert found["translated_pixel_accuracy"]["of_place"] == pytest.approx(right)


def test_a_model_of_both_ways_is_read_in_both(mesh, monkeypatch):
  back = lambda states, x, keys, cond: ((x.astype(jnp.int32) - 40) * 2).astype(jnp.uint8)
  data, labels, model = painted(transform=back)
  # As `opposite` does, a new model for each call.
  other = lambda scene, direction: model._replace(
    given="y", transform=lambda states, y, keys, cond: y // 2 + 40
  )
  monkeypatch.setattr(measures.translation, "opposite", other)
  settings = made.settings()
  settings.config["sample"] = {"direction": "x_to_y"}
  scene = made.scene(model, data, settings, mesh=mesh)
  scene.__dict__["segmenter"] = lambda x: labels % 255
  found = measures.take(("painted",), scene)["translated_iou"]
  assert (found["direction"], found["other_way"]["direction"]) == ("x_to_y", "y_to_x")
  assert found["value"] == found["other_way"]["value"] == found["other_way"]["of_real"] == 1


def test_the_place_prior_is_the_most_frequent_class_of_each_place():
  labels = np.array([[[0, 2]], [[1, 2]], [[1, 255]], [[1, 255]]])
  np.testing.assert_array_equal(place_prior(labels, 3), [[1, 2]])


def test_painting_is_needed(mesh):
  data, _, model = painted(transform=lambda states, x, keys, cond: x)
  system = made.trained(model, data).system
  system.config["measures"] = ("painted",)
  bare = Source("made", LABELS, data.splits)
  with pytest.raises(UserError, match="known painted"):
    measures.check(made.trained(model, bare, system.experiment).system)
  assert len(PALETTE) > K
