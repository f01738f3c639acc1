import io
import os
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from gen_jax import core, data
from gen_jax.data import images, vocabulary

RNG = np.random.default_rng(0)


def encode(pixels, kind="PNG", **options):
  image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
  stream = io.BytesIO()
  image.save(stream, kind, **options)
  return stream.getvalue()


def random_image(height=6, width=5, channels=3):
  return RNG.integers(256, size=(height, width, channels), dtype=np.uint8)


PNG = encode(random_image())


@pytest.fixture(params=["folder", "zip"])
def make(request, tmp_path):
  """Writes {name: bytes} as a folder or as a zip archive, and returns its path."""

  def write(files):
    if request.param == "zip":
      with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
          archive.writestr(name, content)
      return str(tmp_path / "set.zip")
    for name, content in files.items():
      target = tmp_path / "set" / name
      target.parent.mkdir(parents=True, exist_ok=True)
      target.write_bytes(content)
    return str(tmp_path / "set")

  return write


def load(path, **options):
  return data.load("folder", path=path, **options)


def everything(loaded):
  parts = [split.arrays() for split in loaded.splits.values()]
  return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def one(content, **options):
  """The pixels of a set of this one image."""
  return images.fit(
    images.decode(content), **{"channels": 3, "resolution": 0, "resize": "crop", **options}
  )


def one_line(error, *words):
  assert "\n" not in str(error.value)
  for word in words:
    assert word in str(error.value)


