"""Prepares a TensorFlow Datasets set, so that it can be read without TensorFlow.

  pip install tensorflow-cpu
  python -m gen_jax.data.prepare mnist --data_dir DIR
  python -m gen_jax.main --config ... --config.data.name=tfds:mnist --config.data.data_dir=DIR

This step alone needs TensorFlow, and may run on another machine. Without a network, put the files
that TFDS would download, under their own names, into DIR/downloads/manual first: files whose
checksums are right are taken from there.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys

from gen_jax import core
from gen_jax.data import source
from gen_jax.data import tfds as tfds_lib


def prepare(name: str, data_dir: str = "") -> str:
  """Downloads a set and writes it as ArrayRecord files.

  Args:
    name: as TFDS has it: "mnist", "cifar10:3.0.2"; "tfds:mnist" means the same.
    data_dir: where prepared sets are kept; "" is ~/tensorflow_datasets.

  Returns:
    The folder of the prepared set.

  Raises:
    UserError: if TensorFlow is missing, the name is unknown, or the download fails.
  """
  name = name.removeprefix("tfds:")
  if importlib.util.find_spec("tensorflow") is None:
    raise core.UserError(
      "preparing a set needs TensorFlow, reading it does not: pip install tensorflow-cpu"
    )
  builder = tfds_lib.find_builder(name, data_dir, file_format="array_record")
  try:
    builder.download_and_prepare(file_format="array_record")
  except Exception as error:  # whatever the set's own code and the network raise
    manual = f"{data_dir or '~/tensorflow_datasets'}/downloads/manual"
    raise core.UserError(
      f"{name} could not be prepared: {source.reason(error)} "
      f"(without a network, put the files that it downloads into {manual})"
    ) from error
  return str(builder.data_dir)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("name", help="of the set: mnist, cifar10, ...")
  parser.add_argument("--data_dir", default="", help="default: ~/tensorflow_datasets")
  args = parser.parse_args()
  try:
    print(f"prepared {prepare(args.name, args.data_dir)}")
  except core.UserError as error:
    sys.exit(f"error: {error}")


if __name__ == "__main__":
  main()
