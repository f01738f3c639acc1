"""Batches as a pure function of (seed, stage, step), from device memory or read ahead by threads.

Both ways of feeding give the same batches, bit for bit. No iterator state exists: a run goes on at
any step by asking for that step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array, Spec, UserError, stream
from gen_jax.data import augment as augmentation
from gen_jax.data.order import ROUNDS, positions, shuffled
from gen_jax.data.source import Split
from gen_jax.schema import Count, check

RESIDENT_BYTES = 2**30


@dataclasses.dataclass(frozen=True)
class Feed:
  """How training reads its data.

  batch_size: examples of one microbatch, over all devices.
  remainder: wrap lets a batch end one epoch and begin the next; pad ends every epoch with a batch
    of its own, padded and masked, for learning rules that need whole epochs.
  augment: names of augmentations: flip, shift, rotate (by quarter turns, for data whose classes,
    if the model reads them, a turn keeps), elastic (smooth displacements, see data.elastic).
  resident: whether the data live in device memory; auto if they take up to 1 GiB.
  threads: that read and decode streamed data.
  """

  batch_size: Count = 128
  remainder: Literal["wrap", "pad"] = "wrap"
  augment: tuple[Literal["flip", "shift", "rotate", "elastic"], ...] = ()
  resident: Literal["auto", "yes", "no"] = "auto"
  threads: Count = 4


class Pipeline(NamedTuple):
  """A training split as batches.

  arrays: {name: [N, ...]} for the device, or {} where the data are streamed.
  draw: (arrays, fed, step) -> batch [M, B, ...]; traced inside the compiled step. `fed` is one
    element of `feed`, or {}.
  feed: (first step, last step, rows) -> iterator over host batches [M, rows, ...], one a step;
    None for resident data. `rows` are the rows of the global batch that this process reads.
  batch_size: B, over all devices.
  """

  arrays: dict[str, np.ndarray]
  draw: Callable[[dict, dict, Array], dict]
  feed: Callable[..., Iterator[dict]] | None
  batch_size: int


def size_bytes(split: Split) -> int:
  """Bytes of what training holds of the whole split, from its first examples."""
  return sum(part.held_bytes() for part in split.parts())


def is_resident(split: Split, feed: Feed) -> bool:
  """Whether training draws from device memory.

  Raises:
    UserError: if it does not, and the examples cannot be streamed.
  """
  if feed.resident == "yes" or (feed.resident == "auto" and size_bytes(split) <= RESIDENT_BYTES):
    return True
  if not all(part.streamed for part in split.parts()):
    raise UserError(
      f"data.resident={feed.resident}: patches are drawn from images in device memory, and these"
      f" take {size_bytes(split) / 2**20:.1f} MiB, padded to the largest: set data.resident=yes, or"
      " leave out or cut up the largest"
    )
  return False


def check_feed(feed: Feed, spec: Spec, reads: Collection[str] = ()) -> None:
  """Refuses what data of that spec cannot be fed as.

  Args:
    feed: how training reads its data.
    spec: of the data.
    reads: names of the fields that the model reads.

  Raises:
    UserError: for a value out of range, or an augmentation that the data or a field that the model
      reads cannot follow.
  """
  check(Feed, feed, "data")
  augmentation.check(feed.augment, spec, reads)


def make_pipeline(
  split: Split,
  spec: Spec,
  feed: Feed,
  root: Array,
  *,
  stage: int = 0,
  microbatches: int = 1,
  steps: int = 0,
  attempt: int = 0,
) -> Pipeline:
  """The batches of a training split.

  Args:
    split: the examples.
    spec: what they are.
    feed: see `Feed`.
    root: key of the run; order and augmentation have streams of their own.
    stage: index of the stage, which has its own order.
    microbatches: M.
    steps: length of the stage, to refuse more examples than positions can count.
    attempt: how often the run was rolled back; each has another order.

  Raises:
    UserError: see `check_feed` and `is_resident`; or for a run too long to count.
  """
  check_feed(feed, spec)
  if steps * microbatches * feed.batch_size >= 2**31:
    raise UserError(
      f"{steps} steps of {microbatches} x {feed.batch_size} examples are more than the 2^31 that"
      " one stage can count: take fewer steps or a smaller data.batch_size"
    )
  first, *others = split.parts()
  key = stream(root, "order", stage, attempt)
  keys = [key, *(jax.random.fold_in(key, i) for i in range(1, 1 + len(others)))]
  seeds = [np.asarray(jax.random.bits(k, (ROUNDS,), jnp.uint32)) for k in keys]
  augment_key = stream(root, "augment", stage, attempt)
  patch_key = stream(root, "patch", stage, attempt)
  how: dict[str, Any] = {
    "microbatches": microbatches,
    "batch_size": feed.batch_size,
  }

  def transform(batch, step):
    if not feed.augment:
      return batch
    keys = jax.random.split(jax.random.fold_in(augment_key, step), microbatches)
    moved = lambda one, key: augmentation.augment_batch(one, spec, key, feed.augment)
    return jax.vmap(moved)(batch, keys)

  def place(step, rows, part, n, pad):
    """index, mask and last [M, B] of the examples `rows` of a step in the order of one part."""
    found = [positions(step, m, rows, n=n, pad=pad, **how) for m in range(microbatches)]
    xp = jnp if isinstance(found[0][0], Array) else np
    position, mask, last = (xp.stack(each) for each in zip(*found, strict=True))
    return shuffled(position, n, xp.asarray(seeds[part])), mask, last

  def index_of(step, rows):
    """What belongs to the batch, and the index [M, B] of each part; NumPy in, NumPy out."""
    index, mask, last = place(step, rows, 0, len(first), feed.remainder == "pad")
    rest = [place(step, rows, i, len(part), False)[0] for i, part in enumerate(others, 1)]
    return {"index": index, "mask": mask, "last": last}, [index, *rest]

  if is_resident(split, feed):
    held = [part.held() for part in split.parts()]

    def draw(arrays, fed, step):
      where, indices = index_of(step, jnp.arange(feed.batch_size))
      key = jax.random.fold_in(patch_key, step)
      batch = {}
      for part, names, index in zip(split.parts(), held, indices, strict=True):
        batch |= part.draw({name: arrays[name] for name in names}, index, key)
      return transform({**batch, **where}, step)

    arrays = {name: array for part in held for name, array in part.items()}
    return Pipeline(arrays, draw, None, feed.batch_size)

  def read(step, rows):
    where, indices = index_of(np.int64(step), rows)
    shape = where["index"].shape
    flat: dict[str, np.ndarray] = {}
    for part, index in zip(split.parts(), indices, strict=True):
      flat |= part.take(index.reshape(-1))
    return {name: v.reshape(*shape, *v.shape[1:]) for name, v in flat.items()} | where

  def ahead(start, stop, rows):
    import grain

    source = grain.MapDataset.range(start, stop).map(lambda step: read(step, rows))
    options = grain.ReadOptions(num_threads=feed.threads, prefetch_buffer_size=2 * feed.threads)
    return iter(source.to_iter_dataset(options))

  def passed(arrays, fed, step):
    return transform(dict(fed), step)

  return Pipeline({}, passed, ahead, feed.batch_size)


def passes(split: Split, batch_size: int) -> Iterator[dict]:
  """One pass in order, as batches of one size; `mask` is False on the padding of the last one."""
  n = len(split)
  for start in range(0, n, batch_size):
    row = np.arange(start, start + batch_size)
    index = np.minimum(row, n - 1).astype(np.int32)
    last = np.full(batch_size, start + batch_size >= n)
    yield {**split.take(index), "index": index, "mask": row < n, "last": last}
