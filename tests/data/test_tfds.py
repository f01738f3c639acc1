import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from gen_jax import core, data
from gen_jax.data import images, prepare

ROOT = pathlib.Path(__file__).parents[2]


def tiny_pixels(split, i):
  return np.random.default_rng([len(split), i]).integers(256, size=(7, 6, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """A prepared set, written record by record as TFDS has it on disk: no TensorFlow is needed."""
  import io

  from array_record.python import array_record_module
  from PIL import Image
  from tensorflow_datasets.proto import tf_example_pb2

  root = tmp_path_factory.mktemp("tfds")
  folder = root / "tiny" / "1.0.0"
  folder.mkdir(parents=True)
  sizes = {"train": 300, "test": 30, "unlabelled": 5}
  for split, n in sizes.items():
    path = folder / f"tiny-{split}.array_record-00000-of-00001"
    writer = array_record_module.ArrayRecordWriter(str(path), "group_size:1")
    for i in range(n):
      stream = io.BytesIO()
      Image.fromarray(tiny_pixels(split, i)[..., 0]).save(stream, "PNG")
      example = tf_example_pb2.Example()
      example.features.feature["image"].bytes_list.value.append(stream.getvalue())
      example.features.feature["label"].int64_list.value.append(i % 3)
      example.features.feature["id"].int64_list.value.append(i)
      writer.write(example.SerializeToString())
    writer.close()

  features = "tensorflow_datasets.core.features"
  scalar = {"tensor": {"shape": {}, "dtype": "int64", "encoding": "none"}}
  image = {"image": {"dtype": "uint8", "shape": {"dimensions": ["7", "6", "1"]}}}
  described = {
    "image": {**image, "pythonClassName": f"{features}.image_feature.Image"},
    "label": {
      "classLabel": {"numClasses": "3"},
      "pythonClassName": f"{features}.class_label_feature.ClassLabel",
    },
    "id": {**scalar, "pythonClassName": f"{features}.scalar.Scalar"},
  }
  info = {
    "name": "tiny",
    "version": "1.0.0",
    "fileFormat": "array_record",
    "splits": [
      {
        "name": split,
        "shardLengths": [str(n)],
        "numBytes": "1",
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
      }
      for split, n in sizes.items()
    ],
  }
  (folder / "dataset_info.json").write_text(json.dumps(info))
  (folder / "label.labels.txt").write_text("ape\nbee\ncow\n")
  (folder / "features.json").write_text(
    json.dumps(
      {
        "pythonClassName": f"{features}.features_dict.FeaturesDict",
        "featuresDict": {"features": described},
      }
    )
  )
  return str(root)


def test_reads_what_was_written(data_dir):
  loaded = data.load("tfds:tiny", data_dir=data_dir)
  assert {k: len(v) for k, v in loaded.splits.items()} == {
    "train": 270, "validation": 30, "test": 30,
  }  # fmt: skip
  assert loaded.spec == core.Spec.of((7, 6, 1), 256, 3, ("ape", "bee", "cow"))
  test = loaded.splits["test"].arrays()
  np.testing.assert_array_equal(test["x"], [tiny_pixels("test", i) for i in range(30)])
  np.testing.assert_array_equal(test["label"], np.arange(30) % 3)
  assert test["x"].dtype == np.uint8 and test["label"].dtype == np.int32
  pooled = np.concatenate([loaded.splits[k].arrays()["x"] for k in ("train", "validation")])
  assert {p.tobytes() for p in pooled} == {tiny_pixels("train", i).tobytes() for i in range(300)}
  np.testing.assert_array_equal(loaded.splits["test"][4]["x"], test["x"][4])
  assert loaded.splits["test"][4]["label"] == 1


def test_resizing(data_dir):
  loaded = data.load("tfds:tiny", data_dir=data_dir, resolution=6, channels=3, resize="crop")
  out = loaded.splits["test"].arrays()["x"]
  assert out.shape == (30, *loaded.spec.shape) == (30, 6, 6, 3)
  np.testing.assert_array_equal(out[3], tiny_pixels("test", 3)[:6].repeat(3, -1))


def test_reading_imports_no_tensorflow_and_says_nothing(data_dir):
  script = (
    "import sys; from gen_jax import data;"
    f"data.load('tfds:tiny', data_dir={data_dir!r}).splits['train'].arrays();"
    "assert 'tensorflow' not in sys.modules"
  )
  done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
  assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_libraries_are_imported_only_where_used():
  script = (
    "import sys; import gen_jax.data;"
    "assert not {'tensorflow_datasets', 'grain', 'sklearn'} & set(sys.modules)"
  )
  subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


@pytest.mark.parametrize(
  "name, words",
  [
    ("mnits", "mnist"),
    ("mnist", "python -m gen_jax.data.prepare mnist --data_dir"),
    ("mnist:9.9.9", "9.9.9"),
    ("qqqqqqq", "no data set"),
    ("not a name", "not a name"),
  ],
)
def test_mistakes_end_in_one_line(tmp_path, name, words):
  with pytest.raises(core.UserError) as error:
    data.load(f"tfds:{name}", data_dir=str(tmp_path))
  assert words in str(error.value) and "\n" not in str(error.value)
  assert not list(tmp_path.iterdir())


def test_sets_that_cannot_be_read(data_dir, tmp_path):
  folder = tmp_path / "tiny" / "1.0.0"
  shutil.copytree(pathlib.Path(data_dir) / "tiny" / "1.0.0", folder)

  def line():
    with pytest.raises(core.UserError) as error:
      data.load("tfds:tiny", data_dir=str(tmp_path))
    assert "\n" not in str(error.value)
    return str(error.value)

  info = (folder / "dataset_info.json").read_text()
  (folder / "dataset_info.json").write_text(info.replace("array_record", "tfrecord"))
  assert "prepared as tfrecord" in line()
  (folder / "dataset_info.json").write_text(info.replace('"train"', '"learn"'))
  assert "it has learn, test, unlabelled" in line()
  (folder / "dataset_info.json").write_text(info)
  for shard in folder.glob("*train*"):
    shard.unlink()
  assert "cannot be read" in line()
  features = (folder / "features.json").read_text()
  (folder / "features.json").write_text(features.replace('"image": {"image"', '"img": {"image"'))
  assert "img" in line()


def test_what_a_set_names_is_not_imported(data_dir, tmp_path, monkeypatch):
  folder = tmp_path / "sets" / "evil" / "1.0.0"
  shutil.copytree(pathlib.Path(data_dir) / "tiny" / "1.0.0", folder)
  info = json.loads((folder / "dataset_info.json").read_text())
  (folder / "dataset_info.json").write_text(json.dumps({**info, "name": "evil"}))
  (tmp_path / "payload.py").write_text("import pathlib; pathlib.Path('ran').touch()")
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  described = json.loads((folder / "features.json").read_text())
  inner = described["featuresDict"]["features"]
  nested = {**inner, "id": {**inner["id"], "pythonClassName": "payload.Feature"}}
  for features in (
    {"type": "payload.Feature", "content": "{}"},
    {**described, "pythonClassName": "payload.Feature"},
    {**described, "featuresDict": {"features": nested}},
  ):
    (folder / "features.json").write_text(json.dumps(features))
    with pytest.raises(core.UserError, match="the class 'payload.Feature', which is not TFDS's"):
      data.load("tfds:evil", data_dir="sets")
    assert not (tmp_path / "ran").exists() and "payload" not in sys.modules


def test_images_are_read_within_bounds(data_dir, monkeypatch):
  split = data.load("tfds:tiny", data_dir=data_dir).splits["test"]
  monkeypatch.setattr(images, "MAX_PIXELS", 40)
  with pytest.raises(core.UserError, match="of tfds:tiny cannot be read: 6 x 7 is more than 40"):
    split.arrays()


def test_preparing_without_tensorflow(tmp_path, monkeypatch):
  monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
  with pytest.raises(core.UserError, match="pip install tensorflow-cpu"):
    prepare.prepare("mnist", str(tmp_path))