class TestDecoding:
  def test_colour(self):
    pixels = random_image()
    for kind in ("PNG", "BMP", "PPM"):
      np.testing.assert_array_equal(one(encode(pixels, kind)), pixels)
    np.testing.assert_array_equal(one(encode(pixels, "WEBP", lossless=True)), pixels)

  def test_jpeg(self):
    smooth = np.broadcast_to(np.arange(0, 240, 15, dtype=np.uint8)[:, None, None], (16, 16, 3))
    assert abs(one(encode(smooth, "JPEG", quality=95)).astype(int) - smooth).max() <= 4

  def test_grey_is_repeated_and_colour_becomes_luma(self):
    grey = random_image(channels=1)
    for kind in ("PNG", "PPM", "BMP"):
      content = encode(grey[..., 0], kind)
      np.testing.assert_array_equal(one(content, channels=1), grey)
      np.testing.assert_array_equal(one(content), grey.repeat(3, -1))
    pixels = random_image()
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    assert abs(one(encode(pixels), channels=1)[..., 0] - luma).max() <= 1

  def test_sixteen_bits(self):
    grey = random_image(channels=1)
    wide = grey[..., 0].astype(np.uint16) * 257
    np.testing.assert_array_equal(one(encode(wide), channels=1), grey)
    portable = b"P5 5 6 65535\n" + wide.astype(">u2").tobytes()
    np.testing.assert_array_equal(one(portable, channels=1), grey)

  def test_bilevel(self):
    bits = random_image(channels=1) > 127
    content = encode(Image.fromarray(bits[..., 0]).convert("1"))
    np.testing.assert_array_equal(one(content, channels=1), bits * np.uint8(255))

  def test_palette_and_gif_frames(self):
    pixels = random_image(4, 4)
    palette = Image.fromarray(pixels).quantize(256)
    assert palette.mode == "P"
    want = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(one(encode(palette)), want)
    other = Image.fromarray(random_image(4, 4)).quantize(256)
    film = encode(palette, "GIF", save_all=True, append_images=[other])
    np.testing.assert_array_equal(one(film), want)

  @pytest.mark.parametrize("channels, mode", [(3, "RGBA"), (1, "LA")])
  def test_transparency_is_laid_on_white(self, channels, mode):
    alpha = np.full((6, 5, 1), 255, np.uint8)
    alpha[:3] = 0
    alpha[3] = 51
    pixels = random_image(channels=channels)
    content = encode(Image.fromarray(np.concatenate([pixels, alpha], -1), mode))
    out = one(content, channels=channels)
    assert (out[:3] == 255).all()
    np.testing.assert_array_equal(out[4:], pixels[4:])
    assert abs(out[3] - (255 + (pixels[3] - 255.0) * 0.2)).max() <= 1
    assert images.decode(content).mode == ("L" if channels == 1 else "RGB")

  def test_transparent_colour(self):
    pixels = random_image()
    pixels[0, 0] = (1, 2, 3)
    out = one(encode(pixels, transparency=(1, 2, 3)))
    assert (out[0, 0] == 255).all()
    np.testing.assert_array_equal(out[1:], pixels[1:])

  def test_camera_orientation(self):
    pixels = random_image()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to see it upright
    np.testing.assert_array_equal(one(encode(pixels, exif=exif)), np.rot90(pixels, -1))

  @pytest.mark.parametrize("keep", [0, 8, 40, len(PNG) // 2, len(PNG) - 30])
  def test_cut_short(self, keep):
    with pytest.raises(images.BadImage):
      images.decode(PNG[:keep])

  def test_programs_are_no_images(self):
    with pytest.raises(images.BadImage, match="not an image"):
      images.decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")

  @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
  def test_bomb_is_refused_before_it_is_unpacked(self):
    def chunk(kind, body):
      return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    side = 12_000
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side + 1) * side, 9)
    bomb = (
      b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    del rows
    assert side * side > images.MAX_PIXELS
    tracemalloc.start()
    with pytest.raises(images.BadImage, match="pixels"):
      images.decode(bomb)
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


class TestResizing:
  def test_crop_takes_the_middle(self):
    pixels = random_image(8, 12)
    content = encode(pixels)
    np.testing.assert_array_equal(one(content, resolution=8), pixels[:, 2:10])

  def test_pad_keeps_everything(self):
    pixels = random_image(4, 8)
    out = one(encode(pixels), resolution=8, resize="pad")
    np.testing.assert_array_equal(out[2:6], pixels)
    assert not out[:2].any() and not out[6:].any()

  @pytest.mark.parametrize("resize", images.RESIZE)
  @pytest.mark.parametrize("shape", [(1, 300), (300, 1), (7, 7), (33, 64)])
  def test_shape(self, resize, shape):
    out = one(encode(np.full((*shape, 3), 200, np.uint8)), resolution=16, resize=resize)
    assert out.shape == (16, 16, 3)
    assert out.max() == 200
    assert resize == "pad" or out.min() == 200

  def test_shrinking_does_not_alias(self):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    out = one(encode(stripes), resolution=16)
    assert abs(out[:, 2:-2].astype(int) - 127).max() < 12

  def test_stretch_maps_a_ramp_to_a_ramp(self):
    ramp = np.broadcast_to(np.arange(0, 240, 5, dtype=np.uint8)[None, :, None], (10, 48, 3))
    out = one(encode(ramp), resolution=24, resize="stretch")
    assert abs(out[:, 2:-2] - np.linspace(2.5, 232.5, 24)[None, 2:-2, None]).max() <= 1


class TestLayouts:
  def test_split_and_class(self, make):
    files = {
      f"{split}/{category}/{i}.png": encode(random_image())
      for split, n in (("train", 10), ("val", 2), ("test", 3))
      for category in ("cat", "dog")
      for i in range(n)
    }
    loaded = load(make(files))
    assert {k: len(v) for k, v in loaded.splits.items()} == {
      "train": 20, "validation": 4, "test": 6,
    }  # fmt: skip
    assert loaded.spec == core.Spec.of((6, 5, 3), 256, 2, ("cat", "dog"))
    want = [f for f in sorted(files) if f.startswith("test/")]
    got = loaded.splits["test"].arrays()
    for i, name in enumerate(want):
      np.testing.assert_array_equal(got["x"][i], one(files[name]))
      assert got["label"][i] == ["cat", "dog"].index(name.split("/")[1])
      np.testing.assert_array_equal(loaded.splits["test"][i]["x"], got["x"][i])
    assert got["label"].dtype == np.int32

  def test_classes_alone_are_split_by_seed(self, make):
    path = make({f"{c}/{i}.png": encode(random_image()) for c in "ab" for i in range(50)})
    loaded = load(path)
    assert {k: len(v) for k, v in loaded.splits.items()} == {
      "train": 72, "validation": 8, "test": 20,
    }  # fmt: skip
    assert len(np.unique(everything(loaded)["x"].reshape(100, -1), axis=0)) == 100
    again, other = load(path), load(path, split_seed=1)
    same = [
      np.array_equal(loaded.splits["test"].arrays()["x"], s.splits["test"].arrays()["x"])
      for s in (again, other)
    ]
    assert same == [True, False]

  def test_flat(self, make):
    files = {f"{i}.png": encode(random_image()) for i in range(10)}
    loaded = load(make(files), validation=0, test=0)
    assert loaded.spec.classes == 0 and list(loaded.splits) == ["train"]
    out = loaded.splits["train"].arrays()
    assert list(out) == ["x"]
    np.testing.assert_array_equal(out["x"], [one(files[name]) for name in sorted(files)])

  def test_splits_without_classes(self, make):
    loaded = load(make({"train/a.png": PNG, "train/b.png": PNG, "test/a.png": PNG}))
    assert len(loaded.splits["test"]) == 1 and loaded.spec.classes == 0

  def test_folder_around_everything(self, make):
    loaded = load(make({"set/train/cat/a.png": PNG, "set/test/cat/a.png": PNG}))
    assert len(loaded.splits["test"]) == 1 and loaded.spec.fields["label"].names == ("cat",)

  def test_other_files_are_ignored(self, make):
    junk = {
      "a/.DS_Store": b"x",
      "__MACOSX/a/._1.png": b"x",
      ".git/1.png": b"x",
      "a/notes.txt": b"x",
    }
    loaded = load(make({"a/1.png": PNG, "b/1.png": PNG, **junk}), test=0, validation=0)
    assert loaded.spec.fields["label"].names == ("a", "b") and loaded.notes["skipped"] == 0

  @pytest.mark.parametrize(
    "names, words",
    [
      (["train/a.png", "b.png"], "b.png"),
      (["train/x/a.png", "extra/x/b.png"], "extra/x/b.png"),
      (["a/1.png", "2.png"], "layout"),
      (["a/b/c/1.png", "d/b/c/2.png"], "a/b/c/1.png"),
      (["w/a/b/1.png", "w/c/b/2.png"], "w/a/b/1.png in"),
      (["w/a/b/1.png", "w/c/b/2.png"], "and lies too deep"),
      (["test/a.png"], "no training examples"),
    ],
  )
  def test_unclear_layouts_are_refused(self, make, names, words):
    with pytest.raises(core.UserError) as error:
      load(make(dict.fromkeys(names, PNG)))
    one_line(error, words)

  def test_loop_of_links_ends(self, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(PNG)
    os.symlink(tmp_path, tmp_path / "a" / "loop")
    with pytest.raises(core.UserError, match="a/loop links to a folder that it is in.* layout"):
      load(str(tmp_path))


class TestShapesOfImages:
  def test_sizes_must_agree_or_be_set(self, make):
    path = make({"a.png": encode(random_image(6, 5)), "b.png": encode(random_image(5, 6))})
    with pytest.raises(core.UserError) as error:
      load(path)
    one_line(error, "2 sizes", "5x6", "data.resolution")
    assert load(path, resolution=4, test=0).splits["train"].arrays()["x"].shape == (2, 4, 4, 3)

  def test_most_images_decide_the_channels(self, make):
    grey = encode(random_image(channels=1)[..., 0])
    path = make({"a.png": grey, "b.png": grey, "c.png": PNG})
    assert load(path).spec.shape == (6, 5, 1)
    assert load(path, channels=3).spec.shape == (6, 5, 3)
    assert everything(load(path))["x"].shape == (3, 6, 5, 1)


class TestBrokenFiles:
  def files(self):
    good = {f"{i}.png": encode(random_image()) for i in range(8)}
    return {**good, "cut.png": PNG[:60], "empty.jpg": b"", "text.png": b"hello"}

  def test_are_named_and_left_out(self, make, caplog):
    loaded = load(make(self.files()))
    assert loaded.notes["skipped"] == 3
    assert len(everything(loaded)["x"]) == 8
    (line,) = [r.getMessage() for r in caplog.records if "cannot be read" in r.getMessage()]
    assert "3 of 11" in line and "\n" not in line
    for name in ("cut.png", "empty.jpg", "text.png"):
      assert name in line

  def test_are_refused_when_strict(self, make):
    with pytest.raises(core.UserError) as error:
      load(make(self.files()), strict=True)
    one_line(error, "cut.png", "3 of 11")

  def test_nothing_but_broken_files(self, make):
    with pytest.raises(core.UserError) as error:
      load(make({f"{i}.png": b"x" for i in range(9)}))
    one_line(error, "9 of 9", "4 more")

  def test_no_images(self, make):
    with pytest.raises(core.UserError) as error:
      load(make({"notes.txt": b"x"}))
    one_line(error, "no images", ".png")

  def test_no_such_path(self, tmp_path):
    with pytest.raises(core.UserError, match="no such"):
      load(str(tmp_path / "absent"))

  def test_not_an_archive(self, tmp_path):
    (tmp_path / "set.zip").write_bytes(b"hello")
    with pytest.raises(core.UserError, match="zip"):
      load(str(tmp_path / "set.zip"))

  def test_a_file_that_is_too_large(self, make, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 10_000)
    loaded = load(make({"a.png": PNG, "b.png": PNG, "zeros.png": bytes(10_001)}))
    assert loaded.notes["skipped"] == 1

  def test_damaged_entry(self, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("a.png", PNG)
      archive.writestr("b.png", PNG)
    content = bytearray(path.read_bytes())
    content[content.find(PNG) + len(PNG) // 2] ^= 255
    path.write_bytes(content)
    assert load(str(path)).notes["skipped"] == 1

  def test_entry_that_lies_about_its_size(self, tmp_path):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
      archive.writestr("a.png", PNG)
      archive.writestr("zeros.png", bytes(5_000_000))
    size = struct.pack("<I", 5_000_000)
    path.write_bytes(path.read_bytes().replace(size, struct.pack("<I", 100)))
    tracemalloc.start()
    assert load(str(path)).notes["skipped"] == 1
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()

  @pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
  def test_methods_that_unpack_without_bound(self, tmp_path, method):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("a.png", PNG)
      archive.writestr("zeros.png", bytes(5_000_000), method)
    tracemalloc.start()
    assert load(str(path)).notes["skipped"] == 1
    assert tracemalloc.get_traced_memory()[1] < 2e6
    tracemalloc.stop()

  @pytest.mark.parametrize(
    "name", ["../x.png", "/etc/x.png", "a/../../x.png", "C:/x.png", "..\\x.png"]
  )
  def test_entries_that_point_outside(self, tmp_path, name):
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as archive:
      archive.writestr("a.png", PNG)
      archive.writestr(name, PNG)
    with pytest.raises(core.UserError, match="points outside"):
      load(str(path))
    assert os.listdir(tmp_path) == ["set.zip"]


class TestCaptions:
  def test_become_tokens(self, make):
    pictures = {f"{i}.png": encode(random_image()) for i in range(3)}
    lines = "0.png\tA red cat\r\n1.png\ta red dog, asleep\n\n2.png\tred\n"
    loaded = load(make({**pictures, "captions.tsv": lines.encode()}), test=0, validation=0)
    words = vocabulary.Vocabulary(loaded.spec.fields["caption"].names)
    tokens = loaded.splits["train"].arrays()["caption"]
    assert tokens.dtype == np.int32
    assert tokens.shape == (3, *loaded.spec.fields["caption"].shape) == (3, 7)
    assert [words.decode(row) for row in tokens] == ["a red cat", "a red dog , asleep", "red"]
    assert len(words) == loaded.spec.fields["caption"].levels
    assert words.words[:6] == (*vocabulary.SPECIAL, "red", "a")

  def test_are_found_in_each_split_and_words_come_from_training(self, make):
    loaded = load(
      make({
        "train/a.png": PNG, "train/captions.tsv": b"a.png\tone two",
        "test/a.png": PNG, "test/captions.tsv": b"a.png\tone three four five",
      })
    )  # fmt: skip
    words = vocabulary.Vocabulary(loaded.spec.fields["caption"].names)
    assert words.decode(loaded.splits["test"][0]["caption"]) == "one <unk>"
    assert "three" not in words.words

  def test_missing(self, make):
    path = make({"a.png": PNG, "b.png": PNG, "captions.tsv": b"a.png\tone"})
    assert load(path).notes["uncaptioned"] == 1
    with pytest.raises(core.UserError) as error:
      load(path, strict=True)
    one_line(error, "b.png", "no caption")

  @pytest.mark.parametrize("content, words", [(b"a.png one", "line 1"), (b"a.png\t\xff", "utf-8")])
  def test_malformed(self, make, content, words):
    with pytest.raises(core.UserError) as error:
      load(make({"a.png": PNG, "captions.tsv": content}))
    one_line(error, "captions.tsv", words)
