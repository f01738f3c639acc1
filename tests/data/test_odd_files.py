"""Folders and archives as people have them: what is not read, gone or odd is said in one line."""

import contextlib
import io
import json
import os
import re
import threading
import time
import unicodedata
import zipfile
import zlib

import jax
import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gen_jax import core, data
from gen_jax.data import files as files_lib
from gen_jax.data import gallery, images

RNG = np.random.default_rng(0)
SIZE = (6, 6)


def encode(kind="PNG", seed=None, **options):
  rng = RNG if seed is None else np.random.default_rng(seed)
  stream = io.BytesIO()
  Image.fromarray(rng.integers(256, size=(*SIZE, 3), dtype=np.uint8)).save(stream, kind, **options)
  return stream.getvalue()


PNG, TIFF, JPEG = encode(), encode("TIFF"), encode("JPEG")
AVIF = b"\0\0\0\x20ftypavif\0\0\0\0avifmif1miafMA1B" + bytes(64)
SET = {f"{i}.png": encode() for i in range(6)}


@pytest.fixture(params=["folder", "url", "remote", "zip"])
def make(request, tmp_path, monkeypatch):
  """Writes {name: bytes} and returns its path: of a folder, of a zip archive, or a URL, whose files
  are then read as those of an object store are for "remote"."""

  def write(files):
    if request.param == "zip":
      with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
          archive.writestr(name, content)
      return str(tmp_path / "set.zip")
    write_folder(tmp_path / "set", files)
    if request.param == "remote":
      monkeypatch.setattr(files_lib.remote, "is_remote", lambda path: True)
    return f"{'' if request.param == 'folder' else 'file://'}{tmp_path}/set"

  return write


def write_folder(root, files):
  for name, content in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)
  return str(root)


def load(path, name="folder", **options):
  return data.load(name, path=str(path), **{"validation": 0.0, "test": 0.0, **options})


