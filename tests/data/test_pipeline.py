"""Batches as a function of (seed, stage, step), however they are fed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError
from gen_jax.data import ArraySplit, Feed, LazySplit, make_pipeline, passes, pipeline

N, B = 11, 4
ARRAYS = {
  "x": np.random.default_rng(0).integers(0, 256, (N, 4, 4, 1), np.uint8),
  "label": np.arange(N, dtype=np.int32) * 10,
}
SPLIT = ArraySplit(ARRAYS)
SPEC = Spec.of((4, 4, 1), 256, 101)
ROOT = jax.random.key(7)
FEED = Feed(batch_size=B, resident="yes", threads=2)


def streamed(feed=FEED, split=SPLIT, **kwargs):
  return make_pipeline(split, SPEC, dataclasses.replace(feed, resident="no"), ROOT, **kwargs)


def rows_of(pipe, steps, rows=None, first=0):
  """The host batches of some steps of a streamed pipeline."""
  return list(pipe.feed(first, first + steps, np.arange(B) if rows is None else rows))


def order_of(pipe, steps=6):
  """index [steps, M, B] of a streamed pipeline."""
  return np.stack([batch["index"] for batch in rows_of(pipe, steps)])


def same(a, b):
  assert a.keys() == b.keys()
  for name in a:
    np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    assert a[name].dtype == b[name].dtype, name


@pytest.mark.parametrize("remainder,augment", [("wrap", ("flip",)), ("pad", ())])
def test_resident_and_streamed_batches_are_the_same_bits(remainder, augment):
  feed = dataclasses.replace(FEED, remainder=remainder, augment=augment)
  resident, host = (
    make_pipeline(SPLIT, SPEC, feed, ROOT, microbatches=2),
    streamed(feed, microbatches=2),
  )
  assert resident.feed is None and host.arrays == {}
  draw = jax.jit(resident.draw)
  passed = jax.jit(host.draw)
  ahead = rows_of(host, 4)
  for step in (3, 0, 2):  # in any order: no step knows of another
    batch = draw(resident.arrays, {}, jnp.int32(step))
    same(batch, passed({}, ahead[step], jnp.int32(step)))
    same(batch, draw(resident.arrays, {}, jnp.int32(step)))
    assert batch["x"].shape == (2, B, 4, 4, 1)
    np.testing.assert_array_equal(batch["label"], ARRAYS["label"][batch["index"]])
    untouched = (np.asarray(batch["x"]) == ARRAYS["x"][batch["index"]]).all()
    assert untouched != bool(augment)


def test_a_stream_begins_at_any_step():
  host = streamed(microbatches=2)
  whole = rows_of(host, 6)
  for batch, expected in zip(rows_of(host, 2, first=4), whole[4:], strict=True):
    same(batch, expected)


def test_lazy_splits_give_what_arrays_give():
  split = LazySplit(lambda positions: (SPLIT[i] for i in positions), np.arange(N))
  for a, b in zip(rows_of(streamed(split=split), 3), rows_of(streamed(), 3), strict=True):
    same(a, b)


def test_a_batch_is_one_read():
  reads = []

  def read(positions):
    reads.append(len(positions))
    return (SPLIT[i] for i in positions)

  LazySplit(read, np.arange(N)).take(np.array([3, 1, 3]))
  assert reads == [3]


def test_processes_read_their_own_rows_of_the_global_batch():
  host = streamed(microbatches=2)
  halves = [rows_of(host, 3, rows) for rows in (np.arange(2), np.arange(2, 4))]
  for left, right, whole in zip(*halves, rows_of(host, 3), strict=True):
    same({k: np.concatenate([left[k], right[k]], axis=1) for k in whole}, whole)


def test_seed_and_stage_have_an_order_of_their_own():
  other = make_pipeline(SPLIT, SPEC, dataclasses.replace(FEED, resident="no"), jax.random.key(8))
  orders = [order_of(p) for p in (streamed(), streamed(stage=1), other)]
  assert len({o.tobytes() for o in orders}) == 3
  np.testing.assert_array_equal(order_of(streamed()), orders[0])


def test_microbatches_take_the_stream_in_turn():
  alone = order_of(streamed(), steps=6).reshape(-1)
  together = order_of(streamed(microbatches=3), steps=2).reshape(-1)
  np.testing.assert_array_equal(alone, together)
  np.testing.assert_array_equal(np.sort(alone[:N]), np.arange(N))
  np.testing.assert_array_equal(np.sort(alone[N : 2 * N]), np.arange(N))


def test_padded_epochs():
  batches = rows_of(streamed(dataclasses.replace(FEED, remainder="pad")), 6)
  masks = np.stack([b["mask"][0] for b in batches])
  np.testing.assert_array_equal(masks.sum(axis=1), [4, 4, 3, 4, 4, 3])
  for epoch in (batches[:3], batches[3:]):
    index = np.concatenate([b["index"][b["mask"]] for b in epoch])
    np.testing.assert_array_equal(np.sort(index), np.arange(N))
  assert [bool(b["last"].all()) for b in batches] == [False, False, True] * 2
  assert not any(b["last"].any() for b in batches if not b["last"].all())


def test_augmentation_differs_between_steps_microbatches_seeds_and_stages():
  feed = dataclasses.replace(FEED, augment=("flip",), resident="no")
  x = np.tile(np.arange(4, dtype=np.uint8)[:, None], (2, 64, 4, 1, 1))  # one image, 2 x 64 times
  coins = []
  for root, stage in ((ROOT, 0), (jax.random.key(8), 0), (ROOT, 1)):
    pipe = make_pipeline(SPLIT, SPEC, feed, root, stage=stage, microbatches=2)
    for step in (0, 1):
      coins += [flips.tobytes() for flips in np.asarray(pipe.draw({}, {"x": x}, step)["x"])]
  assert len(set(coins)) == 12


def test_auto_keeps_in_memory_what_fits(monkeypatch):
  auto = dataclasses.replace(FEED, resident="auto")
  monkeypatch.setattr(pipeline, "RESIDENT_BYTES", N * 20)  # 16 pixels and a label of 4 bytes each
  assert make_pipeline(SPLIT, SPEC, auto, ROOT).feed is None
  monkeypatch.setattr(pipeline, "RESIDENT_BYTES", N * 20 - 1)
  assert make_pipeline(SPLIT, SPEC, auto, ROOT).feed is not None


def test_refusals():
  with pytest.raises(UserError, match="data.batch_size must be 1 or more, not 0"):
    make_pipeline(SPLIT, SPEC, Feed(batch_size=0), ROOT)
  with pytest.raises(UserError, match="must be one of flip, shift, rotate, elastic, not 'spin'"):
    make_pipeline(SPLIT, SPEC, Feed(augment=("spin",)), ROOT)
  with pytest.raises(UserError, match="for images"):
    make_pipeline(SPLIT, Spec.of((2,)), Feed(augment=("flip",)), ROOT)
  make_pipeline(SPLIT, SPEC, FEED, ROOT, microbatches=2, steps=2**28 - 1)
  with pytest.raises(UserError, match="more than the 2\\^31"):
    make_pipeline(SPLIT, SPEC, FEED, ROOT, microbatches=2, steps=2**28)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_passes_gives_every_example_once_in_order(batch_size):
  batches = list(passes(SPLIT, batch_size))
  assert all(len(v) == batch_size for batch in batches for v in batch.values())
  kept = {k: np.concatenate([b[k][b["mask"]] for b in batches]) for k in ("x", "label", "index")}
  index = np.arange(N, dtype=np.int32)
  same(kept, ARRAYS | {"index": index})
  assert [b["last"].all() for b in batches] == [False] * (len(batches) - 1) + [True]
  assert not any(b["last"].any() for b in batches[:-1])
