"""Checkpoints: orbax behind one class, with digests, because orbax restores flipped bits unnoticed.

A checkpoint holds `state`, a pytree of arrays, and `meta`, JSON: stage, step, fingerprint, and the
layout and digests of the arrays.
Saves are asynchronous and atomic; the newest ones and the best one are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint.checkpoint_managers import preservation_policy as preservation

from gen_jax.core import PyTree, UserError
from gen_jax.run.processes import agree

BEST = "best"


def digest(leaf: jax.Array) -> str | None:
  """SHA-256 of an array's shape, type and bytes; None for one of which others have parts."""
  if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
    if not leaf.is_fully_replicated:
      return None
    leaf = leaf.addressable_data(0)
  array = np.ascontiguousarray(leaf)
  text = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
  text.update(array.reshape(-1).view(np.uint8).data)
  return text.hexdigest()


def by_path(tree: PyTree, function: Callable) -> dict[str, Any]:
  """path -> function(leaf) of every leaf."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {jax.tree_util.keystr(path): function(leaf) for path, leaf in leaves}


def layout(tree: PyTree) -> dict[str, str]:
  """path -> shape and type of every leaf."""
  return by_path(tree, lambda leaf: f"{tuple(leaf.shape)} {leaf.dtype}")


def digest_of_record(meta: dict[str, Any]) -> str:
  """SHA-256 of a JSON record, whatever the order of its fields."""
  return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


class Damaged(Exception):
  """A checkpoint whose content is not what was saved."""


def without_closed_loops(hook: Callable) -> Callable:
  """The hook, silent on readers and writers that end after one of them failed and closed their
  event loop."""
  if getattr(hook, "silent", False):
    return hook

  def silent(problem):
    error = problem.exc_value
    if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
      hook(problem)

  silent.silent = True
  return silent


@contextlib.contextmanager
def reading() -> Iterator[None]:
  """Orbax raises whatever its readers raise: here that is damage."""
  try:
    yield
  except Exception as error:
    first = (str(error).splitlines() or [""])[0]
    raise Damaged(f"{type(error).__name__}: {first[:200]}") from error


class Checkpoints:
  """The checkpoints of one run folder.

  Args:
    folder: where they are.
    keep: how many of the newest are kept.
    writable: False to only read, such as for sampling while training goes on.
  """

  def __init__(self, folder: epath.PathLike, *, keep: int = 2, writable: bool = True):
    sys.unraisablehook = without_closed_loops(sys.unraisablehook)
    self.folder, self.writable = epath.Path(folder), writable
    policy = preservation.AnyPreservationPolicy([
      preservation.LatestN(keep),
      preservation.BestN(
        get_metric_fn=lambda metrics: -metrics[BEST], n=1, keep_checkpoints_without_metrics=False
      ),
    ])  # fmt: skip
    options = ocp.CheckpointManagerOptions(
      preservation_policy=policy, cleanup_tmp_directories=writable, read_only=not writable,
      create=writable, enable_async_checkpointing=True,
    )  # fmt: skip
    if not writable and not self.folder.exists():
      raise UserError(f"{self.folder} does not exist: there is no checkpoint to read")
    self.manager = ocp.CheckpointManager(
      self.folder.resolve() if "://" not in str(folder) else self.folder, options=options,
      item_names=("state", "meta"),
    )  # fmt: skip

  def steps(self) -> list[int]:
    """Total steps of the checkpoints there are, ascending."""
    return sorted(self.manager.all_steps())

  def save(self, step: int, state: PyTree, meta: dict[str, Any], best: float | None = None) -> None:
    """Starts to save; returns once the arrays are copied, so that `state` may be donated."""
    meta = {**meta, BEST: best, "layout": layout(state), "digests": by_path(state, digest)}
    meta["digest"] = digest_of_record(meta)
    self.manager.save(
      step,
      args=ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)),
      metrics=None if best is None else {BEST: best},
    )

  def meta(self, step: int) -> dict[str, Any]:
    """The meta record of a checkpoint.

    Raises:
      Damaged: if it cannot be read, or is not what was saved.
    """
    args = ocp.args.Composite(meta=ocp.args.JsonRestore())
    with reading():
      meta = dict(self.manager.restore(step, args=args)["meta"])
    # Checkpoints of before records had a digest go without.
    if meta.pop("digest", None) not in (None, digest_of_record(meta)):
      raise Damaged("its record is not what was saved")
    return meta

  def restore(self, step: int, abstract: Callable[[dict], PyTree]) -> tuple[PyTree, dict]:
    """State and meta of one checkpoint.

    Args:
      step: total step.
      abstract: meta -> pytree of `jax.ShapeDtypeStruct` with shardings, as the state shall be.

    Raises:
      Damaged: if it cannot be read, or a leaf is not what was saved.
      UserError: if it holds the state of another model.
    """
    meta = self.meta(step)
    target = abstract(meta)
    wanted, saved = layout(target), meta.get("layout", layout(target))
    for path in sorted(wanted.keys() | saved.keys()):
      if wanted.get(path) != saved.get(path):
        raise UserError(
          f"checkpoint {step} in {self.folder} is another model's: {path} is"
          f" {saved.get(path, 'missing')} there, {wanted.get(path, 'missing')} here"
        )
    with reading():
      args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
      state = self.manager.restore(step, args=args)["state"]
    for path, found in by_path(state, digest).items():
      original = meta["digests"].get(path)
      if found is not None and original is not None and found != original:
        raise Damaged(f"{path} is not what was saved")
    return state, meta

  def restore_newest(self, abstract: Callable[[dict], PyTree]) -> tuple[PyTree, dict] | None:
    """The newest checkpoint that is whole; None where there is none at all.

    Damaged ones that are newer are named in a warning and set aside (where writable).

    Raises:
      UserError: if there are checkpoints, and all are damaged; they stay where they are.
    """
    damaged = []
    for step in reversed(self.steps()):
      try:
        found = self.restore(step, abstract)
      except Damaged as error:
        logging.warning("checkpoint %d in %s is damaged (%s)", step, self.folder, error)
        damaged.append(step)
        continue
      for newer in damaged:
        self.set_aside(newer)
      return found
    if damaged:
      raise UserError(f"every checkpoint in {self.folder} is damaged: give another --workdir")
    return None

  def set_aside(self, step: int) -> None:
    """Moves a damaged checkpoint out of the way of the one that will be written in its place."""
    if not self.writable:
      return

    def move():
      aside = self.folder.parent / "damaged"
      aside.mkdir(parents=True, exist_ok=True)
      target = aside / str(step)
      target.rmtree(missing_ok=True)
      (self.folder / str(step)).rename(target)

    agree(move)
    self.manager.reload()

  def best_step(self) -> int | None:
    """Total step of the best checkpoint by the validation term, if any has one."""
    scored = []
    for step in self.steps():
      try:
        best = self.meta(step).get(BEST)
      except Damaged as error:
        logging.warning("checkpoint %d in %s is damaged (%s)", step, self.folder, error)
        continue
      if best is not None:
        scored.append((best, step))
    return min(scored)[1] if scored else None

  def close(self) -> None:
    """Waits for the save that is under way."""
    self.manager.wait_until_finished()
    self.manager.close()
