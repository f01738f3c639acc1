"""Data sources: embedded sets, folders and archives of images, TensorFlow Datasets."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

from annotated_types import Ge, Interval, Le

from gen_jax import core, schema
from gen_jax.data import (
  arrays,
  biased,
  cipher,
  digits,
  domains,
  folder,
  images,
  mixture,
  moving_mnist,
  pairs,
  persons,
  rules,
  shapes,
  stacked,
  table,
  text,
  tfds,
  toy2d,
  video,
)
from gen_jax.data import binarize as binary
from gen_jax.data.arrays import from_arrays
from gen_jax.data.inputs import Inputs, is_text, read_input
from gen_jax.data.pipeline import Feed, Pipeline, check_feed, make_pipeline, passes
from gen_jax.data.shapes import LEFT_OUT
from gen_jax.data.source import (
  ArraySplit,
  LazySplit,
  Source,
  Split,
  Unpaired,
  keep_classes,
  keep_labels,
  partition,
)
from gen_jax.data.vocabulary import SPECIAL, Vocabulary, split_words
from gen_jax.schema import Count, Decay, Natural, Positive, Seed, Share

__all__ = [
  "ArraySplit", "Feed", "Inputs", "LEFT_OUT", "LazySplit", "Pipeline", "SOURCES", "SPECIAL",
  "Source", "Split", "Unpaired", "Vocabulary", "check_feed", "from_arrays", "is_text", "load",
  "make_pipeline", "partition", "passes", "read_input", "split_words",
]  # fmt: skip

# What a source is called -> what opens it. Its keyword-only parameters are the settings it takes.
# A name that ends in ":" takes any rest, which is the first argument.
SOURCES: dict[str, Callable[..., Source]] = {
  "digits": digits.load,
  "digits:tinted": biased.tinted,
  "stacked": stacked.load,
  "shapes": shapes.load,
  "shapes:hearts": biased.hearts,
  "folder": folder.load,
  "arrays": arrays.load,
  **{f"toy2d:{name}": functools.partial(toy2d.load, name) for name in toy2d.NAMES},
  **{f"mixture:{dims}": functools.partial(mixture.load, dims) for dims in (8, 16, 64)},
  "moving": video.moving,
  "moving:mnist": moving_mnist.load,
  "maze": video.maze,
  "maze:many": video.many_mazes,
  "table": table.load,
  "table:adult": table.adult,
  "table:biased": table.biased,
  "text": text.load,
  "text:cipher": cipher.load,
  "persons:tinted": persons.tinted,
  "pairs": pairs.load,
  "domains": domains.load,
  "pairs:segmentation": rules.segmentation,
  **{f"pairs:{name}": functools.partial(rules.pairs, name) for name in rules.RULES},
  **{f"domains:{name}": functools.partial(rules.domains, name) for name in rules.RULES},
  "tfds:": tfds.load,
}


def load(
  name: str,
  *,
  path: str = "",
  data_dir: str = "",
  resolution: Annotated[int, Interval(ge=0, le=4096)] = 0,
  channels: Literal[0, 1, 3] = 0,
  resize: images.Resize = "crop",
  patch: Annotated[int, Interval(ge=0, le=4096)] = 0,
  validation: Decay = 0.1,
  test: Decay = 0.2,
  split_seed: Seed = 0,
  strict: bool = False,
  binarize: Literal["", "static", "threshold"] = "",
  only: tuple[int, ...] = (),
  pairing: Literal["folders", "suffix", "side_by_side"] = "folders",
  suffix: str = "_mask",
  classes: Natural = 0,
  ignore: Annotated[int, Interval(ge=-1, le=65535)] = -1,
  painted: bool = False,
  borders: tuple[Positive, ...] = (),
  other: str = "",
  frames: Annotated[int, Ge(2)] = 8,
  clips: Count = 40_000,
  languages: tuple[str, ...] = (),
  unpaired: bool = False,
  tokens: Literal["words", "spaces"] = "words",
  minimum: Count = 2,
  columns: tuple[str, ...] = (),
  missing: str = "",
  length: Annotated[int, Ge(0), Le(4096)] = 0,
  leave_out: tuple[str, ...] = (),
  tint: Share = 0.95,
  labels: Natural = 0,
  labels_seed: Seed = 0,
) -> Source:
  """Opens a source of data; this signature is the schema of a config's data section.

  Args:
    name: "digits" (scikit-learn's, 8x8), "stacked" (three of them as RGB), "shapes" (32x32 sprites
      with known factors, captions and masks), "shapes:hearts" and "digits:tinted" (whose colour
      goes with the class in training alone), "persons:tinted" (a folder of images for each person
      at `path`, in colours that change between two sessions), "toy2d:" and one of
      gen_jax.data.toy2d.NAMES, "mixture:8", "mixture:16" and "mixture:64" (Gaussians of known
      density), "folder", "pairs" or "domains" (images at `path`), "arrays" (an .npz file at
      `path`), "moving", "maze" and "maze:many" (video with actions), "moving:mnist" (of tfds:mnist
      or an .npz file at `path`), "text" (a sentence a line, at `path`), "text:cipher" (two
      languages made by rule), "table" (CSV files at `path`), "table:adult" (UCI's), "table:biased"
      (made by rule), "pairs:" or "domains:" and a rule of gen_jax.data.rules, or "tfds:" and the
      name of a prepared TensorFlow Datasets set of images.
    path: for "folder": a folder or a zip archive of PNG, JPEG, GIF, BMP, WebP, TIFF or PNM images
      named split/class/name.png, class/name.png, split/name.png or name.png, where split is train,
      val, validation, test, ... in whatever letters. A captions.tsv beside the images, with lines
      "file<tab>caption", gives captions. For "pairs", see `pairing`; for "domains", folders trainA,
      trainB, testA and testB, or A and B.
    data_dir: for "tfds:...": where prepared sets are kept; "" is TFDS's own default.
    resolution: height and width in pixels to bring images to, or 0 for the images' own, which
      must then be of one size, unless patches are taken. `shapes` is drawn at it.
    channels: 1 (grey) or 3 (RGB) to bring images to, or 0 for what most of them are.
    resize: how images are brought to `resolution`, always antialiased (Lanczos): "crop" takes
      the largest centred square, "pad" puts the whole image on a black square, "stretch" does
      not keep the proportions.
    patch: for "folder" and "pairs": height and width in pixels of an example, cut out of an image
      that keeps its own size (or has `resolution`): at a place drawn anew at every step of
      training, about the centre elsewhere; 0 for whole images. Smaller images are refused, and more
      than 1 GiB of them (padded to the largest) unless `resident` is yes; captions are left out.
    validation: fraction of the training examples held out, where the source has no validation
      split of its own; 0 for no validation split.
    test: the same for the test split. (`toy2d` draws 10k validation and 100k test points,
      `mixture` 10k and 20k, whatever the fractions, unless they are 0.)
    split_seed: of the choice of held-out examples, of the points of `toy2d` and `mixture`, and of
      `binarize`.
    strict: for "folder": refuse it if any image is broken or lacks a caption that others have,
      instead of leaving the image out or its caption empty with a warning. For "folder", "pairs"
      and "domains": refuse them if images of formats that are not read are there, which are named
      and counted otherwise.
    binarize: "static" makes each pixel 1 with the probability of its intensity, once for all;
      "threshold" makes it 1 from half intensity on; "" keeps the grey levels.
    only: classes to learn from: the training and validation splits keep their examples only, in
      memory, and the test split keeps all, so that the others are outliers. () for all classes.
    pairing: for "pairs": "folders" pairs files of one name in the folders A (or images) and B (or
      masks, where they are labels), inside or outside of split folders; "suffix" pairs a.png
      with the labels a_mask.png; "side_by_side" cuts one picture in two, left x and right y.
    suffix: of the names of label images, for "suffix".
    classes: for "pairs" with label images: how many, or 0 for what the values say; 0 and 255
      alone are two classes. Labels are never mixed: resizing takes the nearest.
    ignore: the value in label images of pixels that are of no class, -1 for none. In a batch, a
      label of `levels` or more is of no class.
    painted: for "pairs" with label images: y is the label image in colours of classes, white where
      there is none, so that it can be translated.
    borders: for "pairs" with label images: (w0, sigma) of the weights w0 exp(-(d1 + d2)^2 / (2
      sigma^2)) of pixels at distances d1 and d2 of the two nearest regions (Ronneberger et al.
      2015, whose are 10 and 5), as a field `border` that the loss adds to those of the classes;
      regions are connected pixels of one class but 0. () for none.
    other: the name of a second source, or the path of a second folder of images or .npz file: its x
      is y and its label label_y, in an order of its own.
    frames: T of a clip of "moving", "moving:mnist" or "maze".
    clips: how many are trained on; they are drawn as they are needed, and cost no memory.
    languages: for "text": parts of the names of files: with ("en", "fr"), x is of train.en, ... and
      y of train.fr, ..., line by line. () for one language, in train.txt, ...
    unpaired: for "text" of two languages: x has the first half of the training lines, y the last:
      no sentence has its translation there (Lample et al. 2018).
    tokens: for "text": lower-cased words and punctuation marks, or what stands between spaces.
    minimum: for "text": rarer words are <unk>.
    columns, missing: for "table": "name:kind" of each column, of kind real, category, label, group
      (a protected attribute) or skip, in order where there is no header; and the cell of no value,
      besides an empty one.
    length: for "text": T in tokens, <bos> and <eos> among them; 0 for that of the longest training
      sentence, up to 64.
    leave_out: for "shapes": colours and shapes, such as "red heart", of which no split has a sprite
      but one of their own, "left_out".
    tint: for "shapes:hearts" and "digits:tinted": share of a class in its own colours in training.
    labels, labels_seed: how many training examples of each class are kept, 0 for all, and the seed
      of the choice; the other splits keep all of theirs.

  Returns:
    A source whose splits "train", "validation" and "test" do not overlap; none is empty.

  Raises:
    UserError: if anything about the arguments or the files is wrong, in one line.
  """
  given = {field: value for field, value in locals().items() if field != "name"}
  defaults = inspect.signature(load).parameters
  hints = typing.get_type_hints(load, include_extras=True)
  for field, value in given.items():
    schema.check(hints[field], value, f"data.{field}")
  also = [field for field in ("other", "only", "binarize", "labels") if given[field]]
  if patch and also:
    raise core.UserError(f"data.patch and data.{also[0]} do not go together: set one of them")
  openers, settings = [_find(name)], [given]
  if other:
    at_path = is_path(other) and os.path.exists(os.path.expanduser(other))
    if not at_path and other.endswith(".npz"):
      raise core.UserError(f"data.other={other!r}: there is no such file")
    opener = arrays.load if other.endswith(".npz") else folder.load
    openers.append(opener if at_path else _find(other))
    settings.append({**given, "path": other} if at_path else given)
  takes = set().union(*map(_takes, openers))
  unread = given.keys() - takes - {"binarize", "labels", "labels_seed", "only", "other"}
  _refuse(name, [field for field in unread if given[field] != defaults[field].default])
  source, *second = (
    opener(**{field: own[field] for field in _takes(opener)})
    for opener, own in zip(openers, settings, strict=True)
  )
  if second:
    source = domains.unite(source, *second, name=f"{name} and {other}")
  if (only or binarize or labels) and any(len(s.parts()) > 1 for s in source.splits.values()):
    raise core.UserError(f"data.only, labels and binarize are for one domain, not for {name}")
  kept = keep_labels(keep_classes(source, only), labels, labels_seed)
  return binary.binarize(kept, binarize, split_seed)


def _refuse(name: str, fields: list[str]) -> None:
  """Refuses settings that a source does not read, naming those that do."""
  for field in fields:
    readers = [other for other in SOURCES if field in _takes(SOURCES[other])]
    kinds = dict.fromkeys(reader.partition(":")[0] for reader in readers)
    raise core.UserError(f"data.{field} is read by {', '.join(kinds)}, not by {name}")


def is_path(other: str) -> bool:
  """Whether config.data.other names a folder, not a source."""
  return bool(other) and other not in SOURCES and f"{other.partition(':')[0]}:" not in SOURCES


def _find(name: str) -> Callable[..., Source]:
  """What opens the source of that name.

  Raises:
    UserError: if there is none, naming the nearest ones.
  """
  kind, colon, rest = name.partition(":")
  if rest and kind + colon in SOURCES:
    return functools.partial(SOURCES[kind + colon], rest)
  if name in SOURCES and not name.endswith(":"):
    return SOURCES[name]
  if os.path.exists(os.path.expanduser(name)):
    raise core.UserError(f"data.name={name!r} is a path: set data.name=folder data.path={name}")
  near = difflib.get_close_matches(name, SOURCES, n=3)
  near = near or [n for n in SOURCES if name and name in n][:3]
  hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(SOURCES)}..."
  raise core.UserError(f"no data source {name!r}: {hint}")


def _takes(opener: Callable[..., Any]) -> set[str]:
  """The settings that an opener reads."""
  parameters = inspect.signature(opener).parameters.values()
  return {p.name for p in parameters if p.kind == p.KEYWORD_ONLY}
