"""Patches of images of unequal size. Every pixel says where it is: (image, row, column)."""

import io
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from gen_jax import core, data
from gen_jax.core import UserError
from gen_jax.data import Feed, pipeline

P, B, M = 4, 8, 2
SIZES = [(4, 4), (9, 5), (4, 12), (7, 7), (11, 6)]  # (H, W)
FEED = Feed(batch_size=B)
ROOT = jax.random.key(3)


def image(i, size, first=1):
  rows, columns = np.indices(size)
  return np.stack([np.full(size, first + i), rows, columns], -1).astype(np.uint8)


def labels(i, size):
  """A label of 3 classes for each pixel, by image and place."""
  rows, columns = np.indices(size)
  return ((i + rows + 2 * columns) % 3).astype(np.uint8)


def png(pixels):
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, "png")
  return stream.getvalue()


def write(folder, files):
  for name, pixels in files.items():
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(png(pixels))
  return str(folder)


def load(name, path, **options):
  options = {"validation": 0, "test": 0, "patch": P, **options}
  return data.load(name, path=path, **options)


@pytest.fixture
def folder(tmp_path):
  """Five images in two classes: a has 0 to 2, b 3 and 4."""
  return write(
    tmp_path / "set", {f"{'aaabb'[i]}/{i}.png": image(i, size) for i, size in enumerate(SIZES)}
  )


@pytest.fixture
def masks(tmp_path):
  files = {}
  for i, size in enumerate(SIZES):
    files[f"images/{i}.png"] = image(i, size)
    files[f"masks/{i}.png"] = labels(i, size)
  return write(tmp_path / "pairs", files)


def pipe(source, feed=FEED, **options):
  return data.make_pipeline(source.splits["train"], source.spec, feed, ROOT, **options)


def drawn(source, steps, **options):
  """Batches of some steps, [M, B, ...]."""
  made = pipe(source, microbatches=M, **options)
  assert made.feed is None
  draw = jax.jit(made.draw)
  return [jax.device_get(draw(made.arrays, {}, jnp.int32(step))) for step in steps]


def corners(x):
  """(image, top, left) [n] of the patches x [..., P, P, 3]; each is shown to be a window."""
  x = x.reshape(-1, P, P, 3).astype(int)
  which, top, left = (x[:, 0, 0, c] for c in range(3))
  assert (x[..., 0] == which[:, None, None]).all()  # of one image, and none of padding, which is 0
  assert (x[..., 1] == top[:, None, None] + np.arange(P)[:, None]).all()
  assert (x[..., 2] == left[:, None, None] + np.arange(P)).all()
  return which - 1, top, left


def test_every_patch_is_a_window_of_its_own_image_and_all_windows_come_up(folder):
  source = load("folder", folder)
  assert source.spec == core.Spec.of((P, P, 3), 256, 2, ("a", "b"))
  seen = {i: set() for i in range(len(SIZES))}
  for batch in drawn(source, range(200)):
    assert batch["x"].shape == (M, B, P, P, 3) and batch["x"].dtype == np.uint8
    assert set(batch) == {"x", "label", "index", "mask", "last"}
    which, top, left = corners(batch["x"])
    np.testing.assert_array_equal(which, batch["index"].reshape(-1))
    np.testing.assert_array_equal(batch["label"].reshape(-1), which >= 3)
    for i, *corner in zip(which.tolist(), top.tolist(), left.tolist()):
      seen[i].add(tuple(corner))
  for i, (height, width) in enumerate(SIZES):
    assert seen[i] == {(r, c) for r in range(height - P + 1) for c in range(width - P + 1)}


def test_windows_are_equally_likely(folder):
  batches = drawn(load("folder", folder), range(400))
  which, top, left = (np.concatenate(v) for v in zip(*(corners(b["x"]) for b in batches)))
  mine = which == 3  # 7x7: 16 windows
  count = np.histogram2d(top[mine], left[mine], bins=4, range=[(-0.5, 3.5)] * 2)[0]
  expected = mine.sum() / 16
  chi2 = np.sum((count - expected) ** 2 / expected)
  assert chi2 < 37.7  # the 0.999 quantile with 15 degrees of freedom


