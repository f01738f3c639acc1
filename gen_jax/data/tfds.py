"""Image sets of TensorFlow Datasets, read without TensorFlow.

Only the public splits "train", "validation" and "test" are read, and of each example `image` and
`label`.
"""

from __future__ import annotations

import contextlib
import difflib

import numpy as np
from absl import logging

from gen_jax import core
from gen_jax.data import digest, images, source

_SPLITS = ("train", "validation", "test")


@contextlib.contextmanager
def quiet():
  """Silences the remarks that TFDS logs on the way, and keeps it from importing what the files of a
  set name as the class of a feature: a folder of data is no program.

  Raises:
    UserError: naming a class that is not TFDS's own.
  """
  from tensorflow_datasets.core.features.feature import FeatureConnector

  verbosity, original = logging.get_verbosity(), FeatureConnector.__dict__["cls_from_name"]

  def own(cls, name):
    if not (isinstance(name, str) and name.startswith("tensorflow_datasets.")):
      raise core.UserError(
        f"a prepared TFDS set has a feature of the class {name!r}, which is not TFDS's own and is"
        " not imported"
      )
    return original.__func__(cls, name)

  logging.set_verbosity(logging.ERROR)
  FeatureConnector.cls_from_name = classmethod(own)
  try:
    yield
  finally:
    FeatureConnector.cls_from_name = original
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
  except core.UserError:
    raise
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
    prepared, features = builder.is_prepared(), builder.info.features
  if not prepared:
    raise core.UserError(
      f"tfds:{name} is not prepared in {builder.data_dir}: with tensorflow installed, run "
      + prepare_command(name, data_dir)
    )
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
  shape = (resolution, resolution) if resolution else (height, width)
  has_label = isinstance(label, tfds.features.ClassLabel) and bool(label.num_classes)

  own = {k: v.num_examples for k, v in builder.info.splits.items() if k in _SPLITS}
  if "train" not in own:
    raise core.UserError(f"tfds:{name} has no train split: it has {', '.join(builder.info.splits)}")
  chosen = source.hold_out(own, validation=validation, test=test, seed=split_seed)
  channels = channels or (1 if depth == 1 else 3)
  # Read as bytes and parsed here, so that features that nobody asked for are not decoded, and
  # images are by `images.decode`, which knows bounds.
  content = tfds.features.Text()
  wanted = {"image": content, "label": label} if has_label else {"image": content}
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

  def pixels(content):
    try:
      x = images.fit(images.decode(content), channels, resolution, resize)
    except images.BadImage as error:
      raise core.UserError(f"an image of tfds:{name} cannot be read: {error}") from error
    if x.shape[:2] != shape:
      raise core.UserError(
        f"tfds:{name} states images of {shape[0]}x{shape[1]} pixels and has one of"
        f" {x.shape[0]}x{x.shape[1]}: set data.resolution"
      )
    return x

  def example(record):
    features = parse(record)
    out = {"x": pixels(features["image"])}
    if has_label:
      out["label"] = np.asarray(features["label"], np.int32)
    return out

  def reader(split):
    # One read of many records is ten times as fast as many reads of one.
    return lambda positions: map(example, readers[split].__getitems__(positions))

  classes = (label.num_classes, tuple(label.names)) if has_label else ()
  spec = core.Spec.of((*shape, channels), 256, *classes)
  splits = {
    split: source.LazySplit(reader(origin), indices) for split, (origin, indices) in chosen.items()
  }
  stated = {k: f"{s.num_examples} {s.num_bytes}" for k, s in builder.info.splits.items()}
  which = digest.of_texts({**stated, "name": builder.info.full_name})
  return source.Source(f"tfds:{name}", spec, splits, digest=which)
