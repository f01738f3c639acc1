"""Weights as safetensors, for other programs."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import safetensors
import safetensors.numpy

from gen_jax.core import Program, PyTree, UserError
from gen_jax.run import processes
from gen_jax.run.files import write_bytes
from gen_jax.run.folder import read_record


def export_safetensors(path: str | Path, tree: PyTree, metadata: dict[str, str]) -> None:
  """Writes every array of a tree under its dotted name, such as params.unet.Conv_0.kernel.

  The dtype is kept, bfloat16 too. The file appears whole or not at all.

  Args:
    path: of the file.
    tree: of arrays.
    metadata: strings for the header.

  Raises:
    ValueError: where two arrays have the same name.
    TypeError: for a typed key, which is no array of numbers.
  """
  path, arrays = Path(path), {}
  for keys, leaf in jax.tree_util.tree_leaves_with_path(tree):
    name = jax.tree_util.keystr(keys, simple=True, separator=".")
    if name in arrays:
      raise ValueError(f"two arrays of the tree are called {name}")
    arrays[name] = np.asarray(jax.device_get(leaf), order="C")  # the format knows no strides
  write_bytes(path, safetensors.numpy.save(arrays, metadata))


def load_safetensors(path: str | Path) -> dict[str, np.ndarray]:
  """Dotted name -> array of a file that export_safetensors wrote.

  Raises:
    UserError: if the file is missing or damaged.
  """
  try:
    return safetensors.numpy.load_file(path)
  except (OSError, safetensors.SafetensorError) as error:
    raise UserError(f"{path} is no readable safetensors file: {error}") from error


def write_weights(workdir: Path, program: Program, states: list[PyTree]) -> Path:
  """Every stage's entries named in Model.weights, as <workdir>/weights.safetensors; of the stages
  that there are so far, without those that were freed."""
  trees = [
    {name: state[name] for name in stage.model.weights if name in state}
    for stage, state in zip(program.stages, states, strict=False)
  ]
  tree = trees[0] if len(trees) == 1 else {f"stage{i}": t for i, t in enumerate(trees)}
  path = workdir / "weights.safetensors"
  if processes.is_first():
    mark = read_record(workdir)["fingerprint"]
    export_safetensors(path, tree, {"fingerprint": mark})
  return path