def test_positions_are_a_function_of_seed_stage_attempt_and_step(tmp_path):
  source = load("folder", write(tmp_path, {"0.png": image(0, (40, 40))}))  # 1369 windows

  def path(steps, root=ROOT, **options):
    made = data.make_pipeline(
      source.splits["train"], source.spec, Feed(batch_size=1), root, **options
    )
    draw = jax.jit(made.draw)
    x = [draw(made.arrays, {}, jnp.int32(step))["x"] for step in steps]
    return np.stack(corners(np.stack(jax.device_get(x))), 1)

  steps = [*range(10)]
  found = path(steps)
  assert len(np.unique(found, axis=0)) >= 9
  np.testing.assert_array_equal(path(steps[::-1]), found[::-1])
  others = path(steps, stage=1), path(steps, attempt=1), path(steps, root=jax.random.key(4))
  for other in others:
    assert (other != found).any(1).sum() >= 9


def test_the_draw_is_that_of_numpy(masks):
  source = load("pairs", masks)
  made = pipe(source, microbatches=M)
  split = source.splits["train"]
  pictures = [image(i, size) for i, size in enumerate(SIZES)]
  found = [labels(i, size) for i, size in enumerate(SIZES)]
  held = made.arrays
  assert held["x"].shape == (5, 11, 12, 3) and held["segmentation"].shape == (5, 11, 12)
  assert held["x"].nbytes + held["segmentation"].nbytes + held["size"].nbytes == split.held_bytes()
  for step, batch in zip((0, 3), drawn(source, (0, 3)), strict=True):
    key = jax.random.fold_in(core.stream(ROOT, "patch"), step)
    room = np.array(SIZES)[batch["index"]] - P
    corner = np.asarray(jax.random.randint(key, (M, B, 2), 0, room + 1))
    for at in np.ndindex(M, B):
      i, (top, left) = batch["index"][at], corner[at]
      window = np.s_[top : top + P, left : left + P]
      np.testing.assert_array_equal(batch["x"][at], pictures[i][window])
      np.testing.assert_array_equal(batch["segmentation"][at], found[i][window])


@pytest.mark.parametrize("augment", [(), ("flip",)])
def test_aligned_fields_are_cut_by_the_same_window(tmp_path, masks, augment):
  source = load("pairs", masks)
  assert source.spec.fields["segmentation"] == core.Field((P, P), 3, (), True)
  feed = Feed(batch_size=B, augment=augment)
  made = pipe(source, feed, microbatches=M)
  for step in range(20):
    batch = jax.device_get(jax.jit(made.draw)(made.arrays, {}, jnp.int32(step)))
    which, row, column = np.moveaxis(batch["x"].astype(int), -1, 0)
    np.testing.assert_array_equal(batch["segmentation"], (which - 1 + row + 2 * column) % 3)


def test_pairs_side_by_side(tmp_path):
  both = {
    f"{i}.png": np.concatenate([image(i, size), image(i, size, 101)], 1)
    for i, size in enumerate(SIZES)
  }
  source = load("pairs", write(tmp_path, both), pairing="side_by_side")
  for batch in drawn(source, range(5)):
    which, top, left = corners(batch["x"])
    for a, b in zip((which + 100, top, left), corners(batch["y"]), strict=True):
      np.testing.assert_array_equal(a, b)


