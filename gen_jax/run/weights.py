"""Weights as safetensors, for other programs, and to load a finished model from."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import numpy as np
import safetensors
import safetensors.numpy

from gen_jax.core import Program, PyTree, UserError
from gen_jax.run import processes
from gen_jax.run.files import write_bytes
from gen_jax.run.folder import read_record
from gen_jax.run.states import abstract_states, batches_of
from gen_jax.run.system import System, Trained

WEIGHTS = "weights.safetensors"
EXPORTED = "export.json"  # by which an export is known from a run folder


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
    name = name_of(keys)
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


def weights_of(program: Program, states: list[PyTree]) -> PyTree:
  """Every stage's entries named in Model.weights, of the stages that there are so far, without
  those that were freed; of several stages below stage0, stage1, ..."""
  trees = [
    {name: state[name] for name in stage.model.weights if name in state}
    for stage, state in zip(program.stages, states, strict=False)
  ]
  return trees[0] if len(trees) == 1 else {f"stage{i}": t for i, t in enumerate(trees)}


def write_weights(folder: Path, trained: Trained) -> Path:
  """<folder>/weights.safetensors of a system, with what `read_weights` needs to know."""
  path, program = folder / WEIGHTS, trained.system.program
  if processes.is_first():
    mark = read_record(trained.workdir)["fingerprint"]
    told = {"fingerprint": mark, "step": trained.step, "stages": len(trained.states)}
    # As one string: the format keeps several in no order, and equal runs have equal files.
    about = {"run": json.dumps(told, sort_keys=True)}
    export_safetensors(path, weights_of(program, trained.states), about)
  return path


def read_weights(system: System, folder: Path) -> tuple[list[PyTree], int]:
  """States that hold weights alone, which is what a finished model needs, and their total step.

  Raises:
    UserError: if the file is damaged, or not of the run that the folder records.
  """
  path, program = folder / WEIGHTS, system.program
  arrays = load_safetensors(path)
  told = read_about(path)
  if told.get("fingerprint") != read_record(folder)["fingerprint"]:
    raise UserError(f"{path} is not of the run that {folder / 'config.json'} records")
  count = told["stages"]
  shapes = abstract_states(program, count, batches_of(system, 1), system.mesh)
  wanted = jax.tree_util.tree_leaves_with_path(weights_of(program, shapes))
  named = {name_of(keys): leaf for keys, leaf in wanted}
  alike = named.keys() == arrays.keys() and all(
    (x.shape, x.dtype) == (named[name].shape, named[name].dtype) for name, x in arrays.items()
  )
  if not alike:
    raise UserError(f"{path} has not the arrays of the model that its config describes")
  kept = [
    {name: state[name] for name in stage.model.weights if name in state}
    for stage, state in zip(program.stages, shapes, strict=False)
  ]
  lead = lambda i: f"stage{i}." if count > 1 else ""
  fill = lambda i: lambda keys, leaf: jax.device_put(arrays[lead(i) + name_of(keys)], leaf.sharding)
  states = [jax.tree_util.tree_map_with_path(fill(i), state) for i, state in enumerate(kept)]
  return states, told["step"]


def read_about(path: Path) -> dict:
  """What `write_weights` says of the file's run; {} where it does not."""
  with safetensors.safe_open(path, "numpy") as file:
    text = (file.metadata() or {}).get("run", "{}")
  try:
    told = json.loads(text)
  except ValueError:
    return {}
  counts = isinstance(told, dict) and all(type(told.get(k)) is int for k in ("step", "stages"))
  return told if counts else {}


def name_of(keys: tuple) -> str:
  """The dotted name of an array of a tree."""
  return jax.tree_util.keystr(keys, simple=True, separator=".")
