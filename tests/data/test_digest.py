"""What data are, wherever they are: digests of sources."""

import gzip
import io
import os
import unicodedata
import zipfile

import numpy as np
import pytest
from PIL import Image

from gen_jax import core, data
from gen_jax.data import digest, gallery

RNG = np.random.default_rng(0)


def png(seed, size=(6, 6)):
  pixels = np.random.default_rng(seed).integers(256, size=(*size, 3), dtype=np.uint8)
  stream = io.BytesIO()
  Image.fromarray(pixels).save(stream, "PNG", compress_level=0)  # of one size in bytes
  return stream.getvalue()


FOLDER = {f"{c}/{i}.png": png([i, ord(c)]) for c in "ab" for i in range(5)}


def write(root, files):
  for name, content in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(content)
  return str(root)


def packed(path, files):
  with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
    for name in reversed(files):
      archive.writestr(name, files[name])
  return str(path)


def of(path, name="folder", **options):
  return data.load(name, path=str(path), **options).digest


def test_the_place_makes_no_difference(tmp_path, monkeypatch):
  path = write(tmp_path / "set", FOLDER)
  wrapped = {f"archive/set/{name}": content for name, content in FOLDER.items()}
  monkeypatch.chdir(tmp_path)
  found = {
    of(path), of(f"{path}/"), of("set"), of("./set/."), of(f"file://{path}"),
    of(packed(tmp_path / "a.zip", FOLDER)), of(packed(tmp_path / "b.zip", wrapped)),
    of(write(tmp_path / "wrapped", wrapped)),
  }  # fmt: skip
  os.rename(tmp_path / "set", tmp_path / "moved")
  os.symlink(tmp_path / "moved", tmp_path / "link")
  found |= {of(tmp_path / "moved"), of(tmp_path / "link")}
  assert len(found) == 1 and len(found.pop()) == 16


def test_any_change_of_what_is_read_makes_one(tmp_path):
  def changed(i, change):
    files = dict(FOLDER)
    change(files)
    return of(write(tmp_path / str(i), files))

  swap = lambda f: f.update({"a/0.png": f["a/1.png"], "a/1.png": f["a/0.png"]})
  changes = [
    lambda f: f,
    lambda f: f.update({"a/0.png": png(99)}),  # of as many bytes
    swap,
    lambda f: f.update({"a/6.png": png(7)}),
    lambda f: f.pop("b/4.png"),
    lambda f: f.update({"a/z.png": f.pop("a/0.png")}),
  ]
  found = [changed(i, change) for i, change in enumerate(changes)]
  assert len({len(png(i)) for i in range(9)}) == 1
  assert len(set(found)) == len(found)
  # What is not read does not count.
  assert changed("notes", lambda f: f.update({"notes.txt": b"", ".hidden.png": png(3)})) == found[0]


def test_captions_and_forms_of_unicode(tmp_path):
  captions = "".join(f"café{i}.png\ta word{i}\n" for i in range(4)).encode()
  names = {f"café{i}.png": png(i) for i in range(4)}
  composed = write(tmp_path / "c", {**names, "captions.tsv": captions})
  decomposed = {unicodedata.normalize("NFD", name): content for name, content in names.items()}
  path = write(tmp_path / "d", {**decomposed, "captions.tsv": captions})
  assert of(composed, strict=True) == of(path, strict=True)
  other = write(tmp_path / "e", {**names, "captions.tsv": captions.replace(b"word3", b"WORD3")})
  assert of(other) != of(composed)


def test_pairs_and_domains(tmp_path):
  files = {f"{role}/{i}.png": png([i, ord(role)]) for role in "AB" for i in range(4)}
  path, other = write(tmp_path / "one", files), {**files, "B/3.png": png(9)}
  for name in ("pairs", "domains"):
    found = of(path, name)
    assert found == of(packed(tmp_path / f"{name}.zip", files), name)
    assert found != of(write(tmp_path / name, other), name) != ""
  both = of(tmp_path / "one" / "A", other=str(tmp_path / "one" / "B"))
  assert both not in ("", of(tmp_path / "one" / "B", other=str(tmp_path / "one" / "A")))


def test_arrays(tmp_path):
  x, label = RNG.integers(0, 9, (20, 3)), np.arange(20) % 2
  found = data.from_arrays({"x": x, "label": label}).digest
  np.savez_compressed(tmp_path / "a.npz", label=label, x=np.asfortranarray(x))
  assert found == of(tmp_path / "a.npz", "arrays")
  others = [
    {"x": x, "label": 1 - label}, {"x": x[::-1], "label": label}, {"x": x},
    {"x": x.T.reshape(20, 3)},
    {"x": x, "label": label, "names": np.array(["a", "b"], object)},
  ]  # fmt: skip
  marks = [data.from_arrays(arrays).digest for arrays in others]
  assert len({found, *marks}) == 1 + len(others)


def test_text_and_tables(tmp_path):
  lines = b"one two\nthree four\nfive six\nseven one\n"
  plain = write(tmp_path / "plain", {"train.txt": lines})
  zipped = write(tmp_path / "gz", {"train.txt.gz": gzip.compress(lines)})
  other = write(tmp_path / "other", {"train.txt": lines.replace(b"six", b"sex")})
  assert of(plain, "text") == of(zipped, "text") != of(other, "text")
  rows = b"a,b\n1,x\n2,y\n3,x\n4,y\n5,x\n"
  options = dict(name="table", columns=("a:real", "b:category"))
  whole = of(write(tmp_path / "t", {"train.csv": rows}), **options)
  assert whole == of(tmp_path / "t" / "train.csv", **options)
  assert whole != of(write(tmp_path / "u", {"train.csv": rows.replace(b"5", b"6")}), **options)


def test_made_data_have_none():
  assert {data.load(name).digest for name in ("digits", "toy2d:moons", "domains:colour")} == {""}
  assert digest.joined("", "") == ""


def test_a_file_that_changes_under_a_run_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(gallery, "PATIENCE", 0.0)
  path = write(tmp_path, {f"{i}.png": png(i) for i in range(4)})
  split = data.load("folder", path=path, test=0, validation=0).splits["train"]
  split.arrays()
  write(tmp_path, {"2.png": png(9)})
  with pytest.raises(core.UserError, match="2.png in .*has changed since it was first read"):
    split.arrays()
