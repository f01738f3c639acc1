"""Arrays as a source: those of an .npz file, or of the caller."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from gen_jax import core
from gen_jax.data import digest, source
from gen_jax.data import files as files_lib

# What a damaged, encrypted or oddly packed file ends in, or one that states more than there is.
_UNREADABLE = (
  ValueError, EOFError, RuntimeError, MemoryError, OverflowError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip


def from_arrays(
  arrays: Mapping[str, np.ndarray],
  *,
  validation: float = 0.1,
  test: float = 0.2,
  split_seed: int = 0,
  name: str = "arrays",
) -> source.Source:
  """A source of arrays [N, ...] by the names of their fields.

  Integers are levels, reals are reals: images uint8 [N, H, W, C] have 256 levels, any other integer
  field as many as its largest value says, or as `levels` (of x) or `classes` (of label) state; a
  field whose first two dimensions are those of an image x is aligned with it.

  Args:
    arrays: `x` and other fields, all of one length N; or each as `train_x`, `validation_x` or
      `val_x`, and `test_x`, where the splits are given. Besides, `levels` and `classes`, integers,
      and `names`, the names of the classes.
    validation, test, split_seed: of the splits that are not given; see `gen_jax.data.load`.
    name: of the source, for messages.

  Raises:
    UserError: if x is missing, lengths differ, or values are neither finite numbers nor integers
      from 0 up.
  """
  stated = {k: np.asarray(arrays[k]) for k in ("levels", "classes", "names") if k in arrays}
  given = {k: np.asarray(v) for k, v in arrays.items() if k not in stated}
  splits = _by_split(given, name)
  for split, fields in splits.items():
    _check_fields(split, fields, splits["train"], name)
  spec = _spec(splits, stated, name)
  kinds = {"x": spec.x, **spec.fields}
  typed = {
    split: {k: v.astype(kinds[k].dtype) for k, v in fields.items()}
    for split, fields in splits.items()
  }
  sizes = {split: len(fields["x"]) for split, fields in typed.items()}
  chosen = source.hold_out(sizes, validation=validation, test=test, seed=split_seed)
  made = {
    split: source.ArraySplit({k: v[index] for k, v in typed[origin].items()})
    for split, (origin, index) in chosen.items()
  }
  if "label" in spec.fields:
    source.say_untrained(made["train"].arrays()["label"], spec.fields["label"], name)
  return source.Source(name, spec, made, digest=digest.of_arrays(given | stated))


def load(*, path: str, validation: float, test: float, split_seed: int) -> source.Source:
  """The arrays of an .npz file, as `from_arrays` reads them; nothing in it is unpickled.

  Raises:
    UserError: if the file cannot be read, or see `from_arrays`.
  """
  if not path:
    raise core.UserError("data.name=arrays reads an .npz file at data.path, which is not given")
  try:
    with files_lib.open_file(path) as stream:
      found = np.load(stream, allow_pickle=False)
      if not isinstance(found, np.lib.npyio.NpzFile):
        raise core.UserError(f"{path} is one array: save arrays by name with np.savez(FILE, x=...)")
      arrays = dict(found)
  except core.UserError:
    raise
  except OSError as error:
    raise core.UserError(f"cannot read data.path={path}: {error.strerror or error}") from error
  except _UNREADABLE as error:
    raise core.UserError(
      f"{path} is not an .npz file of plain arrays: {source.reason(error)}"
    ) from error
  options = dict(validation=validation, test=test, split_seed=split_seed)
  return from_arrays(arrays, **options, name=path)


def _by_split(arrays, name):
  """split -> {field: array}."""
  parts = {key: key.partition("_") for key in arrays}
  prefixed = {key for key, (prefix, _, rest) in parts.items() if source.split_of(prefix) and rest}
  if "train_x" not in arrays:
    if "x" not in arrays:
      has = ", ".join(arrays) or "nothing"
      raise core.UserError(f"{name} has no array x (or train_x): it has {has}")
    if beside := sorted(key for key in prefixed if parts[key][2] in ("x", "label")):
      raise core.UserError(f"{name} has x and {beside[0]}: call it train_x if the splits are given")
    return {"train": dict(arrays)}
  if beside := sorted(set(arrays) - prefixed):
    raise core.UserError(f"{name} has train_x, so {beside[0]} needs train_ or test_ before it")
  splits: dict[str, dict] = {}
  for key, (prefix, _, field) in parts.items():
    splits.setdefault(source.split_of(prefix), {})[field] = arrays[key]
  return splits


def _check_fields(split, fields, train, name):
  where = f"{name}, {split} split" if split != "train" else name
  if fields.keys() != train.keys():
    raise core.UserError(
      f"{where} has the fields {', '.join(sorted(fields))}, and training {', '.join(sorted(train))}"
    )
  for field, value in fields.items():
    if value.dtype.kind not in "biuf" or not value.ndim:
      what = "a single value" if not value.ndim else f"of type {value.dtype}"
      raise core.UserError(f"{field} of {where} is {what}: it must be an array of numbers")
  if not len(fields["x"]):
    raise core.UserError(f"x of {where} has no examples")
  for field, value in fields.items():
    if field in ("mask", "last", "index"):
      raise core.UserError(f"{field} of {where} is a name that every batch has: give it another")
    if len(value) != len(fields["x"]):
      raise core.UserError(
        f"{field} of {where} has {len(value)} examples, and x {len(fields['x'])}: give one of each"
      )
    if value.shape[1:] != train[field].shape[1:] or value.dtype.kind != train[field].dtype.kind:
      raise core.UserError(f"{field} of {where} is {value.dtype} {value.shape[1:]}, not as train_")
    if value.dtype.kind == "f":
      with np.errstate(over="ignore"):
        finite = np.isfinite(value.astype(np.float32))
      if not finite.all():
        bad = np.flatnonzero(~finite.reshape(len(value), -1).all(1))
        raise core.UserError(f"{field} of {where} is not finite in example {bad[0]}, as float32")
    if field == "label" and (value.ndim != 1 or value.dtype.kind == "f"):
      raise core.UserError(
        f"label of {where} is {value.dtype} {value.shape}: it must be one whole number for each"
        " example; give other fields another name"
      )
    if value.dtype.kind == "i" and len(value) and value.min() < 0:
      raise core.UserError(f"{field} of {where} has the value {value.min()}: levels begin at 0")


def _spec(splits, stated, name):
  train = splits["train"]
  shape = train["x"].shape[1:]

  def field_of(field):
    every = [fields[field] for fields in splits.values() if fields[field].size]
    own = every[0].shape[1:] if every else train[field].shape[1:]
    aligned = field != "x" and len(shape) == 3 and len(own) > 1 and own[:2] == shape[:2]
    if train[field].dtype.kind == "f":
      return core.Field(own, None, aligned=aligned)
    levels = 1 + max((int(v.max()) for v in every), default=0)
    if train[field].dtype == np.uint8 and train[field].ndim == 4:
      levels = 256
    key = {"x": "levels", "label": "classes"}.get(field)
    if key in stated:
      if not (stated[key].ndim == 0 and stated[key].dtype.kind in "iu" and stated[key] >= 1):
        raise core.UserError(f"{key} of {name} must be one whole number, 1 or more")
      count = int(stated[key])
      highest = 1 + max((int(v.max()) for v in every), default=0)
      if highest > count:
        raise core.UserError(f"{field} of {name} has the value {highest - 1}, but {key}={count}")
      levels = count
    names: tuple[str, ...] = ()
    if field == "label" and "names" in stated:
      listed = stated["names"].reshape(-1).tolist()
      names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in listed)
      if len(names) < levels:
        raise core.UserError(f"{name} has {len(names)} names for {levels} classes: give all")
      if twice := [each for each in names if names.count(each) > 1]:
        raise core.UserError(f"{name} has {twice[0]!r} twice among the names of its classes")
      levels = len(names)
    return core.Field(own, max(levels, 2), names, aligned)

  fields = {field: field_of(field) for field in train}
  return core.Spec(fields.pop("x"), fields)
