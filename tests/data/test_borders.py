"""Border weights of discs at known gaps, and beside every instance's distances in full."""

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.distance import cdist

from gen_jax import data
from gen_jax.core import UserError
from gen_jax.data.borders import border_weights, instances_of


def discs(*centres, radius=6, shape=(41, 61)):
  """Numbered in their order."""
  rows, columns = np.indices(shape)
  out = np.zeros(shape, np.int32)
  for i, (a, b) in enumerate(centres, 1):
    out[(rows - a) ** 2 + (columns - b) ** 2 <= radius**2] = i
  return out


@pytest.mark.parametrize("gap", [2, 6, 12])
def test_between_two_discs_the_distances_add_up_to_the_gap(gap):
  """Along the line between their centres, from edge to edge."""
  weight = border_weights(discs((20, 15), (20, 27 + gap)), 10.0, 5.0)
  wanted = 10 * np.exp(-(gap**2) / 50)
  np.testing.assert_allclose(weight[20, 21 : 21 + gap + 1], wanted, rtol=1e-5)
  assert weight[0, 0] < weight[10, 24] < wanted


def test_one_disc_has_no_border_and_no_disc_either():
  assert not border_weights(discs((20, 30)), 10.0, 5.0).any()
  assert not border_weights(discs(), 10.0, 5.0).any()


def test_equal_to_all_distances():
  rng = np.random.default_rng(0)
  instances = instances_of(np.where(rng.random((24, 31)) < 0.1, rng.integers(1, 3, (24, 31)), 0), 3)
  pixels = np.argwhere(instances >= 0)
  of_each = [
    cdist(pixels, np.argwhere(instances == i)).min(1) for i in range(1, instances.max() + 1)
  ]
  first, second = np.sort(of_each, axis=0)[:2]
  wanted = 3.0 * np.exp(-((first + second) ** 2) / (2 * 1.5**2)).reshape(instances.shape)
  np.testing.assert_allclose(border_weights(instances, 3.0, 1.5), wanted, rtol=1e-5, atol=1e-6)


def test_instances_are_of_one_class_each():
  labels = np.array([[1, 1, 2, 0], [0, 0, 2, 1], [1, 255, 0, 1]])
  np.testing.assert_array_equal(instances_of(labels, 3), [[1, 1, 4, 0], [0, 0, 4, 2], [3, 0, 0, 2]])


def test_a_field_of_pairs_that_patches_cut_along(tmp_path):
  labels = (discs((20, 15), (20, 33)) > 0).astype(np.uint8)
  for kind in ("images", "masks"):
    (tmp_path / kind).mkdir()
    for name in "ab":
      Image.fromarray(labels).save(tmp_path / kind / f"{name}.png")
  how = dict(path=str(tmp_path), borders=(10.0, 5.0), validation=0.0, test=0.0)
  source = data.load("pairs", **how)
  field, example = source.spec.fields["border"], source.splits["train"][0]
  assert field.aligned and field.levels is None and field.shape == labels.shape
  wanted = border_weights(discs((20, 15), (20, 33)), 10.0, 5.0)
  np.testing.assert_array_equal(example["border"], wanted)
  patches = data.load("pairs", patch=21, **how).splits["train"]
  np.testing.assert_array_equal(patches[0]["border"], wanted[10:31, 20:41])
  np.testing.assert_array_equal(patches.held()["border"][0], wanted)


def test_refusals(tmp_path):
  for kind in ("A", "B"):
    (tmp_path / kind).mkdir()
    Image.new("L", (8, 8)).save(tmp_path / kind / "a.png")
  with pytest.raises(UserError, match="data.borders=\\(10.0,\\) must be two numbers"):
    data.load("pairs", path=str(tmp_path), borders=(10.0,))
  with pytest.raises(UserError, match="labelled regions, and these pairs have none"):
    data.load("pairs", path=str(tmp_path), borders=(10.0, 5.0))
