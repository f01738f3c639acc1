"""What a run tells: metrics.jsonl, TensorBoard, W&B, and the progress on the terminal."""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tqdm import tqdm

from gen_jax.core import UserError
from gen_jax.run.files import jsonable, read_json, write_json
from gen_jax.run.processes import is_first
from gen_jax.run.rows import drop_rows_after


class Log:
  """Rows of numbers to the files of a run folder. Without a folder, or off process 0, to none.

  Args:
    workdir: the run folder, or None.
    total: steps of all stages, for the progress.
    title: of the progress bar.
    wandb: a W&B project to log to besides, or empty.
    config: what W&B is told of the run.
  """

  def __init__(
    self, workdir: Path | None, total: int, title: str, wandb: str, config: Mapping | None = None
  ):
    self.workdir = workdir if is_first() else None
    self.total, self.title, self.project, self.config = total, title, wandb, config
    self.file = self.board = self.bar = self.wandb = None
    self.seconds, self.started = 0.0, time.monotonic()

  def open(self, stage: int, step: int, total_step: int) -> None:
    """Opens the files for a run that goes on at `step` of `stage`; drops the rows behind it."""
    if self.workdir is not None:
      from tensorboardX import SummaryWriter

      path = self.workdir / "metrics.jsonl"
      self.seconds = drop_rows_after(path, stage, step)
      self.file = path.open("a")
      purge = total_step + 1 if total_step else None
      self.board = SummaryWriter(str(self.workdir), purge_step=purge)
      if self.project:
        self.wandb = open_wandb(self.project, self.workdir, self.config)
    if is_first() and sys.stderr.isatty():
      self.bar = tqdm(total=self.total, initial=total_step, desc=self.title, unit="step")
    self.started = time.monotonic()

  def elapsed(self) -> float:
    """Seconds of training so far, those of earlier sittings included."""
    return self.seconds + time.monotonic() - self.started

  def row(
    self, stage: int, step: int, total_step: int, terms: Mapping[str, float], **facts
  ) -> None:
    """One row of metrics.jsonl; terms go to TensorBoard too."""
    if self.file is not None:
      values = {name: jsonable(float(value)) for name, value in terms.items()}
      row = {"stage": stage, "step": step, **facts, "seconds": round(self.elapsed(), 3), **values}
      self.file.write(json.dumps(row) + "\n")
      self.file.flush()
      split = facts.get("split", "train")
      for name, value in terms.items():
        self.board.add_scalar(f"{split}/{name}", float(value), total_step)
      if self.wandb is not None:
        self.wandb.log({f"{split}/{k}": float(v) for k, v in terms.items()}, step=total_step)
    self.say(total_step, terms, facts)

  def say(self, total_step: int, terms: Mapping[str, float], facts: Mapping) -> None:
    """The row for people: beside the bar on a terminal, else as a line of its own."""
    if not is_first() or not self.title:
      return
    short = ", ".join(f"{name} {value:.4g}" for name, value in list(terms.items())[:5])
    if self.bar is not None:
      if "split" in facts:
        self.bar.write(f"{facts['split']} at step {total_step}: {short}")
      else:
        self.bar.set_postfix_str(short)
      return
    rate = facts.get("examples_per_second")
    speed = f" | {rate:.0f} examples/s" if rate else ""
    split = f" | {facts['split']}" if "split" in facts else ""
    print(f"{self.title} {total_step}/{self.total}{split} | {short}{speed}", flush=True)

  def name(self, stage: str) -> None:
    """Writes the name of the stage beside the bar."""
    if self.bar is not None:
      self.bar.set_description(f"{self.title}, {stage}")

  def advance(self, steps: int) -> None:
    """Moves the bar on."""
    if self.bar is not None:
      self.bar.update(steps)

  def image(self, name: str, image: np.ndarray, total_step: int) -> None:
    """A picture [H, W, C] uint8 for TensorBoard."""
    if self.board is not None:
      self.board.add_image(name, image, total_step, dataformats="HWC")

  def close(self) -> None:
    """Flushes and closes everything."""
    for thing in (self.file, self.board, self.bar):
      if thing is not None:
        thing.close()
    self.file = self.board = self.bar = None
    if self.wandb is not None:
      self.wandb.finish()
      self.wandb = None


def open_wandb(project: str, workdir: Path, config: Mapping | None):
  """A W&B run that a resumed run goes on with.

  Raises:
    UserError: if wandb is not installed.
  """
  try:
    import wandb
  except ImportError:
    raise UserError("--wandb needs the package wandb: python -m pip install wandb") from None
  return wandb.init(
    project=project, name=workdir.name, id=wandb_id(workdir), resume="allow", dir=workdir,
    config=dict(config or {}),
  )  # fmt: skip


def wandb_id(workdir: Path) -> str:
  """The id by which W&B knows this run folder, kept in it: two of one name have two."""
  path = workdir / "wandb.json"
  if path.exists():
    known = read_json(path, dict).get("id")
    if isinstance(known, str) and known:
      return known
  made = f"{workdir.name}-{uuid.uuid4().hex[:8]}"
  write_json(path, {"id": made})
  return made
