"""Images from a folder or a zip archive, with classes and captions where there are some."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from absl import logging

from gen_jax import core
from gen_jax.data import files as files_lib
from gen_jax.data import gallery, images, patches, source, vocabulary

# Words that mean a split too, but are no name of one here.
_SEEMING = source.SPLITS | {
  "trn": "train", "eval": "validation", "evaluation": "validation", "holdout": "test",
  "heldout": "test", "tst": "test",
}  # fmt: skip
LONGEST_CAPTION = 64  # tokens


class _Entry(NamedTuple):
  file: str
  split: str
  category: str  # "" where there are no classes


def seems(folder: str) -> str:
  """The split that a name seems to mean, though it is not one: trainA, test_images, Val2017."""
  words = [w.casefold() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", folder)]
  return next((_SEEMING[word] for word in words if word in _SEEMING), "")


def check_splits(folders: Iterable[str], path: str) -> None:
  """Refuses folders of which two hold one split, or that seem to be splits and are not.

  Raises:
    UserError: naming them.
  """
  folders = sorted(set(folders))
  exact: dict[str, str] = {}
  for folder in folders:
    if (split := source.split_of(folder)) and (other := exact.setdefault(split, folder)) != folder:
      raise core.UserError(
        f"{path} has two folders of the {split} split, {other} and {folder}: keep one of them"
      )
  meant = {folder: seems(folder) for folder in folders}
  if exact or not any(meant.values()):
    return
  if all(meant.values()) or len(set(meant.values()) - {""}) > 1:
    named = source.some([folder for folder in folders if meant[folder]])
    raise core.UserError(
      f"folders in {path} seem to be splits, not classes ({named}): name them train, val and test,"
      " with folders of classes in them where there are some; for two domains (trainA, trainB, ...)"
      " set data.name=domains, for pairs data.name=pairs"
    )


def _unwrapped(parts: list[list[str]]) -> list[list[str]]:
  """Without folders that are around everything, as archives often have: any number where several
  folders, or those of splits, are in them; else one, for it is not said which names a class."""
  alone = lambda parts: len({p[0] for p in parts}) == 1 and not source.split_of(parts[0][0])
  inner = parts
  while alone(inner) and min(map(len, inner)) > 2:
    inner = [p[1:] for p in inner]
  return [p[1:] for p in parts] if inner != parts and alone(inner) else inner


def _layout(names: list[str], path: str) -> list[_Entry]:
  """Reads splits and classes off the names of the images.

  Raises:
    UserError: if the names are not all of one layout.
  """
  parts = _unwrapped([name.split("/") for name in names])
  check_splits([p[0] for p in parts if len(p) > 1], path)
  has_split = [len(p) > 1 and bool(source.split_of(p[0])) for p in parts]
  if any(has_split) and not all(has_split):
    inside, outside = names[has_split.index(True)], names[has_split.index(False)]
    raise core.UserError(
      f"{path} has images both in and beside its split folders ({inside}, {outside}): "
      "put all of them in folders named train, val and test, or none"
    )
  splits = [source.split_of(p[0]) if s else "train" for p, s in zip(parts, has_split)]
  parts = [p[1:] if s else p for p, s in zip(parts, has_split)]
  for name, p in zip(names, parts):
    if len(p) > 2 or len(p) != len(parts[0]):
      what = "does not fit the layout" + (
        ", and lies too deep" if len(p) > 2 else f" of {names[0]}"
      )
      raise core.UserError(
        f"{name} in {path} {what}: name all images name.png, class/name.png, split/name.png or"
        " split/class/name.png, with or without folders around all of them"
      )
  if not any(has_split) and len(parts[0]) == 1 and all(meant := [seems(p[0]) for p in parts]):
    if len(set(meant)) > 1:
      logging.warning(
        "names in %s seem to state splits (%s): nothing is read from them. Put the images in"
        " folders named train, val and test.", path, source.some(names),
      )  # fmt: skip
  return [
    _Entry(name, split, p[0] if len(p) == 2 else "") for name, split, p in zip(names, splits, parts)
  ]


def _read_captions(files: files_lib.Files, path: str, strict: bool) -> dict[str, str]:
  """Name of an image -> caption, from every captions.tsv.

  Raises:
    UserError: for a file that cannot be read, a line without a tab, a second caption, or where no
      caption is of a file that is there; with `strict`, where any is not.
  """
  captions = {}
  for name in files.names:
    folder, base = posixpath.split(name)
    if base != gallery.CAPTIONS:
      continue
    try:
      text = files.read(name).decode("utf-8-sig")
    except (images.BadImage, UnicodeDecodeError) as error:
      raise core.UserError(f"cannot read {name} of {path}: {error}") from error
    for number, line in enumerate(text.split("\n"), 1):
      if not line.strip():
        continue
      file, tab, caption = line.partition("\t")
      if not tab:
        raise core.UserError(f"{name} of {path}, line {number}: no tab between file and caption")
      file = posixpath.normpath(posixpath.join(folder, file.strip()))
      file = unicodedata.normalize("NFC", file)
      if captions.setdefault(file, caption.strip()) != caption.strip():
        raise core.UserError(f"{name} of {path}, line {number}: {file} has another caption above")
  absent = sorted(captions.keys() - set(files.names))
  if absent and len(absent) == len(captions):
    raise core.UserError(
      f"the captions of {path} are of files that are not there: {source.some(absent)}: lines are"
      " file<tab>caption, and the file is named from the folder of captions.tsv"
    )
  if absent:
    count = f"{len(absent)} captions of {path} are of files that are not there"
    if strict:
      raise core.UserError(f"{count}: {source.some(absent)}")
    logging.warning("%s: %s.", count, source.some(absent))
  return captions


def _encoded(
  captions: dict[str, str], names: list[str], train: np.ndarray, path: str, strict: bool
) -> tuple[list[np.ndarray], core.Field]:
  """Tokens [T] of every image's caption, in the words of the training split, and what they are.

  Raises:
    UserError: with `strict`, if an image has no caption.
  """
  if bare := [name for name in names if name not in captions]:
    count = f"{len(bare)} of {len(names)} images in {path} have no caption: {source.some(bare)}"
    if strict:
      raise core.UserError(count)
    logging.warning("%s; theirs is empty.", count)
  texts = [captions.get(name, "") for name in names]
  words = vocabulary.build([texts[i] for i in train])
  counts = [len(vocabulary.split_words(text)) for text in texts]
  length = min(LONGEST_CAPTION, 2 + max(counts[i] for i in train))
  if cut := sum(count > length - 2 for count in counts):
    logging.warning("%d captions of %s are cut after %d words.", cut, path, length - 2)
  tokens = [words.encode(text, length) for text in texts]
  return tokens, core.Field((length,), len(words), words.words)


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
  patch: int,
) -> source.Source:
  """The images of a folder or zip archive; see `gen_jax.data.load` for the arguments.

  Each image is decoded once here, and again whenever it is read.

  Raises:
    UserError: if there is nothing to read, or it cannot be read as one set of images.
  """
  if not path:
    raise core.UserError("data.name=folder reads images from data.path, which is not given")
  files = files_lib.open_files(path)
  names, unread = gallery.find(files, strict)
  entries = _layout(names, path)

  facts = gallery.inspect(files, names)
  broken = [f"{e.file} ({f.error})" for e, f in zip(entries, facts) if f.error]
  count = f"{len(broken)} of {len(names)} images in {path} cannot be read: {source.some(broken)}"
  if len(broken) == len(names) or broken and strict:
    raise core.UserError(count)
  if broken:
    logging.warning("%s; they are left out.", count)
  entries = [e for e, f in zip(entries, facts) if not f.error]
  facts = [f for f in facts if not f.error]
  notes: dict = {"skipped": len(broken), "unread": unread}

  sizes = [(resolution, resolution) if resolution else f.size for f in facts]
  height, width = patches.example_size([e.file for e in entries], sizes, patch, path)
  channels = channels or gallery.common_channels(facts)

  categories = tuple(sorted({e.category for e in entries} - {""}))
  labels = {category: np.asarray(i, np.int32) for i, category in enumerate(categories)}
  spec = core.Spec.of((height, width, channels), 256, len(categories), categories)

  positions = _split(entries, validation=validation, test=test, seed=split_seed)
  if categories:
    learnt = np.array([labels[entries[i].category] for i in positions["train"]])
    source.say_untrained(learnt, spec.fields["label"], path)
  captions = _read_captions(files, path, strict)
  tokens = None
  if patch and captions:
    logging.warning("captions in %s are of whole images; with data.patch they are left out.", path)
    captions = {}
  if captions:
    named = [e.file for e in entries]
    tokens, field = _encoded(captions, named, positions["train"], path, strict)
    spec = spec._replace(fields={**spec.fields, "caption": field})
    notes.update(uncaptioned=sum(e.file not in captions for e in entries))

  def example(i):
    entry = entries[i]
    image = gallery.again(files, entry.file)
    out = {"x": images.fit(image, channels, resolution, resize)}
    if categories:
      out["label"] = labels[entry.category]
    if tokens:
      out["caption"] = tokens[i]
    return out

  def read(positions):
    return map(example, positions)

  splits = patches.make_splits(read, positions, sizes, spec, patch)
  return source.Source("folder", spec, splits, notes, files.digest())


def _split(entries: list[_Entry], **fractions) -> dict[str, np.ndarray]:
  """Split -> positions of its entries."""
  pools: dict[str, list[int]] = {}
  for i, entry in enumerate(entries):
    pools.setdefault(entry.split, []).append(i)
  chosen = source.hold_out({k: len(v) for k, v in pools.items()}, **fractions)
  return {name: np.array(pools[origin])[where] for name, (origin, where) in chosen.items()}
