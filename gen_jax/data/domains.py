"""Two sets of images of which no two belong together, from a folder or a zip archive."""

from __future__ import annotations

import re

from absl import logging

from gen_jax import core
from gen_jax.data import digest, gallery, pairs, source
from gen_jax.data import files as files_lib

_NAME = re.compile(rf"({'|'.join(source.SPLITS)})[_-]?([ab])", re.IGNORECASE)


def unite(first: source.Source, second: source.Source, name: str) -> source.Source:
  """One source of two: the first as it is, and the x of the second as y, its label as label_y, each
  in its own order."""
  named = {"x": "y", **({"label": "label_y"} if "label" in second.spec.fields else {})}

  def renamed(examples):
    return {to: examples[name] for name, to in named.items()}

  def only(split):
    class Renamed(source.Split):
      def __len__(self):
        return len(split)

      def take(self, index):
        return renamed(split.take(index))

      def arrays(self):
        return renamed(split.arrays())

    return Renamed()

  fields = {"x": second.spec.x._replace(aligned=False), **second.spec.fields}
  spec = first.spec._replace(fields={**first.spec.fields, **renamed(fields)})
  splits: dict[str, source.Split] = {
    split: source.Unpaired(examples, only(second.splits[split]))
    for split, examples in first.splits.items()
    if split in second.splits
  }
  for split in sorted(first.splits.keys() ^ second.splits.keys()):
    logging.warning("one of the two domains of %s has no %s split: it is left out.", name, split)
  both = digest.joined(first.digest, second.digest)
  return source.Source(name, spec, splits, first.notes, both)


def _place(name: str, path: str) -> tuple[str, str]:
  """split ("" for none) and domain ("x" or "y") of a file."""
  for part in name.split("/")[:-1]:
    if match := _NAME.fullmatch(part):
      return source.split_of(match[1]), "x" if match[2].lower() == "a" else "y"
  split, folders, _ = pairs.place(name)
  roles = [pairs.ROLES[f.lower()] for f in folders if f.lower() in pairs.ROLES]
  if not roles or roles[-1] == "segmentation":
    raise core.UserError(
      f"{name} in {path} is in neither domain: name the folders trainA, trainB, testA, testB, or A"
      " and B"
    )
  return split, roles[-1]


def load(
  *,
  path: str,
  resolution: int,
  channels: int,
  resize: str,
  validation: float,
  test: float,
  split_seed: int,
  strict: bool,
) -> source.Source:
  """Two domains: folders trainA, trainB, testA, testB, or A and B; see `gen_jax.data.load`.

  Returns:
    A source with x uint8 [H, W, C] of A and y uint8 [H, W, C] of B.

  Raises:
    UserError: if a domain is empty, or images cannot be read.
  """
  if not path:
    raise core.UserError("data.name=domains reads images from data.path, which is not given")
  files = files_lib.open_files(path)
  names, _ = gallery.find(files, strict)
  places = [_place(name, path) for name in names]
  fractions = dict(validation=validation, test=test, seed=split_seed)

  def domain(which, folder_name):
    mine = [name for name, (_, role) in zip(names, places) if role == which]
    if not mine:
      raise core.UserError(f"{path} has no images of domain {folder_name}")
    facts = gallery.inspect(files, mine)
    gallery.refuse_broken(mine, facts, f"{folder_name} of {path}")
    square = gallery.common_size([f.size for f in facts], resolution, f"{folder_name} of {path}")
    depth = channels or gallery.common_channels(facts)
    one = gallery.reader(files, mine, depth, resolution, resize)
    read = lambda where: ({"x": one(i)} for i in where)
    own = [split for split, role in places if role == which]
    positions = pairs.split_entries(own, path, **fractions)
    splits = {split: source.LazySplit(read, where) for split, where in positions.items()}
    return source.Source("domains", core.Spec.of((*square, depth), 256), splits)

  united = unite(domain("x", "A"), domain("y", "B"), "domains")
  return united._replace(digest=files.digest())
