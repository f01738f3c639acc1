import numpy as np
import pytest

from gen_jax import core, data
from gen_jax.data import source


@pytest.mark.parametrize("n", [0, 1, 7, 1797])
def test_partition_is_disjoint_and_exhaustive(n):
  parts = source.partition(n, {"test": 0.2, "validation": 0.08, "train": 0.72}, seed=3)
  assert sorted(np.concatenate(list(parts.values())).tolist()) == list(range(n))


def test_partition_is_a_function_of_its_arguments():
  def test_set(seed, validation):
    return source.partition(1000, {"test": 0.2, "validation": validation}, seed)["test"].tolist()

  assert test_set(0, 0.1) == test_set(0, 0.3)
  assert test_set(0, 0.1) != test_set(1, 0.1)


def test_partition_is_uniform():
  counts = sum(
    np.bincount(source.partition(20, {"a": 0.25}, seed)["a"], minlength=20) for seed in range(2000)
  )
  assert abs(counts / 2000 - 0.25).max() < 5 * np.sqrt(0.25 * 0.75 / 2000)


def test_partition_refuses_too_much():
  with pytest.raises(ValueError, match="at most 1"):
    source.partition(10, {"a": 0.8, "b": 0.3}, 0)


def test_own_splits_are_kept_whole():
  sizes = {"train": 100, "test": 11, "validation": 7}
  chosen = source.hold_out(sizes, validation=0.5, test=0.5, seed=0)
  assert {k: (origin, len(i)) for k, (origin, i) in chosen.items()} == {
    "train": ("train", 100), "validation": ("validation", 7), "test": ("test", 11),
  }  # fmt: skip


def test_fractions():
  chosen = source.hold_out({"train": 1000}, validation=0.1, test=0.2, seed=0)
  assert {k: len(i) for k, (_, i) in chosen.items()} == {
    "train": 720, "validation": 80, "test": 200,
  }  # fmt: skip
  assert list(source.hold_out({"train": 10}, validation=0, test=0, seed=0)) == ["train"]
  with pytest.raises(core.UserError, match="no training examples"):
    source.hold_out({"test": 10}, validation=0.1, test=0.2, seed=0)


def test_lazy_split_equals_array_split():
  stacked = {"x": np.arange(1200).reshape(600, 2), "label": np.arange(600, dtype=np.int32)}
  eager = data.ArraySplit(stacked)
  where = np.arange(0, 600, 2)[::-1]
  lazy = data.LazySplit(lambda positions: (eager[i] for i in positions), where)
  assert len(lazy) == 300
  for name, value in lazy.arrays().items():
    np.testing.assert_array_equal(value, stacked[name][where])
    assert value.dtype == stacked[name].dtype
  assert lazy[1]["label"] == 596
  assert isinstance(eager[0]["label"], np.ndarray)


def test_lazy_split_passes_errors_on():
  def read(positions):
    raise OSError("gone")

  with pytest.raises(OSError, match="gone"):
    data.LazySplit(read, np.arange(3)).arrays()


def test_digits():
  from sklearn import datasets

  loaded = data.load("digits")
  parts = [split.arrays() for split in loaded.splits.values()]
  assert [len(p["x"]) for p in parts] == [1294, 144, 359]
  everything = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
  assert everything["x"].shape == (1797, *loaded.spec.shape)
  assert everything["x"].dtype == np.uint8
  assert everything["x"].max() == loaded.spec.levels - 1
  want = datasets.load_digits()

  def rows(images, labels):
    return sorted(map(tuple, np.column_stack([images.reshape(1797, 64), labels]).astype(int)))

  assert rows(everything["x"], everything["label"]) == rows(want.images, want.target)


@pytest.mark.parametrize(
  "arguments, line",
  [
    (dict(name="digit"), "did you mean digits"),
    (dict(name="toy2d:moon"), "toy2d:moons"),
    (dict(name="moons"), "toy2d:moons"),
    (dict(name=""), "one of digits"),
    (dict(name="tfds:"), "tfds:"),
    (dict(name="."), "data.name=folder"),
    (dict(name="digits", path="images"), "data.path is read by folder"),
    (
      dict(name="digits", resolution=16),
      "is read by shapes, folder, ",
    ),
    (dict(name="digits", channels=3), "not by digits"),
    (dict(name="shapes", channels=1), "not by shapes"),
    (dict(name="shapes", resolution=33), "even resolutions"),
    (dict(name="toy2d:moons", resolution=8), "not by toy2d:moons"),
    (dict(name="folder"), "data.path"),
    (dict(name="folder", path="x", channels=4), "data.channels must be one of 0, 1, 3, not 4"),
    (dict(name="folder", path="x", resolution=-1), "data.resolution must be in [0, 4096], not -1"),
    (dict(name="folder", path="x", resize="fit"), "crop, pad, stretch"),
    (dict(name="digits", validation=1.0), "data.validation must be in [0, 1), not 1.0"),
    (dict(name="digits", test=-0.1), "data.test must be in [0, 1), not -0.1"),
    (dict(name="digits", split_seed=-1), "data.split_seed must be 0 or more, not -1"),
  ],
)
def test_bad_arguments_end_in_one_line(arguments, line):
  with pytest.raises(core.UserError) as error:
    data.load(**arguments)
  assert line in str(error.value)
  assert "\n" not in str(error.value)
