"""Pairs and domains made by rule, against what the rule says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import core, data
from gen_jax.data import rules, shapes

ROOT = jax.random.key(3)


def counts(source):
  return {name: len(split) for name, split in source.splits.items()}


@pytest.mark.parametrize("name", list(rules.RULES))
def test_counterparts(name):
  paired, apart = data.load(f"pairs:{name}"), data.load(f"domains:{name}")
  for split in ("validation", "test"):
    a, b = paired.splits[split].arrays(), apart.splits[split].arrays()
    for field, value in a.items():
      np.testing.assert_array_equal(value, b[field])
    if "counterpart" in paired.notes:
      np.testing.assert_array_equal(paired.notes["counterpart"](a["x"]), a["y"])
  spec = apart.spec
  assert spec.fields["y"] == spec.x and not spec.fields["y"].aligned
  first = apart.splits["train"][0]
  for field, kind in {"x": spec.x, **spec.fields}.items():
    assert first[field].shape == kind.shape and first[field].dtype == kind.dtype


def test_colours_change_and_all_else_stays():
  pair = data.load("pairs:colour").splits["test"].take(np.arange(50))
  assert not pair["x"][..., 1:].any() and not pair["y"][..., :2].any()
  np.testing.assert_array_equal(pair["x"][..., 0], pair["y"][..., 2])


def test_squares_become_ellipses_where_they_stand():
  pair = data.load("pairs:shape", resolution=64).splits["test"].take(np.arange(50))
  rows = np.arange(64) + 0.5
  for axis in (1, 2):
    centres = [
      (m.sum(axis) @ rows) / m.sum((1, 2))
      for m in (pair["x"].max(-1) / 255, pair["y"].max(-1) / 255)
    ]
    np.testing.assert_allclose(*centres, atol=0.1)
  assert (pair["label"] == 0).all() and (pair["x"] != pair["y"]).any((1, 2, 3)).all()


def test_no_training_picture_is_the_counterpart_of_another():
  source = data.load("domains:inverted")
  x, y = source.splits["train"].parts()
  assert abs(len(x) - len(y)) <= 1
  turned = source.notes["counterpart"](y.arrays()["y"])
  seen = {a.tobytes() for a in x.arrays()["x"]}
  # Some digits stand twice in the set, as they were written.
  assert sum(a.tobytes() in seen for a in turned) <= 2


def test_each_domain_has_an_order_and_epochs_of_its_own():
  split = data.Unpaired(
    data.ArraySplit({"x": np.arange(10)}), data.ArraySplit({"y": np.arange(7) * 10})
  )
  spec = core.Spec.of((), 10, y=core.Field((), 70))
  feed = data.Feed(batch_size=5, resident="yes")
  resident = data.make_pipeline(split, spec, feed, ROOT, microbatches=2)
  host = data.make_pipeline(
    split, spec, dataclasses.replace(feed, resident="no"), ROOT, microbatches=2
  )
  draw = jax.jit(resident.draw)
  batches = [draw(resident.arrays, {}, jnp.int32(step)) for step in range(7)]
  for batch, streamed in zip(batches, host.feed(0, 7, np.arange(5)), strict=True):
    assert batch.keys() == streamed.keys()
    for name in batch:
      np.testing.assert_array_equal(batch[name], streamed[name], err_msg=name)
  x, y = (np.concatenate([np.ravel(b[name]) for b in batches]) for name in "xy")
  for epoch in x.reshape(-1, 10):
    np.testing.assert_array_equal(np.sort(epoch), np.arange(10))
  for epoch in y.reshape(-1, 7):
    np.testing.assert_array_equal(np.sort(epoch), np.arange(7) * 10)
  assert len({(a, b) for a, b in zip(x, y)}) > 25  # 70 pairs of 70 possible, drawn alike
  alone = data.make_pipeline(split.parts()[0], spec, feed, ROOT, microbatches=2)
  np.testing.assert_array_equal(alone.draw(alone.arrays, {}, 2)["x"], batches[2]["x"])
  whole = split.arrays()
  np.testing.assert_array_equal(whole["y"], np.arange(10) % 7 * 10)


def test_segmentation():
  source = data.load("pairs:segmentation")
  assert counts(source) == {"train": 11520, "validation": 1280, "test": 3200}
  batch = source.splits["test"].take(np.arange(0, 3200, 8))
  inside = batch["y"].max(-1) >= 128
  np.testing.assert_array_equal(
    batch["segmentation"], np.where(inside, 1 + batch["label"][:, None, None], 0)
  )
  assert source.spec.fields["segmentation"].names == ("background", *shapes.FACTORS["shape"])
  assert set(np.unique(batch["segmentation"])) == set(range(5))
  # Noise cut to [0, 1]: of black pixels half are 0, and 1 - Phi(2) are 255.
  black = batch["x"][batch["y"] == 0]
  n = black.size
  for value, share in ((0, 0.5016), (255, 0.0229)):  # rounding moves both ends by half a level
    assert abs((black == value).mean() - share) < 5 * np.sqrt(share * (1 - share) / n)
  again = source.splits["test"].take(np.array([56, 24]))
  np.testing.assert_array_equal(again["x"], batch["x"][[7, 3]])
  other = data.load("pairs:segmentation", split_seed=1)
  assert (other.splits["test"][0]["x"] != batch["x"][0]).mean() > 0.5


def test_refusals():
  for name, options, line in [
    ("domains:colours", {}, "did you mean domains:colour"),
    ("pairs:inverted", dict(resolution=16), "take 0 or 8"),
    ("domains:colour", dict(resolution=33), "even resolutions"),
    ("domains:inverted", dict(binarize="threshold"), "are for one domain"),
    ("domains:inverted", dict(only=(1,)), "are for one domain"),
  ]:
    with pytest.raises(core.UserError, match=line):
      data.load(name, **options)
