"""Pairs and domains of images from files."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from gen_jax import colour, core, data

RNG = np.random.default_rng(0)


def png(array, palette=None):
  image = Image.fromarray(array)
  if palette:
    image.putpalette(palette)
  stream = io.BytesIO()
  image.save(stream, "png")
  return stream.getvalue()


def write(folder, files):
  for name, array in files.items():
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(array if isinstance(array, bytes) else png(array))
  return str(folder)


def colours(size=(8, 8)):
  return RNG.integers(0, 256, (*size, 3), np.uint8)


def labels(size=(8, 8), classes=3):
  out = RNG.integers(0, classes, size).astype(np.uint8)
  out.flat[:classes] = range(classes)
  return out


def load(name, path, **options):
  return data.load(name, path=path, **{"validation": 0, "test": 0, **options})


def whole(source, split="train"):
  return source.splits[split].arrays()


@pytest.mark.parametrize("layout", ["{role}/{split}/{i}.png", "set/{split}/{role}/{i}.png"])
def test_equal_stems(tmp_path, layout):
  x, mask = [colours() for _ in range(6)], [labels() for _ in range(6)]
  splits = ["train"] * 4 + ["val", "test"]
  files = {}
  for i, split in enumerate(splits):
    files[layout.format(role="image", split=split, i=i)] = x[i]
    files[layout.format(role="mask", split=split, i=i)] = mask[i]
  source = load("pairs", write(tmp_path, files))
  assert source.spec == core.Spec.of((8, 8, 3), 256, segmentation=core.Field((8, 8), 3, (), True))
  for split, index in (("train", range(4)), ("validation", [4]), ("test", [5])):
    found = whole(source, split)
    np.testing.assert_array_equal(found["x"], [x[i] for i in index])
    np.testing.assert_array_equal(found["segmentation"], [mask[i] for i in index])


def test_pictures_with_pictures_in_a_zip(tmp_path):
  files = {f"{role}/cat/{i}.png": colours() for role in "AB" for i in range(3)}
  with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
    for name, array in files.items():
      archive.writestr(name, png(array))
  source = load("pairs", str(tmp_path / "set.zip"))
  assert source.spec.fields["y"] == core.Field((8, 8, 3), 256, (), True)
  found = whole(source)
  for field, role in (("x", "A"), ("y", "B")):
    np.testing.assert_array_equal(found[field], [files[f"{role}/cat/{i}.png"] for i in range(3)])


def test_side_by_side_and_suffix(tmp_path):
  wide = [colours((8, 16)) for _ in range(3)]
  source = load(
    "pairs", write(tmp_path / "a", {f"{i}.png": w for i, w in enumerate(wide)}),
    pairing="side_by_side",
  )  # fmt: skip
  np.testing.assert_array_equal(whole(source)["x"], [w[:, :8] for w in wide])
  np.testing.assert_array_equal(whole(source)["y"], [w[:, 8:] for w in wide])

  x, mask = colours(), labels()
  path = write(tmp_path / "b", {"train/7.png": x, "train/7_mask.png": mask})
  found = whole(load("pairs", path, pairing="suffix"))
  np.testing.assert_array_equal(found["x"], [x])
  np.testing.assert_array_equal(found["segmentation"], [mask])


def test_labels_keep_their_integers(tmp_path):
  mask = labels(classes=4)
  palette = [255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9]
  path = write(tmp_path / "p", {"image/0.png": colours(), "mask/0.png": png(mask, palette)})
  np.testing.assert_array_equal(whole(load("pairs", path))["segmentation"][0], mask)
  # Resized, every label is one that stands at its place; padding is of no class.
  mask = np.kron(np.array([[0, 3], [3, 1]]), np.ones((8, 16))).astype(np.uint8)
  mask[0, 0] = 2
  path = write(tmp_path / "r", {"image/0.png": colours((16, 32)), "mask/0.png": mask})
  small = lambda how: whole(load("pairs", path, resolution=8, resize=how))["segmentation"][0]
  np.testing.assert_array_equal(small("stretch"), np.kron([[0, 3], [3, 1]], np.ones((4, 4))))
  np.testing.assert_array_equal(small("crop"), np.kron([[0, 3], [3, 1]], np.ones((4, 4))))
  padded = small("pad")
  assert (padded[[0, 1, 6, 7]] == 255).all()
  np.testing.assert_array_equal(padded[2:6], np.kron([[0, 3], [3, 1]], np.ones((2, 4))))


def test_values_of_labels(tmp_path):
  mask = labels(classes=2) * 255
  path = write(tmp_path / "two", {"image/0.png": colours(), "mask/0.png": mask})
  source = load("pairs", path)
  assert source.spec.fields["segmentation"].levels == 2
  np.testing.assert_array_equal(whole(source)["segmentation"][0], mask // 255)

  mask = labels(classes=4)
  path = write(tmp_path / "void", {"image/0.png": colours(), "mask/0.png": mask})
  source = load("pairs", path, classes=3, ignore=3)
  assert source.spec.fields["segmentation"].levels == 3 and source.notes == {"ignore": 3}
  np.testing.assert_array_equal(whole(source)["segmentation"][0], np.where(mask == 3, 255, mask))


@pytest.mark.parametrize("layout", ["{split}{role}/{i}.png", "{role}/{split}/{i}.png"])
def test_domains(tmp_path, layout):
  files = {}
  for role, counts in (("A", {"train": 4, "test": 2}), ("B", {"train": 3, "test": 3})):
    for split, n in counts.items():
      for i in range(n):
        files[layout.format(role=role, split=split, i=i)] = colours((8, 8 if role == "A" else 6))
  source = load("domains", write(tmp_path, files))
  assert source.spec == core.Spec.of((8, 8, 3), 256, y=core.Field((8, 6, 3), 256))
  x, y = source.splits["train"].parts()
  assert (len(x), len(y)) == (4, 3)
  for part, field, role in ((x, "x", "A"), (y, "y", "B")):
    wanted = [files[layout.format(role=role, split="train", i=i)] for i in range(len(part))]
    np.testing.assert_array_equal(part.arrays()[field], wanted)
  test = whole(source, "test")
  np.testing.assert_array_equal(
    test["y"], [files[layout.format(role="B", split="test", i=i)] for i in range(2)]
  )


def test_two_sources_by_name_and_by_path(tmp_path):
  path = write(tmp_path / "a", {f"{i}.png": colours() for i in range(5)})
  there = write(tmp_path / "b", {f"{i}.png": colours() for i in range(4)})
  source = load("folder", path, other=there)
  np.testing.assert_array_equal(
    source.splits["train"].parts()[1].arrays()["y"], whole(load("folder", there))["x"]
  )
  source = load("folder", path, other="digits", resolution=8, channels=1)
  label = core.Field((), 10, tuple("0123456789"))
  assert source.spec == core.Spec.of((8, 8, 1), 256, y=core.Field((8, 8, 1), 17), label_y=label)


def refused(tmp_path, name, files, **options):
  with pytest.raises(core.UserError) as error:
    load(name, write(tmp_path, files), **options)
  assert "\n" not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize(
  "files, options, line",
  [
    ({"A/0.png": (8, 8), "A/1.png": (8, 8), "B/0.png": (8, 8)}, {}, "1 of 2 names in"),
    ({"A/0.png": (8, 8), "B/0.png": (8, 9)}, {}, "A/0.png in"),
    ({"A/0.png": (8, 8), "B/0.png": (8, 9)}, {}, "of 8x8 pixels, and B/0.png of 9x8"),
    ({"A/0.png": (8, 8), "A/1.png": (9, 9), "B/0.png": (8, 8), "B/1.png": (9, 9)}, {}, "2 sizes"),
    ({"A/0.png": (8, 8)}, {}, "has inputs only"),
    ({"cats/0.png": (8, 8)}, {}, "is in no folder of a known name"),
    ({"A/0.png": (8, 8), "A/0.jpg": (8, 8), "B/0.png": (8, 8)}, {}, "are of one name"),
    ({"A/0.png": (8, 8), "B/0.png": b"no image"}, {}, "cannot be read: B/0.png (not an image)"),
    ({"A/0.png": (8, 8), "mask/0.png": (8, 8)}, {}, "has a palette, and this one is RGB"),
    ({"0.png": (8, 9)}, dict(pairing="side_by_side"), "is of odd width"),
    ({"0.png": (8, 8)}, dict(pairing="suffix"), "has inputs only"),
    ({"A/train/0.png": (8, 8), "B/train/0.png": (8, 8), "A/1.png": (8, 8), "B/1.png": (8, 8)}, {},
     "both in and beside"),
    ({"readme.txt": b"nothing"}, {}, "no images in"),
  ],
)  # fmt: skip
def test_bad_pairs_end_in_one_line(tmp_path, files, options, line):
  files = {k: v if isinstance(v, bytes) else colours(v) for k, v in files.items()}
  assert line in refused(tmp_path, "pairs", files, **options)


def test_bad_labels_end_in_one_line(tmp_path):
  mask = labels(classes=4)
  files = {"image/0.png": colours(), "mask/0.png": mask}
  line = refused(tmp_path, "pairs", files, classes=3)
  assert "mask/0.png" in line and "has the value 3" in line and "data.ignore=3" in line
  gaps = {"image/0.png": colours(), "mask/0.png": labels(classes=2) * 200}
  assert "the values 0, 200, which are not 0 to 200" in refused(tmp_path, "pairs", gaps)


def test_bad_domains_end_in_one_line(tmp_path):
  assert "no images of domain B" in refused(tmp_path, "domains", {"trainA/0.png": colours()})
  files = {"cats/0.png": colours(), "dogs/0.png": colours()}
  assert "cats/0.png" in refused(tmp_path / "c", "domains", files)
  with pytest.raises(core.UserError, match="which is not given"):
    data.load("domains")


def test_label_images_in_colours(tmp_path):
  x, mask = [colours() for _ in range(4)], [labels() for _ in range(4)]
  mask[0][3, 3] = 9
  files = {f"image/{i}.png": v for i, v in enumerate(x)}
  files |= {f"mask/{i}.png": v for i, v in enumerate(mask)}
  path = write(tmp_path, files)
  source = load("pairs", path, painted=True, ignore=9)
  assert source.spec.fields["y"] == core.Field((8, 8, 3), 256, (), True)
  assert source.notes["painted"] and source.notes["counterparts"]
  held = whole(source)
  np.testing.assert_array_equal(held["y"], colour.paint(held["segmentation"]))
  assert (held["y"] == 255).all(-1).sum() == 1
  known = held["segmentation"] < 3
  np.testing.assert_array_equal(colour.classes_of(held["y"], 3)[known], held["segmentation"][known])
  small = load("pairs", path, painted=True, ignore=9, resolution=4, resize="stretch")
  assert set(map(tuple, whole(small)["y"].reshape(-1, 3))) <= {
    (255, 255, 255), *map(tuple, colour.PALETTE[:3].tolist())
  }  # fmt: skip


def test_painting_needs_label_images_and_no_other_counterpart(tmp_path):
  both = {f"{role}/{i}.png": colours() for role in "AB" for i in range(3)}
  with pytest.raises(core.UserError, match="has images y already|no label images"):
    load("pairs", write(tmp_path / "a", both), painted=True)
  many = {f"image/{i}.png": colours() for i in range(3)}
  many |= {f"mask/{i}.png": labels(classes=30) for i in range(3)}
  with pytest.raises(core.UserError, match="21 colours"):
    load("pairs", write(tmp_path / "b", many), painted=True, classes=30)
