"""Measures of label images over whole images of unequal size, of which patches are learnt from."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gen_jax import data, metrics
from gen_jax.core import Model
from gen_jax.report import measures
from tests.report import made

SIZES = [(20, 12), (9, 15), (16, 16)]
RNG = np.random.default_rng(0)


@pytest.fixture
def source(tmp_path):
  """Pixels are 200 where the label is 1, but for a tenth of them, and the border is mostly 0."""
  for i, size in enumerate([*SIZES, *SIZES]):
    split = "train" if i < 3 else "test"
    labels = (RNG.random(size) > 0.3).astype(np.uint8)
    x = 200 * (labels ^ (RNG.random(size) < 0.1))
    for kind, pixels in (("image", x), ("mask", labels)):
      folder = tmp_path / kind / split
      folder.mkdir(parents=True, exist_ok=True)
      Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i}.png")
  return data.load("pairs", path=str(tmp_path), patch=8, validation=0, classes=2)


def model(stride=4):
  """Predicts by each pixel alone: p(1) is 0.88 or 0.12."""

  def predict(states, x):
    assert x.shape[1] % stride == 0 and x.shape[2] % stride == 0
    return jnp.stack([0.0 * x[..., 0], x[..., 0] / 50.0 - 2], axis=-1)

  return Model(init=None, update=None, evaluate=None, predict=predict, stride=stride)


@pytest.mark.parametrize("context", [None, 4])
def test_whole_images_are_measured(source, mesh, context):
  assert source.spec.shape == (8, 8, 1)
  experiment = made.settings({"patch": 8})
  scene = made.scene(model()._replace(context=context), source, experiment, mesh=mesh)
  found = measures.take(("segmentation", "regions"), scene)
  counted, scores = np.zeros((2, 2), int), []
  for i in range(3):
    example = source.splits["test"].whole(i)
    predicted = (example["x"][..., 0] > 100).astype(int)
    counted += metrics.confusion_matrix(example["segmentation"], predicted, 2)
    scores.append(metrics.region_scores(example["segmentation"] == 1, predicted == 1))
  assert counted.sum() == sum(h * w for h, w in SIZES)
  expected = metrics.agreement(counted)
  assert found["mean_iou"]["value"] == pytest.approx(expected.mean_iou)
  assert found["pixel_accuracy"]["pixels"] == counted.sum()
  iou = expected.iou[0]
  assert found["dice"]["dice_0"] == pytest.approx(2 * iou / (1 + iou))
  rand, information = np.mean(scores, axis=0)
  assert found["rand_score"]["at_half"] == pytest.approx(rand)
  assert found["rand_score"]["value"] >= found["rand_score"]["at_half"]
  assert found["information_score"]["at_half"] == pytest.approx(information)
  one = found["rand_score"]["of_one_region"]
  assert 0 < one < 1


def test_regions_are_of_two_classes(source, mesh):
  spec = source.spec._replace(
    fields={"segmentation": source.spec.fields["segmentation"]._replace(levels=3)}
  )
  system = made.trained(model(), source, spec=spec, mesh=mesh).system
  assert "two classes, and these have 3" in measures.MEASURES["regions"].obstacle(system)