def refused(path, name="folder", **options):
  with pytest.raises(core.UserError) as error:
    load(path, name, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


def said(caplog, word):
  lines = [r.getMessage() for r in caplog.records if word in r.getMessage()]
  assert len(lines) == 1 and "\n" not in lines[0], lines
  return lines[0]


class TestOtherFormats:
  FILES = {
    **SET, "6.avif": AVIF, "7.heic": b"x", "scan8": PNG, "9.jpg_large": JPEG, "10.JXL": b"x",
    "README": b"of these images", "notes.txt": b"", "a.json.bak": b"{}",
  }  # fmt: skip

  def test_are_counted_and_named(self, make, caplog):
    source = load(make(self.FILES))
    assert source.notes["unread"] == 5 and len(source.splits["train"]) == 6
    line = said(caplog, "are not read")
    for word in ("5 files", "1 .avif", "1 .heic", "1 without an ending", "1 .jpg_large", "scan8"):
      assert word in line
    assert "README" not in line and "notes" not in line

  def test_are_refused_when_strict(self, make):
    assert "1 .avif" in refused(make(self.FILES), strict=True)

  def test_are_named_where_nothing_else_is(self, make):
    line = refused(make({"a.heic": b"x", "b.heic": b"x"}))
    assert "no images in" in line and "2 .heic" in line

  @pytest.mark.parametrize("name", ["pairs", "domains"])
  def test_in_pairs_and_domains(self, make, name, caplog):
    files = {f"{role}/{i}.png": encode() for role in "AB" for i in range(3)}
    path = make({**files, "A/3.avif": AVIF, "B/3.avif": AVIF})
    assert len(load(path, name).splits["train"]) == 3
    assert "2 .avif" in said(caplog, "are not read")
    assert "2 .avif" in refused(path, name, strict=True)

  def test_of_inputs(self, tmp_path, caplog):
    path = write_folder(tmp_path, {"a.png": PNG, "a.jpg": JPEG, "b.heic": b"x", "in/c.png": PNG})
    inputs = data.read_input(path, core.Field((*SIZE, 3), 256))
    assert inputs.names == ("a.jpg", "a.png") and "1 .heic" in said(caplog, "are not read")

  @pytest.mark.parametrize("ending", [".tif", ".TIFF", ".jfif", ".jpe"])
  def test_tiff_and_names_of_jpeg_are_read(self, make, ending):
    content = TIFF if "t" in ending.lower() else JPEG
    source = load(make({**SET, f"z{ending}": content}), strict=True)
    want = images.fit(images.decode(content), 3, 0, "crop")
    np.testing.assert_array_equal(source.splits["train"][6]["x"], want)

  def test_tiff_in_any_packing(self):
    pixels = RNG.integers(256, size=(*SIZE, 3), dtype=np.uint8)
    for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
      stream = io.BytesIO()
      Image.fromarray(pixels).save(stream, "TIFF", compression=packing)
      np.testing.assert_array_equal(
        images.fit(images.decode(stream.getvalue()), 3, 0, "crop"), pixels
      )

  @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
  def test_a_tiff_that_states_too_much_is_refused(self):
    # Tags 256 and 257 of the directory are the width and the height, as 16 or 32 bits.
    field = rb"([\x00\x01]\x01[\x03\x04]\x00\x01\x00\x00\x00)\x06\x00\x00\x00"
    content, found = re.subn(field, rb"\g<1>" + (10_000).to_bytes(4, "little"), TIFF)
    assert found == 2
    with pytest.raises(images.BadImage, match="10000 x 10000 is more"):
      images.decode(content)

  @pytest.mark.parametrize("name", ["metadata.jsonl", "labels.csv", "captions.txt", "3.txt"])
  def test_tables_that_are_not_read_are_said(self, make, name, caplog):
    load(make({**SET, name: b"{}"}))
    assert name in said(caplog, "captions.tsv")


class TestSplits:
  @pytest.mark.parametrize(
    "train, test",
    [("Train", "Test"), ("TRAIN", "TEST"), ("training", "testing"), ("train", "TesT")],
  )
  @pytest.mark.parametrize("below", ["", "cat/"])
  def test_in_whatever_letters(self, make, train, test, below):
    files = {f"{train}/{below}{i}.png": PNG for i in range(4)}
    source = load(make({**files, f"{test}/{below}0.png": PNG}))
    assert {k: len(v) for k, v in source.splits.items()} == {"train": 4, "test": 1}
    assert source.spec.classes == (1 if below else 0)

  @pytest.mark.parametrize(
    "names",
    [
      ("trainA", "trainB", "testA", "testB"), ("train_images", "test_images"), ("trainA", "trainB"),
      ("TrainImages", "ValImages"), ("train2017", "val2017"), ("my-train", "my-test"),
      ("images-TRAIN", "images-DEV"), ("train_set", "eval_set"), ("Train", "train"),
      ("val", "validation", "train"),
    ],
  )  # fmt: skip
  def test_what_seems_one_is_no_class(self, make, names):
    line = refused(make({f"{name}/{i}.png": PNG for name in names for i in range(3)}))
    assert names[0] in line and "split" in line

  @pytest.mark.parametrize(
    "names",
    [("train_station", "airport"), ("contest", "latest"), ("a", "b"), ("trainer", "tester")],
  )
  def test_classes_are(self, make, names):
    source = load(make({f"{name}/{i}.png": PNG for name in names for i in range(3)}))
    assert source.spec.fields["label"].names == tuple(sorted(names))

  @pytest.mark.parametrize("name, roles", [("pairs", ("A", "B")), ("domains", ("A", "B"))])
  def test_of_pairs_and_domains(self, make, name, roles):
    sizes = {"Train": 3, "VAL": 2, "Testing": 1}
    files = {
      f"{split}/{role}/{i}.png": PNG
      for split, n in sizes.items()
      for role in roles
      for i in range(n)
    }
    splits = load(make(files), name).splits
    assert [len(splits[k]) for k in ("train", "validation", "test")] == [3, 2, 1]

  def test_of_domains_in_one_word(self, make):
    names = ("TrainA", "TrainB", "valid-a", "valid-b", "testing_A", "testing_B")
    splits = load(
      make({f"{name}/{i}.png": PNG for name in names for i in range(2)}), "domains"
    ).splits
    assert {k: len(v) for k, v in splits.items()} == {"train": 2, "validation": 2, "test": 2}

  def test_that_one_domain_lacks_are_said(self, make, caplog):
    names = ("trainA", "trainB", "testA")
    path = make({f"{name}/{i}.png": PNG for name in names for i in range(4)})
    splits = data.load("domains", path=path, validation=0.0, test=0.0).splits
    assert list(splits) == ["train"] and "no test split" in said(caplog, "one of the two domains")

  def test_of_text_and_tables(self, tmp_path):
    lines = b"a b\nb a\nc\n"
    text = write_folder(tmp_path / "a", {"Train.txt": lines, "TEST.txt": lines})
    assert {k: len(v) for k, v in load(text, "text").splits.items()} == {"train": 3, "test": 3}
    rows = b"u,v\n1,x\n2,y\n"
    tables = write_folder(tmp_path / "b", {"Train.csv": rows, "Dev.csv": rows})
    splits = load(tables, "table", columns=("u:real", "v:category")).splits
    assert {k: len(v) for k, v in splits.items()} == {"train": 2, "validation": 2}

  def test_in_the_names_of_files_are_said(self, make, caplog):
    load(make({f"{split}_{i}.png": PNG for split in ("train", "test") for i in range(3)}))
    assert "test_0.png" in said(caplog, "seem to state splits")

  def test_wrapping_folders_around_classes(self, make):
    source = load(make({f"archive/set/pets/{c}/0.png": PNG for c in ("cat", "dog")}))
    assert source.spec.fields["label"].names == ("cat", "dog")

  def test_wrapping_folders_around_nothing_that_is_named(self, make):
    line = refused(make({"a/b/c/0.png": PNG, "a/b/c/1.png": PNG}))
    assert "does not fit the layout, and lies too deep" in line

  def test_wrapping_folders(self, make):
    files = {
      f"archive/set/pets/{s}/{c}/0.png": PNG for s in ("train", "test") for c in ("cat", "dog")
    }
    source = load(make(files))
    assert source.spec.fields["label"].names == ("cat", "dog")
    assert {k: len(v) for k, v in source.splits.items()} == {"train": 2, "test": 2}


class TestUntrained:
  def test_a_class_of_the_test_split_only(self, make, caplog):
    load(make({"train/cat/0.png": PNG, "train/dog/0.png": PNG, "test/okapi/0.png": PNG}))
    assert "1 of 3 classes" in said(caplog, "okapi")

  def test_arrays_and_tables(self, tmp_path, caplog):
    arrays = {"x": np.zeros((4, 2)), "label": np.array([0, 1, 3, 0])}
    data.from_arrays({**arrays, "names": ["ape", "bee", "cow", "dog"]}, test=0, validation=0)
    assert "1 of 4 classes" in said(caplog, "cow")
    rows = {"train.csv": b"u,v\n1,x\n2,y\n", "test.csv": b"u,v\n1,zebra\n"}
    load(write_folder(tmp_path, rows), "table", columns=("u:real", "v:label"))
    assert "1 of 3 classes of label of" in said(caplog, "zebra")

  def test_nothing_is_said_of_whole_sets(self, make, caplog):
    load(make({"train/cat/0.png": PNG, "train/dog/0.png": PNG, "test/cat/0.png": PNG}))
    assert not [r for r in caplog.records if "no training example" in r.getMessage()]


class TestRunFolders:
  RECORD = json.dumps({"config": {}, "spec": {}, "fingerprint": "0"}).encode()

  def test_are_not_read_as_data(self, make, caplog):
    run = {"runs/x/config.json": self.RECORD, "runs/x/samples/8.png": PNG, "runs/x/curves.png": PNG}
    lost = {"old/checkpoints/4/_CHECKPOINT_METADATA": b"{}", "old/samples/4.png": PNG}
    plain = load(make(SET))
    source = load(make({**SET, **run, **lost}))
    assert len(source.splits["train"]) == 6 and source.spec.classes == 0
    assert source.digest == plain.digest
    assert "old in" in said(caplog, "old in") and "is the folder of a run" in said(caplog, "runs/x")

  def test_a_config_of_another_kind_is_no_run(self, make):
    for content in (b"{}", b"[" * 10**5, b"\xff", b"[]"):
      assert load(make({"a/config.json": content, "a/0.png": PNG})).spec.classes == 1

  def test_the_run_folder_itself_is_refused(self, make):
    assert "is the folder of a run" in refused(make({**SET, "config.json": self.RECORD}))


class TestLinksAndDevices:
  def test_links_to_nothing_and_to_themselves_are_named(self, tmp_path, caplog):
    write_folder(tmp_path, {f"cat/{i}.png": PNG for i in range(3)})
    os.symlink("/no/such/file.png", tmp_path / "cat" / "gone.png")
    os.symlink("loop.png", tmp_path / "cat" / "loop.png")
    os.symlink("/no/such/folder", tmp_path / "dog")
    source = load(tmp_path)
    assert source.notes["skipped"] == 2 and source.notes["unread"] == 1
    line = said(caplog, "cannot be read")
    assert "gone.png (No such file" in line and "loop.png (Too many levels" in line
    assert "dog" in said(caplog, "cannot be opened")
    assert "dog" in refused(tmp_path, strict=True)
    (tmp_path / "dog").unlink()
    assert "2 of 5" in refused(tmp_path, strict=True)

  def test_captions_that_are_not_there(self, tmp_path):
    path = write_folder(tmp_path, SET)
    os.symlink("/no/such/file", tmp_path / "captions.tsv")
    assert "cannot read captions.tsv" in refused(path)

  def test_links_that_lead_somewhere_are_read(self, tmp_path):
    write_folder(tmp_path / "far", SET)
    write_folder(tmp_path / "near", {"cat/0.png": PNG})
    os.symlink(tmp_path / "far", tmp_path / "near" / "dog")
    os.symlink(tmp_path / "far" / "1.png", tmp_path / "near" / "cat" / "1.png")
    assert len(load(tmp_path / "near", strict=True).splits["train"]) == 8

  @pytest.mark.parametrize("start", ["", "file://"])
  def test_pipes_in_a_folder_do_not_hang(self, tmp_path, start, caplog):
    path = write_folder(tmp_path / "set", SET)
    os.mkfifo(tmp_path / "set" / "x.png")
    assert load(start + path).notes["skipped"] == 1
    assert "x.png (not a regular file)" in said(caplog, "cannot be read")
    os.mkfifo(tmp_path / "set" / "captions.tsv")
    assert "captions.tsv of" in refused(start + path)

  @pytest.mark.parametrize("start", ["", "file://"])
  @pytest.mark.parametrize(
    "name, options",
    [("folder", {}), ("pairs", {}), ("domains", {}), ("arrays", {}), ("text", {}),
     ("table", dict(columns=("a:real",)))],
  )  # fmt: skip
  def test_pipes_and_devices_are_no_data(self, tmp_path, name, options, start):
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
      assert "regular file" in refused(start + path, name, **options)

  def test_pipes_and_devices_are_no_input(self, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
      with pytest.raises(core.UserError, match="--input=.* cannot be read: not a regular file"):
        data.read_input(path, core.Field((*SIZE, 3), 256))

  def test_links_in_a_zip_are_not_followed(self, tmp_path, caplog):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
      for name, content in SET.items():
        archive.writestr(name, content)
      link = zipfile.ZipInfo("link.png")
      link.external_attr = 0o120777 << 16
      archive.writestr(link, "/etc/passwd")
    assert load(tmp_path / "set.zip").notes["skipped"] == 1
    assert "link.png (not a regular file)" in said(caplog, "cannot be read")


class TestZipNames:
  def test_dots_and_double_slashes_are_read(self, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
      for name in ("./cat/a.png", "cat//b.png", "./dog/c.png", ".hidden/d.png"):
        archive.writestr(name, PNG)
    source = load(tmp_path / "set.zip")
    assert len(source.splits["train"]) == 3 and source.spec.classes == 2

  @pytest.mark.filterwarnings("ignore:Duplicate name")
  @pytest.mark.parametrize("other", ["a.png", "./a.png"])
  def test_a_name_that_stands_twice_is_refused(self, tmp_path, other):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
      archive.writestr("a.png", PNG)
      archive.writestr(other, JPEG)
    assert "twice" in refused(tmp_path / "set.zip")


class TestNamesInTwoForms:
  NAMES = [unicodedata.normalize("NFC", name) for name in ("café", "garçon", "naïve")]

  def test_captions_and_classes(self, make):
    nfd = lambda name: unicodedata.normalize("NFD", name)
    captions = "".join(f"{name}/0.png\ta {name}\n" for name in self.NAMES).encode()
    files = {f"{nfd(name)}/0.png": PNG for name in self.NAMES}
    source = load(make({**files, "captions.tsv": captions}), strict=True)
    assert source.spec.fields["label"].names == tuple(sorted(self.NAMES))
    assert source.notes["uncaptioned"] == 0

  def test_words_and_cells(self, tmp_path):
    forms = [unicodedata.normalize(form, "café\n") for form in ("NFC", "NFD")]
    path = write_folder(tmp_path / "a", {"train.txt": "".join(forms).encode()})
    for tokens in ("words", "spaces"):
      assert load(path, "text", tokens=tokens).spec.x.names[4:] == ("café",)
    assert data.split_words(forms[1]) == ["café"]
    rows = "".join(f"1,{form}" for form in forms)
    path = write_folder(tmp_path / "b", {"train.csv": rows.encode()})
    assert load(path, "table", columns=("u:real", "v:label")).spec.fields["label"].names == (
      "café",
    )

  def test_partners(self, make):
    files = {f"A/{name}.png": PNG for name in self.NAMES}
    files |= {f"B/{unicodedata.normalize('NFD', name)}.png": PNG for name in self.NAMES}
    assert len(load(make(files), "pairs").splits["train"]) == 3

  def test_both_forms_at_once_are_refused(self, make):
    files = {unicodedata.normalize(form, "café.png"): PNG for form in ("NFC", "NFD")}
    assert "different forms of Unicode" in refused(make(files))


class TestCaptions:
  @pytest.mark.parametrize(
    "lines, word",
    [
      (b"7.png\tone\n8.png\ttwo\n", "are of files that are not there"),
      (b"0.png\tone\n0.png\ttwo\n", "line 2: 0.png has another caption"),
    ],
  )
  def test_refused(self, make, lines, word):
    assert word in refused(make({**SET, "captions.tsv": lines}))

  def test_of_files_that_are_not_there(self, make, caplog):
    lines = "".join(f"{i}.png\tword\n" for i in range(7)).encode()
    path = make({**SET, "captions.tsv": lines})
    assert load(path).notes["uncaptioned"] == 0
    assert "1 captions of" in said(caplog, "files that are not there")
    assert "6.png" in refused(path, strict=True)

  def test_that_are_too_long(self, make, caplog):
    lines = "".join(f"./{i}.png\t{'word ' * (60 + i)}\n" for i in range(6)).encode()
    source = load(make({**SET, "captions.tsv": lines}))
    assert source.spec.fields["caption"].shape == (64,)
    assert "3 captions of" in said(caplog, "cut after 62 words")


def chunk(kind, body):
  return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


class TestLongText:
  TEXT = b"x" * 1_500_000
  PACKED = zlib.compress(TEXT)

  @pytest.mark.parametrize(
    "kind, body",
    [
      (b"zTXt", b"key\0\0" + PACKED),
      (b"iTXt", b"key\0\1\0en\0k\0" + PACKED),
      (b"tEXt", b"k\0" + TEXT),
      (b"iCCP", b"name\0\0" + PACKED),
      (b"iTXt", b"key\0\0\0\0\0" + TEXT),
      (b"zTXt", b"key\0\0noise"),
    ],
  )
  @pytest.mark.parametrize("after", [False, True])
  def test_is_read_around(self, kind, body, after):
    at = PNG.index(b"IEND") - 4 if after else 33
    content = PNG[:at] + chunk(kind, body) + PNG[at:]
    np.testing.assert_array_equal(
      np.asarray(images.decode(content)), np.asarray(images.decode(PNG))
    )

  def test_much_of_it_in_many_pieces(self):
    part = chunk(b"zTXt", b"key\0\0" + zlib.compress(bytes(2**20)))
    content = PNG[:33] + 100 * part + PNG[33:]
    assert len(images.without_long_text(content)) < len(content) - 60 * len(part)
    assert images.decode(content).size == SIZE

  def test_short_text_stays(self):
    info = PngImagePlugin.PngInfo()
    info.add_text("key", "value", zip=True)
    content = encode(pnginfo=info)
    assert images.without_long_text(content) is content

  def test_bytes_cut_short_are_left_to_the_decoder(self):
    whole = PNG[:33] + chunk(b"zTXt", b"key\0\0" + self.PACKED) + PNG[33:]
    for n in range(0, len(whole), 37):
      with contextlib.suppress(images.BadImage):
        images.decode(whole[:n])


class TestWidePixels:
  def wide(self, highest):
    stream = io.BytesIO()
    values = np.linspace(0, highest, 36).reshape(SIZE).astype(np.uint16)
    Image.fromarray(values).save(stream, "PNG")
    return stream.getvalue()

  @pytest.mark.parametrize("highest, bits", [(4095, 12), (1023, 10), (255, 8)])
  def test_that_use_few_of_their_bits_are_said(self, make, highest, bits, caplog):
    load(make({f"{i}.png": self.wide(highest) for i in range(4)}))
    line = said(caplog, "16-bit values")
    assert "4 images" in line and f"of {highest} at most" in line and f"of {bits} bits" in line
    assert f"{round(highest * 255 / 65535) + 1} of 256 grey levels" in line

  def test_that_use_them_are_not(self, make, caplog):
    load(make({"0.png": self.wide(4000), "1.png": self.wide(65535)}))
    assert not [r for r in caplog.records if "16-bit" in r.getMessage()]

  def test_of_more_than_16_bits_are_refused(self):
    for values in ([[0, 70_000]], [[-1, 3]]):
      stream = io.BytesIO()
      Image.fromarray(np.array(values, np.int32)).save(stream, "TIFF")
      with pytest.raises(images.BadImage, match="not of 16 bits"):
        images.decode(stream.getvalue())


class TestGoneForAMoment:
  def pipeline(self, path, name="folder"):
    source = load(path, name)
    feed = data.Feed(batch_size=6, resident="no", threads=2)
    return data.make_pipeline(source.splits["train"], source.spec, feed, jax.random.key(0))

  def test_a_file_that_comes_back_is_waited_for(self, tmp_path, caplog):
    path = write_folder(tmp_path, {f"{i}.png": encode(seed=i) for i in range(6)})
    whole = [b["x"] for b in self.pipeline(path).feed(0, 3, np.arange(6))]
    batches = self.pipeline(path).feed(0, 3, np.arange(6))
    os.rename(tmp_path / "3.png", tmp_path / "3.gone")
    (tmp_path / "3.png").write_bytes(b"half")
    threading.Timer(0.5, os.replace, (tmp_path / "3.gone", tmp_path / "3.png")).start()
    for got, want in zip(batches, whole, strict=True):
      np.testing.assert_array_equal(got["x"], want)
    assert "3.png in" in "".join(r.getMessage() for r in caplog.records)

  def test_at_the_start_too(self, tmp_path, monkeypatch):
    path = write_folder(tmp_path, SET)
    back = lambda seconds: os.rename(tmp_path / "gone", tmp_path / "3.png")
    monkeypatch.setattr(gallery.time, "sleep", back)
    files = files_lib.open_files(path)
    os.rename(tmp_path / "3.png", tmp_path / "gone")
    assert not any(f.error for f in gallery.inspect(files, files.names))

  @pytest.mark.parametrize("name", ["folder", "pairs", "domains"])
  def test_one_that_does_not_ends_in_one_line(self, tmp_path, monkeypatch, name):
    monkeypatch.setattr(gallery, "PATIENCE", 0.3)
    files = SET if name == "folder" else {f"{r}/{i}.png": PNG for r in "AB" for i in range(6)}
    path = write_folder(tmp_path, files)
    batches = self.pipeline(path, name).feed(0, 3, np.arange(6))
    gone = "2.png" if name == "folder" else "B/2.png"
    (tmp_path / gone).unlink()
    began = time.monotonic()
    with pytest.raises(core.UserError) as error:  # as it is, out of the threads that read ahead
      list(batches)
    assert gone in str(error.value) and "\n" not in str(error.value)
    assert 0.3 < time.monotonic() - began < 10
