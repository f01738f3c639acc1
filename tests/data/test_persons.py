"""Persons in two sessions, whose colour changes in between."""

import numpy as np
import pytest
from PIL import Image

from gen_jax import core, data


def folder_of(path, persons, pictures):
  """Grey pictures, each of a brightness of its own: 20 persons + picture + 1."""
  for person in range(persons):
    (path / f"p{person}").mkdir(parents=True)
    for i in range(pictures):
      grey = np.full((8, 8), 20 * person + i + 1, np.uint8)
      Image.fromarray(grey).save(path / f"p{person}" / f"{i}.png")
  return str(path)


def test_a_person_has_a_colour_for_each_session_and_is_in_one_split(tmp_path):
  path = folder_of(tmp_path / "faces", 12, 5)
  source = data.load("persons:tinted", path=path, resolution=8, validation=0.2, test=0.25)
  assert source.spec.shape == (8, 8, 3) and source.spec.classes == 12
  splits = {name: split.arrays() for name, split in source.splits.items()}
  people = [set(a["label"].tolist()) for a in splits.values()]
  assert sum(map(len, people)) == 12 and len(set.union(*people)) == 12
  for a in splits.values():
    bright = a["x"].max((1, 2, 3)).astype(int)
    np.testing.assert_array_equal(a["label"], source_order(bright // 20))
    np.testing.assert_array_equal(a["session"], (bright % 20 - 1) >= 2)  # two and three pictures
    for person in set(a["label"].tolist()):
      worn = [
        set(a["group"][(a["label"] == person) & (a["session"] == s)].tolist()) for s in (0, 1)
      ]
      assert [len(w) for w in worn] == [1, 1] and worn[0] != worn[1]


def source_order(person):
  """Classes are named in alphabetical order: p0, p1, p10, p11, p2, ..."""
  return np.argsort(np.argsort([f"p{i}" for i in range(12)]))[person]


def test_persons_cannot_be_told_apart_of_one_picture_one_person_or_given_splits(tmp_path):
  one = folder_of(tmp_path / "one", 4, 1)
  with pytest.raises(core.UserError, match="has one picture"):
    data.load("persons:tinted", path=one, resolution=8)
  few = folder_of(tmp_path / "few", 4, 2)
  with pytest.raises(core.UserError, match="nobody to tell apart"):
    data.load("persons:tinted", path=few, resolution=8, validation=0.25, test=0.25)
  folder_of(tmp_path / "split" / "train", 2, 2)
  folder_of(tmp_path / "split" / "test", 2, 2)
  with pytest.raises(core.UserError, match="without folders of splits"):
    data.load("persons:tinted", path=str(tmp_path / "split"), resolution=8)
