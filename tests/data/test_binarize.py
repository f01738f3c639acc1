"""Binary pixels: their probabilities, and that they never change."""

import zlib

import numpy as np
import pytest

from gen_jax import core, data

LEVELS = 17
X = (np.arange(900) * 7 % LEVELS).astype(np.uint8).reshape(50, 3, 3, 2)
X[:, 0, 0], X[:, 1, 1] = 0, LEVELS - 1
ARRAYS = {"x": X, "label": np.arange(50, dtype=np.int32)}


def source(**splits):
  splits = splits or {"train": data.ArraySplit(ARRAYS)}
  return data.Source("digits", core.Spec.of((3, 3, 2), LEVELS, 10), splits)


def binary(how="static", seed=0, **splits):
  from gen_jax.data import binarize

  return binarize.binarize(source(**splits), how, seed)


def test_all_at_once_one_by_one_and_lazily_are_the_same():
  lazy = data.LazySplit(lambda positions: (data.ArraySplit(ARRAYS)[i] for i in positions),
                        np.arange(50))  # fmt: skip
  eager = binary().splits["train"].arrays()
  for split in (binary().splits["train"], binary(train=lazy).splits["train"]):
    assert len(split) == 50
    np.testing.assert_array_equal(split.arrays()["x"], eager["x"])
    np.testing.assert_array_equal(np.stack([split[i]["x"] for i in range(50)]), eager["x"])
    np.testing.assert_array_equal(split.take(np.array([7, 3, 7]))["x"], eager["x"][[7, 3, 7]])
  np.testing.assert_array_equal(eager["label"], ARRAYS["label"])
  assert eager["x"].dtype == np.uint8 and set(np.unique(eager["x"])) == {0, 1}


def test_chunks_do_not_show(monkeypatch):
  from gen_jax.data import binarize

  whole = binary().splits["train"].arrays()["x"]
  monkeypatch.setattr(binarize, "_CHUNK", 7)
  np.testing.assert_array_equal(binary().splits["train"].arrays()["x"], whole)


def test_static_pixels_have_the_probability_of_their_intensity():
  x = np.broadcast_to(np.arange(LEVELS, dtype=np.uint8)[:, None], (LEVELS, 6)).reshape(-1)
  n = 4000
  many = data.ArraySplit({"x": np.broadcast_to(x.reshape(1, 17, 6, 1), (n, 17, 6, 1))})
  got = binary(train=many).splits["train"].arrays()["x"].mean(axis=0)[..., 0]
  p = np.arange(LEVELS)[:, None] / (LEVELS - 1)
  assert (got[0] == 0).all() and (got[-1] == 1).all()
  assert (abs(got - p) <= 4.5 * np.sqrt(p * (1 - p) / n)).all()


def test_pixels_and_examples_are_independent():
  n = 4000
  grey = data.ArraySplit({"x": np.full((n, 3, 3, 1), 8, np.uint8)})
  bits = binary(train=grey).splits["train"].arrays()["x"].reshape(n, 9) * 2.0 - 1
  assert abs(bits.T @ bits / n - np.eye(9)).max() < 5 / n**0.5
  assert abs((bits[1:] * bits[:-1]).mean(axis=0)).max() < 5 / n**0.5


def test_static_depends_on_seed_and_split():
  same = {name: data.ArraySplit(ARRAYS) for name in ("train", "test")}
  drawn = [binary(seed=s, **same).splits[name].arrays()["x"] for s in (0, 1) for name in same]
  for i in range(4):
    for j in range(i):
      assert (drawn[i] != drawn[j]).any()


def test_static_bits_never_move():
  # A set that changed with an upgrade would move every published figure.
  bits = np.packbits(binary(seed=3).splits["train"].arrays()["x"])
  assert zlib.crc32(bits.tobytes()) == 1516152226


def test_threshold_is_half_the_intensity():
  got = binary("threshold").splits["train"].arrays()["x"]
  np.testing.assert_array_equal(got, X >= 8)
  assert binary("threshold").spec == core.Spec.of((3, 3, 2), 2, 10)


def test_load():
  grey, static = data.load("digits"), data.load("digits", binarize="static")
  assert static.spec == grey.spec._replace(x=grey.spec.x._replace(levels=2))
  assert set(static.splits) == {"train", "validation", "test"}
  x, b = (s.splits["test"].arrays()["x"] for s in (grey, static))
  assert x.shape == b.shape and (b[x == 0] == 0).all() and (b[x == 16] == 1).all()
  assert 0 < b[(x > 0) & (x < 16)].mean() < 1
  assert data.load("digits", binarize="").spec.levels == 17


def test_refusals():
  with pytest.raises(core.UserError, match="toy2d:moons has examples of shape"):
    data.load("toy2d:moons", binarize="static")
  with pytest.raises(core.UserError, match="static, threshold, not 'random'"):
    data.load("digits", binarize="random")
