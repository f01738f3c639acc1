"""What a data source is: named splits of examples, and how examples are held out."""

from __future__ import annotations

import abc
import concurrent.futures
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from gen_jax import core

Example = dict[str, np.ndarray]

AT_ONCE = 1024  # examples of a split that are made together
THREADS = min(8, os.cpu_count() or 1)


class Split(abc.ABC):
  """Examples of one kind, by position. Reading is safe from several threads at once.

  streamed: whether training may read them from the host, instead of drawing from what is held.
  """

  streamed = True

  @abc.abstractmethod
  def __len__(self) -> int: ...

  @abc.abstractmethod
  def take(self, index: np.ndarray) -> Example:
    """Examples at index [B], stacked: `x`, and `label`, `caption`, ... where there are some."""

  def parts(self) -> tuple[Split, ...]:
    """The splits of which a batch is put together, each in an order of its own."""
    return (self,)

  def __getitem__(self, i: int) -> Example:
    """Example i."""
    return {name: value[0, ...] for name, value in self.take(np.array([i])).items()}

  def whole(self, i: int) -> Example:
    """Example i, its image uncut where examples are patches."""
    return self[i]

  def arrays(self) -> Example:
    """All examples, stacked, made a part at a time."""
    index = np.arange(len(self))
    parts = [self.take(index[i : i + AT_ONCE]) for i in range(0, len(index), AT_ONCE)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

  def held(self) -> Example:
    """Arrays [N, ...] that training keeps on the device, to draw examples from."""
    return self.arrays()

  def held_bytes(self) -> int:
    """Bytes of what is held, from the first example."""
    return len(self) * sum(np.asarray(v).nbytes for v in self[0].values())

  def draw(self, held: Mapping, index: core.Array, key: core.Array) -> dict[str, core.Array]:
    """Examples at index [...] of what is held; `key` is for what is drawn anew at every step."""
    return {name: value[index] for name, value in held.items()}


class ArraySplit(Split):
  """A split held in memory.

  Args:
    arrays: stacked arrays [N, ...] of one length N.
  """

  def __init__(self, arrays: Mapping[str, np.ndarray]):
    self._arrays = dict(arrays)
    lengths = {name: len(value) for name, value in self._arrays.items()}
    if len(set(lengths.values())) != 1:
      raise ValueError(f"arrays of different lengths: {lengths}")
    self._length = next(iter(lengths.values()))

  def __len__(self) -> int:
    return self._length

  def take(self, index: np.ndarray) -> Example:
    return {name: value[index] for name, value in self._arrays.items()}

  def arrays(self) -> Example:
    return dict(self._arrays)


class Unpaired(Split):
  """Two domains whose examples have nothing to do with each other.

  In training each is read in an order and epochs of its own, those of the first being the run's.
  Where examples are asked for by position, i of the first stands beside i modulo N' of the second,
  of N' examples.

  Args:
    first: with x.
    second: with fields of other names.
  """

  def __init__(self, first: Split, second: Split):
    self._first, self._second = first, second

  def __len__(self) -> int:
    return len(self._first)

  def parts(self) -> tuple[Split, ...]:
    return self._first, self._second

  def take(self, index: np.ndarray) -> Example:
    return self._first.take(index) | self._second.take(index % len(self._second))


class LazySplit(Split):
  """A split whose examples are made when they are asked for.

  Args:
    read: positions in the source -> their examples; called from several threads.
    indices: [N] positions in the source of this split's examples.
  """

  def __init__(self, read: Callable[[list[int]], Iterable[Example]], indices: np.ndarray):
    self._read = read
    self._indices = indices

  def __len__(self) -> int:
    return len(self._indices)

  def take(self, index: np.ndarray) -> Example:
    examples = list(self._read(self._indices[index].tolist()))
    return {name: np.stack([e[name] for e in examples]) for name in examples[0]}

  def arrays(self) -> Example:
    out = {
      name: np.empty((len(self), *value.shape), value.dtype) for name, value in self[0].items()
    }

    def fill(start):
      chunk = self._indices[start : start + 256].tolist()
      for i, example in enumerate(self._read(chunk), start):
        for name, value in example.items():
          out[name][i] = value

    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
      list(pool.map(fill, range(0, len(self), 256)))
    return out


class Source(NamedTuple):
  """A set of data.

  name: as given to `load`.
  spec: what a model must know of it.
  splits: "train", and "validation" and "test" where they are not empty. They never overlap.
  notes: facts about the reading, such as {"skipped": 3} broken files. `modes` [K, D] and
    `mode_deviation` are the centres and the standard deviation of a mixture of equally likely round
    Gaussians. `channels` is the source of what stands in each channel of an image.
  digest: of what was read, whatever its place: of the names and whole contents of the files that
    examples are made of, or of the arrays. "" for data that are made, and follow from the settings.
    Examples are held out by their place among the sorted names, so that a split moves where files
    come or go; the digest is then another.
  """

  name: str
  spec: core.Spec
  splits: dict[str, Split]
  notes: dict = {}
  digest: str = ""


# What a split may be called -> the split.
SPLITS = {
  "train": "train", "training": "train", "val": "validation", "valid": "validation",
  "validation": "validation", "dev": "validation", "test": "test", "testing": "test",
}  # fmt: skip


def split_of(name: str) -> str:
  """The split that a folder, a file or an array of this name holds, in whatever letters; "" for
  none."""
  return SPLITS.get(name.casefold(), "")


def reason(error: BaseException) -> str:
  """What an error says, on one line, or its class where it says nothing."""
  lines = str(error).strip().splitlines()
  return lines[0] if lines else type(error).__name__


def some(items: Sequence[str]) -> str:
  """The first five, and how many there are more."""
  return ", ".join(items[:5]) + (f" and {len(items) - 5} more" if len(items) > 5 else "")


def say_untrained(labels: np.ndarray, field: core.Field, where: str) -> None:
  """Logs the classes of which no example is trained on: a model is asked for them all the same.

  Args:
    labels: integers [N] of the training examples.
    field: what they are.
    where: what they are called.
  """
  names = field.names or tuple(map(str, range(field.levels)))
  if alone := [names[i] for i in np.setdiff1d(np.arange(len(names)), labels)]:
    logging.warning(
      "%d of %d classes of %s have no training example, and are never learnt: %s.",
      len(alone), len(names), where, some(alone),
    )  # fmt: skip


def partition(n: int, fractions: Mapping[str, float], seed: int) -> dict[str, np.ndarray]:
  """Disjoint random subsets of range(n), a pure function of the arguments.

  A set does not depend on the fractions of those named after it.

  Args:
    n: how many examples there are.
    fractions: of n, one per set; together at most 1, and exhaustive where they sum to 1.
    seed: of the permutation.

  Returns:
    Name -> sorted int64 indices [about n * fraction].

  Raises:
    ValueError: if a fraction is negative or they sum to more than 1.
  """
  values = list(fractions.values())
  if any(f < 0 for f in values) or sum(values) > 1 + 1e-9:
    raise ValueError(f"fractions must be positive and sum to at most 1: {dict(fractions)}")
  # A split that moved with an upgrade would put test examples into training.
  order = core.permutation(n, seed)
  stops = np.rint(np.cumsum(values) * n).astype(int)
  starts = [0, *stops[:-1]]
  return {k: np.sort(order[a:b]) for k, a, b in zip(fractions, starts, stops)}


def hold_out(
  sizes: Mapping[str, int], *, validation: float, test: float, seed: int
) -> dict[str, tuple[str, np.ndarray]]:
  """Which examples make up each split.

  A source's own "test" and "validation" are kept whole; a missing one is taken out of "train".

  Args:
    sizes: the source's own splits -> number of examples.
    validation: fraction of the training examples, after `test` is taken out.
    test: fraction of all training examples.
    seed: of the partition.

  Returns:
    Split -> (the source's split it is read from, sorted indices there), without empty ones.

  Raises:
    UserError: if nothing is left to train on.
  """
  fractions = {}
  if "test" not in sizes:
    fractions["test"] = test
  if "validation" not in sizes:
    fractions["validation"] = validation * (1 - sum(fractions.values()))
  fractions["train"] = 1 - sum(fractions.values())
  parts = partition(sizes.get("train", 0), fractions, seed)
  chosen = {}
  for name in ("train", "validation", "test"):
    own = name != "train" and name in sizes
    origin, indices = (name, np.arange(sizes[name])) if own else ("train", parts[name])
    if len(indices):
      chosen[name] = (origin, indices)
  if "train" not in chosen:
    raise core.UserError(
      f"no training examples are left of {sizes.get('train', 0)} with validation={validation} "
      f"and test={test}: lower them or give more data"
    )
  return chosen


def keep_classes(data: Source, classes: Collection[int]) -> Source:
  """The source with examples of these classes only, but for its test split, which keeps all.

  Args:
    data: with labels.
    classes: what to learn from; none for all.

  Raises:
    UserError: if the data lack labels or such classes, or no example is left to train on.
  """
  if not classes:
    return data
  known = data.spec.classes
  if known < 2:
    raise core.UserError(f"data.only needs data with labels, and {data.name} has none")
  if not all(0 <= label < known for label in classes):
    raise core.UserError(
      f"data.only={tuple(classes)}: the classes of {data.name} are 0 to {known - 1}"
    )
  splits = dict(data.splits)
  for name in set(splits) - {"test"}:
    arrays = splits[name].arrays()
    kept = np.isin(arrays["label"], list(classes))
    splits[name] = ArraySplit({k: v[kept] for k, v in arrays.items()})
  if not len(splits["train"]):
    raise core.UserError(f"data.only={tuple(classes)}: {data.name} has no training example of them")
  return data._replace(splits={k: v for k, v in splits.items() if len(v)})


def keep_labels(data: Source, count: int, seed: int) -> Source:
  """The source with `count` training examples of each class, or all where there are fewer; the
  other splits as they are.

  Args:
    data: with labels.
    count: 0 for all.
    seed: of the choice, in which those of a smaller count are those of a larger one too.

  Raises:
    UserError: if the data lack labels.
  """
  if not count:
    return data
  if data.spec.classes < 2:
    raise core.UserError(f"data.labels needs data with labels, and {data.name} has none")
  arrays = data.splits["train"].arrays()
  order = core.permutation(len(arrays["label"]), seed)
  label = arrays["label"][order]
  of_class = [order[label == k][:count] for k in range(data.spec.classes)]
  kept = np.sort(np.concatenate(of_class))
  few = ArraySplit({name: value[kept] for name, value in arrays.items()})
  return data._replace(splits={**data.splits, "train": few})