def test_asked_for_by_position_a_patch_is_the_centre(folder):
  split = load("folder", folder).splits["train"]
  centres = [((h - P) // 2, (w - P) // 2) for h, w in SIZES]
  for examples in (split.arrays(), split.take(np.arange(5))):
    which, top, left = corners(examples["x"])
    np.testing.assert_array_equal(which, range(5))
    np.testing.assert_array_equal(np.stack([top, left], 1), centres)
    np.testing.assert_array_equal(examples["label"], [0, 0, 0, 1, 1])


def test_whole_images_are_uncut(masks):
  split = load("pairs", masks).splits["train"]
  for i, size in enumerate(SIZES):
    example = split.whole(i)
    np.testing.assert_array_equal(example["x"], image(i, size))
    np.testing.assert_array_equal(example["segmentation"], labels(i, size))
  digits = data.load("digits").splits["test"]
  np.testing.assert_array_equal(digits.whole(3)["x"], digits[3]["x"])


def test_a_zip_and_splits_of_its_own(tmp_path):
  with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
    for i, split in enumerate(["train", "test", "train", "val", "train"]):
      archive.writestr(f"{split}/{i}.png", png(image(i, SIZES[i])))
  source = load("folder", str(tmp_path / "set.zip"))
  assert {k: len(v) for k, v in source.splits.items()} == dict(train=3, validation=1, test=1)
  assert pipe(source).arrays["x"].shape == (3, 11, 12, 3)  # the largest of the training split
  for batch in drawn(source, range(10)):
    which, _, _ = corners(batch["x"])
    np.testing.assert_array_equal(which, np.array([0, 2, 4])[batch["index"].reshape(-1)])


def test_captions_of_whole_images_are_left_out(folder, tmp_path, caplog):
  (tmp_path / "set" / "a" / "captions.tsv").write_text("0.png\tred at the left\n")
  source = load("folder", folder)
  assert "caption" not in source.spec.fields and "caption" not in source.splits["train"][0]
  assert "left out" in caplog.text
  assert "caption" in load("folder", folder, patch=0, resolution=8).spec.fields


def test_patches_of_images_brought_to_one_size(folder):
  source = load("folder", folder, resolution=8)
  assert source.spec.shape == (P, P, 3)
  assert pipe(source).arrays["x"].shape == (5, 8, 8, 3)


def test_windows_do_not_depend_on_how_a_batch_lies_over_devices(folder):
  source = load("folder", folder)
  made = pipe(source)
  mesh = jax.make_mesh((len(jax.devices()),), ("data",))
  over = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "data"))
  cut = jax.jit(made.draw, out_shardings=over)(made.arrays, {}, jnp.int32(2))
  np.testing.assert_array_equal(cut["x"], made.draw(made.arrays, {}, jnp.int32(2))["x"])


@pytest.mark.parametrize(
  "options,words",
  [
    (dict(patch=6), ("data.patch=6", "3 of 5 images", "a/0.png (4x4)", "a/1.png (5x9)")),
    (dict(patch=16, resolution=8), ("data.patch=16", "a/0.png (8x8)")),
    (dict(patch=-1), ("data.patch must be",)),
    (dict(only=(0,)), ("data.patch and data.only",)),
    (dict(binarize="static"), ("data.patch and data.binarize",)),
    (dict(other="digits"), ("data.patch and data.other",)),
    (dict(patch=0), ("5 sizes", "data.resolution")),
  ],
)
def test_refusals(folder, options, words):
  with pytest.raises(UserError) as error:
    load("folder", folder, **options)
  assert "\n" not in str(error.value)
  for word in words:
    assert word in str(error.value)


def test_small_pairs_and_other_sources_are_refused(masks):
  with pytest.raises(UserError, match=r"data.patch=5: 2 of 5 images .* images/0.png \(4x4\)"):
    load("pairs", masks, patch=5)
  with pytest.raises(UserError, match="data.patch is read by folder, pairs, not by digits"):
    data.load("digits", patch=4)


def test_what_cannot_be_held_is_refused(folder, monkeypatch):
  source = load("folder", folder)
  with pytest.raises(
    UserError, match="data.resident=no: patches are drawn .* set data.resident=yes"
  ) as no:
    pipe(source, Feed(batch_size=B, resident="no"))
  assert "\n" not in str(no.value)
  monkeypatch.setattr(pipeline, "RESIDENT_BYTES", 5 * 11 * 12 * 3)  # the label and size are more
  with pytest.raises(UserError, match="data.resident=auto: patches are drawn .* MiB"):
    pipe(source)
  assert pipe(source, Feed(batch_size=B, resident="yes")).arrays
