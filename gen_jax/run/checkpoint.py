"""Checkpoints: orbax behind one class, with digests, because orbax restores flipped bits unnoticed.

A checkpoint holds `state`, a pytree of arrays, and `meta`, JSON: stage, step, fingerprint, and the
layout and digests of the arrays.
Saves are asynchronous and atomic; the newest ones and the best one are kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from logging import getLogger
from pathlib import Path
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
ASIDE = "damaged"  # where checkpoints that are not what was saved are moved to
# What a record holds at least.
RECORD = {
  "stage": int, "step": int, "attempt": int, "terms": list, "fingerprint": str, "digests": dict,
  "layout": dict,
}  # fmt: skip
TRIES, PAUSE = 40, 0.1  # of reading what training deletes meanwhile; seconds between


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


def links(folder: epath.Path) -> list[str]:
  """What leads out of a run folder where checkpoints are written, moved and deleted."""
  aside = folder.parent / ASIDE
  inside = [p for f in (folder, aside) if os.path.isdir(f) for p in Path(f).iterdir()]
  return [str(path) for path in (folder, aside, *inside) if os.path.islink(path)]


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
def quiet() -> Iterator[None]:
  """Orbax warns of what is meant, such as reading only."""
  logger, worth = getLogger("absl"), lambda line: "orbax" not in line.pathname or line.levelno >= 40
  logger.addFilter(worth)
  try:
    yield
  finally:
    logger.removeFilter(worth)


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
    fingerprint: of the run that they must be of; None for any.

  Raises:
    UserError: if there is nothing to read, or the folder is a link, through which something
      outside the run folder would be written and deleted.
  """

  def __init__(
    self,
    folder: epath.PathLike,
    *,
    keep: int = 2,
    writable: bool = True,
    fingerprint: str | None = None,
  ):
    sys.unraisablehook = without_closed_loops(sys.unraisablehook)
    self.folder, self.writable, self.fingerprint = epath.Path(folder), writable, fingerprint
    for path in links(self.folder) if writable else ():
      raise UserError(f"{path} is a link out of the run folder: nothing is written through it")
    policy = preservation.AnyPreservationPolicy([
      preservation.LatestN(keep),
      preservation.BestN(
        get_metric_fn=lambda metrics: -metrics[BEST], n=1, keep_checkpoints_without_metrics=False
      ),
    ])  # fmt: skip
    options = ocp.CheckpointManagerOptions(
      preservation_policy=policy, cleanup_tmp_directories=writable, read_only=not writable,
      create=writable, enable_async_checkpointing=True, save_interval_steps=int(writable),
    )  # fmt: skip
    if not writable and not self.folder.exists():
      raise UserError(f"{self.folder} does not exist: there is no checkpoint to read")
    place = self.folder.resolve() if "://" not in str(folder) else self.folder
    with quiet():
      self.manager = self.settled(
        lambda: ocp.CheckpointManager(place, options=options, item_names=("state", "meta"))
      )

  def settled(self, read: Callable[[], Any]) -> Any:
    """read(), again where the trainer deleted a checkpoint meanwhile."""
    for _ in range(TRIES - 1):
      try:
        return read()
      except FileNotFoundError:
        if self.writable:
          raise
        time.sleep(PAUSE)
    return read()

  def gone(self, step: int) -> bool:
    """Whether a checkpoint that could not be read has been deleted, as by training that goes on."""
    if self.writable:
      return False
    time.sleep(PAUSE)
    self.settled(self.manager.reload)
    return step not in self.steps()

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
      UserError: if it is another run's.
    """
    args = ocp.args.Composite(meta=ocp.args.JsonRestore())
    with reading():
      meta = dict(self.manager.restore(step, args=args)["meta"])
    if meta.pop("digest", None) != digest_of_record(meta):
      raise Damaged("its record is not what was saved")
    for name, kind in RECORD.items():
      if not isinstance(meta.get(name), kind):
        raise Damaged(f"its record has no {name}")
    if self.fingerprint is not None and meta["fingerprint"] != self.fingerprint:
      raise UserError(
        f"checkpoint {step} in {self.folder} is another run's than config.json beside it, which was"
        " lost or replaced: put that back, or give another --workdir"
      )
    return meta | {"total": step}

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
    wanted, saved = layout(target), meta["layout"]
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
    for _ in range(TRIES):
      remaining = [step for step in self.steps() if step not in damaged]
      if not remaining:
        break
      step = remaining[-1]
      try:
        found = self.restore(step, abstract)
      except Damaged as error:
        if not self.gone(step):
          logging.warning("checkpoint %d in %s is damaged (%s)", step, self.folder, error)
          damaged.append(step)
        continue
      for newer in damaged:
        self.set_aside(newer)
      return found
    if damaged:
      raise UserError(f"every checkpoint in {self.folder} is damaged: give another --workdir")
    if self.steps():
      raise UserError(f"checkpoints in {self.folder} change faster than they are read: try again")
    return None

  def set_aside(self, step: int) -> None:
    """Moves a damaged checkpoint out of the way of the one that will be written in its place."""
    if not self.writable:
      return

    def move():
      aside = self.folder.parent / ASIDE
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
        if not self.gone(step):
          logging.warning("checkpoint %d in %s is damaged (%s)", step, self.folder, error)
        continue
      if best is not None:
        scored.append((best, step))
    return min(scored)[1] if scored else None

  def close(self) -> None:
    """Waits for the save that is under way."""
    self.manager.wait_until_finished()
    self.manager.close()
