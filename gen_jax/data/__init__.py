"""Data sources: embedded sets, folders and archives of images, TensorFlow Datasets."""

from __future__ import annotations

import difflib
import os
from typing import Literal

from gen_jax import core
from gen_jax.data import binarize as binary
from gen_jax.data import digits, folder, images, shapes, stacked, tfds, toy2d
from gen_jax.data.inputs import Inputs, is_text, read_input
from gen_jax.data.pipeline import Feed, Pipeline, check_feed, make_pipeline, passes
from gen_jax.data.source import ArraySplit, LazySplit, Source, Split, keep_classes, partition
from gen_jax.data.vocabulary import SPECIAL, Vocabulary, split_words

__all__ = [
  "ArraySplit",
  "check_feed",
  "Feed",
  "Inputs",
  "is_text",
  "LazySplit",
  "load",
  "make_pipeline",
  "NAMES",
  "partition",
  "passes",
  "Pipeline",
  "read_input",
  "Source",
  "SPECIAL",
  "Split",
  "split_words",
  "Vocabulary",
]

NAMES = ("digits", "stacked", "shapes", "folder", *(f"toy2d:{name}" for name in toy2d.NAMES))


def load(
  name: str,
  *,
  path: str = "",
  data_dir: str = "",
  resolution: int = 0,
  channels: int = 0,
  resize: str = "crop",
  validation: float = 0.1,
  test: float = 0.2,
  split_seed: int = 0,
  strict: bool = False,
  binarize: Literal["", "static", "threshold"] = "",
  only: tuple[int, ...] = (),
) -> Source:
  """Opens a source of data; this signature is the schema of a config's data section.

  Args:
    name: "digits" (scikit-learn's 8x8 digits), "stacked" (three of them as RGB), "shapes" (32x32
      sprites with known factors, captions and masks), "toy2d:" and one of gen_jax.data.toy2d.NAMES,
      "folder" (images at `path`), or "tfds:" and the name of a prepared TensorFlow Datasets set of
      images.
    path: for "folder": a folder or a zip archive of PNG, JPEG, GIF, BMP, WebP or PNM images named
      split/class/name.png, class/name.png, split/name.png or name.png, where split is train,
      val, validation or test. A captions.tsv beside the images, with lines "file<tab>caption",
      gives captions.
    data_dir: for "tfds:...": where prepared sets are kept; "" is TFDS's own default.
    resolution: height and width in pixels to bring images to, or 0 for the images' own, which
      must then be of one size. `shapes` is drawn at this resolution.
    channels: 1 (grey) or 3 (RGB) to bring images to, or 0 for what most of them are.
    resize: how images are brought to `resolution`, always antialiased (Lanczos): "crop" takes
      the largest centred square, "pad" puts the whole image on a black square, "stretch" does
      not keep the proportions.
    validation: fraction of the training examples held out, where the source has no validation
      split of its own; 0 for no validation split.
    test: the same for the test split. (`toy2d` draws 10k validation and 100k test points
      whatever the fractions, unless they are 0.)
    split_seed: of the choice of held-out examples, of the points of `toy2d`, and of `binarize`.
    strict: for "folder": refuse it if any image is broken or lacks a caption that others have,
      instead of leaving the image out or its caption empty with a warning.
    binarize: "static" makes each pixel 1 with the probability of its intensity, once for all;
      "threshold" makes it 1 from half intensity on; "" keeps the grey levels.
    only: classes to learn from: the training and validation splits keep their examples only, in
      memory, and the test split keeps all, so that the others are outliers. () for all classes.

  Returns:
    A source whose splits "train", "validation" and "test" do not overlap; an empty one is left
    out.

  Raises:
    UserError: if anything about the arguments or the files is wrong, in one line.
  """
  _check(name, path, resolution, channels, resize, validation, test, split_seed, binarize)
  held_out = dict(validation=validation, test=test, split_seed=split_seed)
  fit = dict(resolution=resolution, channels=channels, resize=resize)
  source = _open(name, path, data_dir, strict, fit, held_out)
  return binary.binarize(keep_classes(source, only), binarize, split_seed)


def _open(name, path, data_dir, strict, fit, held_out):
  kind, _, rest = name.partition(":")
  if kind == "tfds" and rest:
    return tfds.load(rest, data_dir=data_dir, **fit, **held_out)
  if name == "folder":
    return folder.load(path=path, strict=strict, **fit, **held_out)
  if name == "shapes":
    _only(name, channels=(fit["channels"], 3))
    return shapes.load(resolution=fit["resolution"], **held_out)
  if name == "digits":
    _only(name, channels=(fit["channels"], 1), resolution=(fit["resolution"], 8))
    return digits.load(**held_out)
  if name == "stacked":
    _only(name, channels=(fit["channels"], 3), resolution=(fit["resolution"], 8))
    return stacked.load(**held_out)
  _only(name, channels=(fit["channels"], 0), resolution=(fit["resolution"], 0))
  return toy2d.load(rest, **held_out)


def _check(name, path, resolution, channels, resize, validation, test, split_seed, binarize):
  if name not in NAMES and not (name.startswith("tfds:") and name != "tfds:"):
    if os.path.exists(os.path.expanduser(name)):
      raise core.UserError(f"data.name={name!r} is a path: set data.name=folder data.path={name}")
    near = difflib.get_close_matches(name, NAMES, n=3)
    near = near or [n for n in NAMES if name and name in n][:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"one of {', '.join(NAMES)}, tfds:..."
    raise core.UserError(f"no data source {name!r}: {hint}")
  if path and name != "folder":
    raise core.UserError(f"data.path is read by data.name=folder, not by {name!r}")
  if not 0 <= resolution <= 4096:
    raise core.UserError(f"data.resolution={resolution}: a number of pixels up to 4096, or 0")
  if channels not in (0, 1, 3):
    raise core.UserError(f"data.channels={channels}: 1 (grey), 3 (RGB), or 0 for the images' own")
  if resize not in images.RESIZE:
    raise core.UserError(f"data.resize={resize!r}: one of {', '.join(images.RESIZE)}")
  for field, value in (("validation", validation), ("test", test)):
    if not 0 <= value < 1:
      raise core.UserError(f"data.{field}={value}: a fraction from 0 up to, not including, 1")
  if split_seed < 0:
    raise core.UserError(f"data.split_seed={split_seed}: 0 or more")
  if binarize not in binary.HOW:
    raise core.UserError(f"data.binarize={binarize!r}: empty, static or threshold")


def _only(name, **fields):
  """Refuses a setting that the source does not have: field=(given, the source's own)."""
  for field, (given, own) in fields.items():
    if given not in (0, own):
      right = f"0 or {own}" if own else "0"
      raise core.UserError(f"data.{field}={given}: {name} takes {right} only")
