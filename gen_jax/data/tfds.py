"""Image sets of TensorFlow Datasets, read without TensorFlow.

Only the public splits "train", "validation" and "test" are read, and of each example `image` and
`label`.
"""

from __future__ import annotations

import contextlib
import difflib

import numpy as np
from absl import logging
from PIL import Image

from gen_jax import core
from gen_jax.data import digest, images, source

_SPLITS = ("train", "validation", "test")


@contextlib.contextmanager
def quiet():
  """Silences the remarks that TFDS logs on the way."""
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(verbosity)


def prepare_command(name: str, data_dir: str) -> str:
  """The shell command that prepares a set."""
  where = f" --data_dir {data_dir}" if data_dir else ""
  return f"python -m gen_jax.data.prepare {name}{where}"


def find_builder(name: str, data_dir: str, **options):
  """The tfds.core.DatasetBuilder of a name such as "mnist" or "cifar10:3.0.2".

  Raises:
    UserError: for a name that TFDS does not know; it names the nearest ones.
  """
  import tensorflow_datasets as tfds

  try:
    with quiet():
      return tfds.builder(name, data_dir=data_dir or None, **options)
  except tfds.core.DatasetNotFoundError:
    known = tfds.list_builders(with_community_datasets=False)
    near = difflib.get_close_matches(name, known, n=3)
    hint = f": did you mean {' or '.join(near)}?" if near else " and nothing is prepared under it"
    raise core.UserError(f"TFDS has no data set {name!r}{hint}") from None
  except Exception as error:  # TFDS has no common class for a bad version, config or syntax
    raise core.UserError(f"TFDS cannot make {name!r}: {source.reason(error)}") from error


def load(
  name: str,
  *,
  data_dir: str,
  resolution: int,
  channels: int,
  resize: str,
  validation: float,
  test: float,
  split_seed: int,
) -> source.Source:
  """A prepared set of images; see `gen_jax.data.load` for the arguments.

  Args:
    name: of the set, with version or config where wanted: "mnist", "cifar10:3.0.2".

  Raises:
    UserError: if the set is unknown, not prepared, has no images, or no one size.
  """
  import tensorflow_datasets as tfds

  builder = find_builder(name, data_dir)
  with quiet():
    prepared = builder.is_prepared()
  if not prepared:
    raise core.UserError(
      f"tfds:{name} is not prepared in {builder.data_dir}: with tensorflow installed, run "
      + prepare_command(name, data_dir)
    )
  features = builder.info.features
  features = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
  image, label = features.get("image"), features.get("label")
  if not isinstance(image, tfds.features.Image) or image.np_dtype != np.uint8:
    has = ", ".join(features) or "none with a name"
    raise core.UserError(f"tfds:{name} has no `image` of 8-bit pixels; its features: {has}")
  height, width, depth = image.shape
  if not resolution and not (height and width):
    raise core.UserError(
      f"the images of tfds:{name} have different sizes: set data.resolution, such as 64"
    )
  has_label = isinstance(label, tfds.features.ClassLabel) and bool(label.num_classes)

  own = {k: v.num_examples for k, v in builder.info.splits.items() if k in _SPLITS}
  if "train" not in own:
    raise core.UserError(f"tfds:{name} has no train split: it has {', '.join(builder.info.splits)}")
  chosen = source.hold_out(own, validation=validation, test=test, seed=split_seed)
  channels = channels or (1 if depth == 1 else 3)
  # Read as bytes and parsed here, so that features that nobody asked for are not decoded.
  wanted = {"image": image, "label": label} if has_label else {"image": image}
  parse = tfds.features.FeaturesDict(wanted).deserialize_example_np
  raw = tfds.decode.DeserializeMethod.RAW_BYTES
  try:
    with quiet():
      readers = {split: builder.as_data_source(split, deserialize_method=raw) for split in own}
      parse(readers["train"][0])  # what there is to remark, TFDS remarks on the first example
  except NotImplementedError:
    raise core.UserError(
      f"tfds:{name} in {builder.data_dir} is prepared as {builder.info.file_format.value}, which "
      f"needs TensorFlow: prepare it in another folder, {prepare_command(name, 'DIR')}"
    ) from None
  except Exception as error:  # files that are missing or damaged
    raise core.UserError(
      f"tfds:{name} in {builder.data_dir} cannot be read: {source.reason(error)}"
    ) from error

  def example(record):
    features = parse(record)
    out = {"x": _pixels(features["image"], channels, resolution, resize)}
    if has_label:
      out["label"] = np.asarray(features["label"], np.int32)
    return out

  def reader(split):
    # One read of many records is ten times as fast as many reads of one.
    return lambda positions: map(example, readers[split].__getitems__(positions))

  shape = (resolution, resolution) if resolution else (height, width)
  classes = (label.num_classes, tuple(label.names)) if has_label else ()
  spec = core.Spec.of((*shape, channels), 256, *classes)
  splits = {
    split: source.LazySplit(reader(origin), indices) for split, (origin, indices) in chosen.items()
  }
  stated = {k: f"{s.num_examples} {s.num_bytes}" for k, s in builder.info.splits.items()}
  which = digest.of_texts({**stated, "name": builder.info.full_name})
  return source.Source(f"tfds:{name}", spec, splits, digest=which)


def _pixels(pixels: np.ndarray, channels: int, resolution: int, resize: str) -> np.ndarray:
  """uint8 [H, W, C] -> [R, R, channels]; as it is where nothing is to be done."""
  if pixels.shape[-1] == channels and not resolution:
    return pixels
  image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  return images.fit(images.plain(image), channels, resolution, resize)
