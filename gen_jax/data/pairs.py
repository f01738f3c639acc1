"""Pairs of images from a folder or a zip archive: a picture, and its counterpart or its labels."""

from __future__ import annotations

import posixpath
from typing import NamedTuple

import numpy as np

from gen_jax import core
from gen_jax.colour import NO_CLASS, PALETTE, paint
from gen_jax.data import borders as between
from gen_jax.data import files as files_lib
from gen_jax.data import gallery, images, patches, source

# Names of folders, in lower case, and the field that is in them.
ROLES = {
  **dict.fromkeys(("a", "x", "image", "images", "img", "imgs", "input", "inputs"), "x"),
  **dict.fromkeys(("b", "y", "target", "targets", "output", "outputs"), "y"),
  **dict.fromkeys(("mask", "masks", "label", "labels", "segmentation"), "segmentation"),
}


class _Pair(NamedTuple):
  """split: "" where there are no split folders.  files: field -> name of its file."""

  split: str
  key: str
  files: dict[str, str]


def place(name: str) -> tuple[str, list[str], str]:
  """split, folders and stem of a file's name."""
  *folders, base = name.split("/")
  split = next(filter(None, map(source.split_of, folders)), "")
  return split, [f for f in folders if not source.split_of(f)], posixpath.splitext(base)[0]


def _by_folder(names: list[str], path: str) -> list[_Pair]:
  pairs: dict[tuple[str, str], _Pair] = {}
  for name in names:
    split, folders, stem = place(name)
    roles = [i for i, f in enumerate(folders) if f.lower() in ROLES]
    if not roles:
      raise core.UserError(
        f"{name} in {path} is in no folder of a known name: put inputs in A or images, and their"
        " counterparts in B, or in masks where they are labels"
      )
    role = ROLES[folders.pop(roles[-1]).lower()]
    _add(pairs, split, "/".join([*folders, stem]), role, name, path)
  return list(pairs.values())


def _by_suffix(names: list[str], suffix: str, path: str) -> list[_Pair]:
  pairs: dict[tuple[str, str], _Pair] = {}
  for name in names:
    split, folders, stem = place(name)
    role = "segmentation" if stem.endswith(suffix) else "x"
    _add(pairs, split, "/".join([*folders, stem.removesuffix(suffix)]), role, name, path)
  return list(pairs.values())


def _add(pairs, split, key, role, name, path):
  files = pairs.setdefault((split, key), _Pair(split, key, {})).files
  if role in files:
    raise core.UserError(f"{files[role]} and {name} in {path} are of one name: keep one of them")
  files[role] = name


def _check_matched(pairs: list[_Pair], path: str) -> tuple[str, ...]:
  """The fields that every pair has.

  Raises:
    UserError: if one lacks a field that others have.
  """
  fields = {field for pair in pairs for field in pair.files}
  if "x" not in fields or len(fields) < 2:
    only = "inputs" if "x" in fields else "counterparts"
    raise core.UserError(f"{path} has {only} only: pairs need images and their counterparts")
  alone = [next(iter(p.files.values())) for p in pairs if p.files.keys() != fields]
  if alone:
    raise core.UserError(
      f"{len(alone)} of {len(pairs)} names in {path} have no partner: {source.some(alone)}"
    )
  return tuple(sorted(fields - {"x"}))


def _levels(
  values: dict[str, set[int]], classes: int, ignore: int, path: str
) -> tuple[int, dict[int, int]]:
  """Number of classes, and value of a label image -> class where that is another number.

  Args:
    values: name of a label image -> the values in it.

  Raises:
    UserError: for values that are of no class.
  """
  found = set().union(*values.values()) - {ignore}
  if not classes and found == {0, 255}:
    return 2, {255: 1}
  count = classes or 1 + max(found, default=0)
  bad = next((n for n, v in values.items() if max(v - {ignore}, default=0) >= count), None)
  if bad:
    value = max(values[bad] - {ignore})
    raise core.UserError(
      f"{bad} in {path} has the value {value}, and data.classes={classes} are 0 to {classes - 1}:"
      f" if such pixels are of no class, set data.ignore={value}"
    )
  listed = ", ".join(map(str, sorted(found)[:8]))
  if not classes and len(found) < count and count > 2:
    raise core.UserError(
      f"label images in {path} have the values {listed}, which are not 0 to {count - 1}: set"
      " data.classes, and data.ignore where a value means no class"
    )
  if count > NO_CLASS:
    raise core.UserError(f"label images in {path} have values up to {max(found)}: 254 is the most")
  return max(count, 2), {}


