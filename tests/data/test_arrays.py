"""Arrays of the user's own, from Python and from a file."""

import zipfile

import numpy as np
import pytest

from gen_jax import core, data

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 200, (30, 4, 4, 3), np.uint8)
LABELS = np.arange(30) % 3


def saved(tmp_path, **arrays):
  np.savez(tmp_path / "set.npz", **arrays)
  return data.load("arrays", path=str(tmp_path / "set.npz"))


def test_a_file_and_the_caller_give_the_same(tmp_path):
  mask = (IMAGES[..., 0] > 100).astype(np.int64)
  arrays = dict(x=IMAGES, label=LABELS, mask_image=mask, score=RNG.normal(size=30))
  direct, filed = data.from_arrays(arrays), saved(tmp_path, **arrays)
  assert direct.spec == filed.spec == core.Spec.of(
    (4, 4, 3), 256, 3, mask_image=core.Field((4, 4), 2, aligned=True), score=core.Field(()),
  )  # fmt: skip
  parts = [split.arrays() for split in filed.splits.values()]
  assert [len(p["x"]) for p in parts] == [22, 2, 6]
  whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
  order = [np.flatnonzero((x == IMAGES).all((1, 2, 3)))[0] for x in whole["x"]]
  assert sorted(order) == list(range(30))
  np.testing.assert_array_equal(whole["label"], LABELS[order])
  np.testing.assert_array_equal(whole["mask_image"], mask[order])
  for name, field in {"x": filed.spec.x, **filed.spec.fields}.items():
    assert whole[name].dtype == field.dtype


def test_splits_by_prefix_are_kept_whole():
  arrays = {"train_x": IMAGES[:20], "train_label": LABELS[:20], "val_x": IMAGES[20:24]}
  arrays |= {"val_label": LABELS[20:24], "test_x": IMAGES[24:], "test_label": LABELS[24:]}
  source = data.from_arrays(arrays)
  assert {k: len(v) for k, v in source.splits.items()} == {"train": 20, "validation": 4, "test": 6}
  np.testing.assert_array_equal(source.splits["test"].arrays()["x"], IMAGES[24:])


def test_levels():
  points = RNG.normal(size=(9, 2))
  assert data.from_arrays({"x": points}).spec == core.Spec.of((2,))
  assert data.from_arrays({"x": LABELS[:, None]}).spec.levels == 3
  assert data.from_arrays({"x": IMAGES // 20, "levels": 10}).spec.levels == 10
  for names in (["a", "b", "c", "d"], np.array(["a", "b", "c", "d"], "S1")):
    named = data.from_arrays({"x": IMAGES, "label": LABELS, "names": names})
    assert named.spec.fields["label"] == core.Field((), 4, ("a", "b", "c", "d"))


@pytest.mark.parametrize(
  "arrays, line",
  [
    (dict(y=IMAGES), "has no array x"),
    (dict(x=IMAGES, label=LABELS[:29]), "label of arrays has 29 examples, and x 30"),
    (dict(x=np.full((3, 2), np.nan)), "not finite in example 0"),
    (dict(x=np.array([[1.0], [np.inf]])), "not finite in example 1"),
    (dict(x=np.array([object(), object()])), "of type object"),
    (dict(x=np.array(["a", "b"])), "must be an array of numbers"),
    (dict(x=np.array(3.0)), "a single value"),
    (dict(x=IMAGES, label=LABELS - 1), "has the value -1: levels begin at 0"),
    (dict(x=IMAGES, mask=LABELS), "mask of arrays is a name that every batch has"),
    (dict(x=IMAGES[:0]), "x of arrays has no examples"),
    (dict(x=IMAGES, levels=100), "but levels=100"),
    (dict(x=IMAGES, levels=[1, 2]), "one whole number"),
    (dict(x=IMAGES, label=LABELS, classes=2), "has the value 2, but classes=2"),
    (dict(x=IMAGES, label=LABELS, names=["a"]), "has 1 names for 3 classes"),
    (dict(x=IMAGES, label=LABELS, names=["a", "b", "a"]), "has 'a' twice"),
    (dict(train_x=IMAGES, label=LABELS), "label needs train_"),
    (dict(x=IMAGES, test_x=IMAGES), "has x and test_x: call it train_x"),
    (dict(x=IMAGES, dev_label=LABELS), "has x and dev_label"),
    (dict(x=np.full((3, 2), 1e300)), "not finite in example 0"),
    (dict(x=IMAGES, label=np.eye(3)[LABELS]), "it must be one whole number for each"),
    (dict(x=IMAGES, label=np.eye(3, dtype=int)[LABELS]), "it must be one whole number for each"),
    (dict(x=IMAGES, label=LABELS[:, None]), "it must be one whole number for each"),
    (dict(x=IMAGES, label=LABELS * 0.5), "it must be one whole number for each"),
    (dict(train_x=IMAGES, test_x=IMAGES[:, :2]), "not as train_"),
    (dict(train_x=IMAGES, test_label=LABELS), "has the fields label, and training x"),
  ],
)
def test_bad_arrays_end_in_one_line(arrays, line):
  with pytest.raises(core.UserError) as error:
    data.from_arrays(arrays)
  assert line in str(error.value) and "\n" not in str(error.value)


def test_bad_files_end_in_one_line(tmp_path):
  np.save(tmp_path / "one.npy", IMAGES)
  np.savez(tmp_path / "objects.npz", x=np.array([{}, {}], object))
  (tmp_path / "text.npz").write_text("no arrays")
  (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
  header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }"
  with zipfile.ZipFile(tmp_path / "huge.npz", "w") as archive:
    archive.writestr("x.npy", b"\x93NUMPY\x01\0" + len(header).to_bytes(2, "little") + header)
  np.savez_compressed(tmp_path / "noise.npz", x=IMAGES)
  noise = bytearray((tmp_path / "noise.npz").read_bytes())
  noise[200:260] = bytes(60)
  (tmp_path / "noise.npz").write_bytes(noise)
  for name, line in [
    ("", "which is not given"), ("none.npz", "No such file"), ("one.npy", "is one array"),
    ("objects.npz", "not an .npz file of plain"), ("text.npz", "not an .npz file of plain"),
    ("cut.npz", "not an .npz file of plain"), ("huge.npz", "not an .npz file of plain"),
    ("noise.npz", "not an .npz file of plain"),
  ]:  # fmt: skip
    with pytest.raises(core.UserError) as error:
      data.load("arrays", path=name and str(tmp_path / name))
    assert line in str(error.value) and "\n" not in str(error.value)