def load(
  *,
  path: str,
  pairing: str,
  suffix: str,
  classes: int,
  ignore: int,
  resolution: int,
  channels: int,
  resize: str,
  validation: float,
  test: float,
  split_seed: int,
  patch: int,
  strict: bool,
  painted: bool,
  borders: tuple[float, ...],
) -> source.Source:
  """Pairs of images; see `gen_jax.data.load` for the arguments.

  Returns:
    A source with x uint8 [H, W, C], and y uint8 [H, W, C] or segmentation uint8 [H, W], aligned
    with x. A label of `levels` or more (it is 255) is of no class. notes: `ignore`, the value in
    the files; `counterparts` where there is y, and `painted` where it is label images.

  Raises:
    UserError: if images have no partner, or one of another size, or cannot be read; or if labels
      are of no class.
  """
  if not path:
    raise core.UserError("data.name=pairs reads images from data.path, which is not given")
  files = files_lib.open_files(path)
  names, _ = gallery.find(files, strict)
  if pairing == "side_by_side":
    pairs = [_Pair(*place(name)[::2], {"x": name}) for name in names]
    others: tuple[str, ...] = ("y",)
  else:
    pairs = _by_folder(names, path) if pairing == "folders" else _by_suffix(names, suffix, path)
    others = _check_matched(pairs, path)
  inputs = [pair.files["x"] for pair in pairs]
  facts = gallery.inspect(files, inputs)
  gallery.refuse_broken(inputs, facts, path)
  sizes = [f.size for f in facts]
  if pairing == "side_by_side":
    odd = [name for name, (width, _) in zip(inputs, sizes) if width % 2]
    if odd:
      raise core.UserError(f"{odd[0]} in {path} is of odd width: it cannot be two of one size")
    sizes = [(width // 2, height) for width, height in sizes]
  kept = [(resolution, resolution)] * len(sizes) if resolution else sizes
  square = patches.example_size(inputs, kept, patch, path)
  depth = channels or gallery.common_channels(facts)
  fields, notes = {}, {}

  if "y" in others and pairing != "side_by_side":
    targets = [pair.files["y"] for pair in pairs]
    of_y = gallery.inspect(files, targets)
    gallery.refuse_broken(targets, of_y, path)
    _check_sizes(inputs, sizes, targets, [f.size for f in of_y], path)
    fields["y"] = core.Field((*square, channels or gallery.common_channels(of_y)), 256, (), True)
  elif "y" in others:
    fields["y"] = core.Field((*square, depth), 256, (), True)
  change: dict[int, int] = {}
  if "segmentation" in others:
    masks = [pair.files["segmentation"] for pair in pairs]
    seen = _look_at_labels(files, masks, path)
    _check_sizes(inputs, sizes, masks, [size for size, _ in seen], path)
    values = {name: found for name, (_, found) in zip(masks, seen)}
    levels, change = _levels(values, classes, ignore, path)
    fields["segmentation"] = core.Field(square, levels, (), True)
    notes = {"ignore": ignore} if ignore >= 0 else {}
  if borders:
    _check_borders(borders, others)
    fields["border"] = core.Field(square, None, (), True)

  if painted:
    fields["y"] = painted_field(fields, path)
    notes["painted"] = True

  def labels_of(name):
    labels = gallery.again(files, name, images.decode_labels)
    out = np.where(labels == ignore, NO_CLASS, labels)
    for value, label in change.items():
      out[labels == value] = label
    return images.fit_labels(out.astype(np.uint8), resolution, resize, NO_CLASS)

  def example(i):
    pair = pairs[i]
    x = gallery.again(files, pair.files["x"])
    out = {}
    if pairing == "side_by_side":
      half = x.width // 2
      y = x.crop((half, 0, x.width, x.height))
      x = x.crop((0, 0, half, x.height))
      out["y"] = images.fit(y, depth, resolution, resize)
    elif "y" in pair.files:
      y = gallery.again(files, pair.files["y"])
      out["y"] = images.fit(y, fields["y"].shape[-1], resolution, resize)
    if "segmentation" in fields:
      out["segmentation"] = labels_of(pair.files["segmentation"])
    if painted:
      out["y"] = paint(out["segmentation"])
    if "border" in fields:
      instances = between.instances_of(out["segmentation"], fields["segmentation"].levels)
      out["border"] = between.border_weights(instances, *borders)
    return {"x": images.fit(x, depth, resolution, resize), **out}

  positions = split_entries(
    [pair.split for pair in pairs], path, validation=validation, test=test, seed=split_seed
  )
  read = lambda where: map(example, where)
  if "y" in fields:
    notes["counterparts"] = True
  spec = core.Spec(core.Field((*square, depth), 256), fields)
  splits = patches.make_splits(read, positions, kept, spec, patch)
  return source.Source("pairs", spec, splits, notes, files.digest())


def painted_field(fields: dict[str, core.Field], path: str) -> core.Field:
  """y of label images in colours.

  Raises:
    UserError: if there are no label images, another y, or more classes than colours.
  """
  if "segmentation" not in fields or "y" in fields:
    has = "images y already" if "y" in fields else "no label images"
    raise core.UserError(f"data.painted paints label images, and {path} has {has}")
  labels = fields["segmentation"]
  if labels.levels > len(PALETTE):
    raise core.UserError(
      f"data.painted has {len(PALETTE)} colours, and label images in {path} {labels.levels} classes"
    )
  return core.Field((*labels.shape, 3), 256, (), True)


def split_entries(splits: list[str], path: str, **fractions) -> dict[str, np.ndarray]:
  """Split -> positions of its entries, of entries whose folders name these splits ("" for none).

  Raises:
    UserError: if some are in split folders and some are not.
  """
  if "" in splits and set(splits) != {""}:
    raise core.UserError(
      f"{path} has images both in and beside its split folders: put all of them in folders named"
      " train, val and test, or none"
    )
  pools: dict[str, list[int]] = {}
  for i, split in enumerate(splits):
    pools.setdefault(split or "train", []).append(i)
  chosen = source.hold_out({k: len(v) for k, v in pools.items()}, **fractions)
  return {name: np.array(pools[origin])[where] for name, (origin, where) in chosen.items()}


def _look_at_labels(files, names, path):
  """(size, set of values) of every label image."""

  def look(name):
    try:
      labels = images.decode_labels(files.read(name))
    except images.BadImage as error:
      return gallery.Facts(error=str(error)), set()
    return gallery.Facts(labels.shape[::-1]), set(np.unique(labels).tolist())

  found = gallery.each(look, names)
  gallery.refuse_broken(names, [facts for facts, _ in found], path)
  return [(facts.size, values) for facts, values in found]


def _check_borders(borders, others):
  if len(borders) != 2:
    raise core.UserError(
      f"data.borders={borders} must be two numbers, w0 and sigma, such as 10,5, or ()"
    )
  if "segmentation" not in others:
    raise core.UserError("data.borders are between labelled regions, and these pairs have none")


def _check_sizes(inputs, sizes, targets, others, path):
  for name, (w, h), target, (v, u) in zip(inputs, sizes, targets, others, strict=True):
    if (w, h) != (v, u):
      raise core.UserError(
        f"{name} in {path} is of {w}x{h} pixels, and {target} of {v}x{u}: pairs are of one size"
      )
