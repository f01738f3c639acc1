"""What a run tells: read back from its files and its terminal."""

import io
import json
import math
import struct
import sys

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.run.log import Log


def log(workdir, title="", **kwargs):
  return Log(workdir, kwargs.pop("total", 100), title, kwargs.pop("wandb", ""), **kwargs)


def rows(workdir):
  return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def board(workdir):
  """Events of TensorBoard, read as the records that they are: length, check, bytes, check."""
  from tensorboardX.proto.event_pb2 import Event

  events = []
  for path in sorted(workdir.glob("events.out.tfevents*")):
    data = path.read_bytes()
    while data:
      (length,) = struct.unpack("<Q", data[:8])
      events.append(Event.FromString(data[12 : 12 + length]))
      data = data[16 + length :]
  return events


def test_rows_reach_the_file_and_tensorboard(tmp_path):
  a = log(tmp_path)
  a.open(0, 0, 0)
  a.row(0, 5, 5, {"loss": 1.5, "bad": math.nan}, examples_per_second=3.0)
  assert len(rows(tmp_path)) == 1  # at once: a crash loses nothing
  a.row(1, 2, 12, {"nll": np.float32(0.5)}, split="validation", examples=7)
  a.image("samples", np.zeros((4, 4, 3), np.uint8), 12)
  a.close()
  first, second = rows(tmp_path)
  assert list(first) == ["stage", "step", "examples_per_second", "seconds", "loss", "bad"]
  assert (first["stage"], first["step"], first["loss"], first["bad"]) == (0, 5, 1.5, "nan")
  assert second["split"] == "validation" and second["examples"] == 7 and second["nll"] == 0.5
  assert 0 <= first["seconds"] <= second["seconds"] < 60
  seen = {(v.tag, e.step): v.simple_value for e in board(tmp_path) for v in e.summary.value}
  assert seen["train/loss", 5] == 1.5 and seen["validation/nll", 12] == 0.5
  assert math.isnan(seen["train/bad", 5])
  assert ("samples", 12) in seen


def test_a_resumed_run_drops_what_is_behind_it_and_its_clock_goes_on(tmp_path):
  a = log(tmp_path)
  a.open(0, 0, 0)
  for step in (1, 2, 3):
    a.row(0, step, step, {"loss": float(step)})
  a.close()
  path = tmp_path / "metrics.jsonl"
  late = [row | {"seconds": 1000.0 * row["step"]} for row in rows(tmp_path)]
  path.write_text("".join(json.dumps(row) + "\n" for row in late))
  b = log(tmp_path)
  b.open(0, 2, 2)
  assert 2000 <= b.elapsed() < 2060
  b.row(0, 3, 3, {"loss": 30.0})
  b.close()
  assert [(row["step"], row["loss"]) for row in rows(tmp_path)] == [(1, 1), (2, 2), (3, 30)]
  assert 2000 <= rows(tmp_path)[-1]["seconds"] < 2060
  # TensorBoard is told to forget the steps that are made again.
  assert [e.step for e in board(tmp_path) if e.session_log.status] == [3]


def test_lines_where_there_is_no_terminal(tmp_path, capsys):
  a = log(None, "toy")
  a.open(0, 0, 0)
  terms = {f"t{i}": float(i) for i in range(9)}
  a.row(0, 5, 5, terms, examples_per_second=1234.4)
  a.row(0, 5, 5, {"nll": 0.123456}, split="validation", examples=3)
  a.advance(5)
  a.close()
  first, second = capsys.readouterr().out.splitlines()
  assert first == "toy 5/100 | t0 0, t1 1, t2 2, t3 3, t4 4 | 1234 examples/s"
  assert second == "toy 5/100 | validation | nll 0.1235"
  assert not any(tmp_path.iterdir())


def test_a_bar_on_a_terminal(capsys, monkeypatch):
  class Terminal(io.StringIO):
    def isatty(self):
      return True

  monkeypatch.setattr(sys, "stderr", Terminal())
  a = log(None, "toy")
  a.open(0, 40, 40)
  a.advance(10)
  a.row(0, 50, 50, {"loss": 0.25})
  a.row(0, 50, 50, {"nll": 2.0}, split="validation")
  a.close()
  shown = sys.stderr.getvalue()
  assert "toy" in shown and "40/100" in shown and "50/100" in shown and "loss 0.25" in shown
  assert "validation at step 50: nll 2" in shown + capsys.readouterr().out


def test_without_a_title_it_is_silent(capsys):
  a = log(None)
  a.open(0, 0, 0)
  a.row(0, 1, 1, {"loss": 1.0})
  a.close()
  out, err = capsys.readouterr()
  assert out == "" and err == ""


def test_wandb_is_asked_for_only_where_it_is_wanted(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "wandb", None)  # as where it is not installed
  log(tmp_path).open(0, 0, 0)
  with pytest.raises(UserError, match="--wandb needs the package wandb: python -m pip install"):
    log(tmp_path, wandb="project").open(0, 0, 0)

  class Run:
    rows, finished = [], False

    def log(self, values, step):
      self.rows.append((values, step))

    def finish(self):
      self.finished = True

  class Wandb:
    run, asked = Run(), {}

    def init(self, **kwargs):
      self.asked |= kwargs
      return self.run

  wandb = Wandb()
  monkeypatch.setitem(sys.modules, "wandb", wandb)
  a = log(tmp_path, wandb="project", config={"seed": 3})
  a.open(0, 0, 0)
  a.row(0, 4, 4, {"loss": 1.0})
  a.close()
  assert wandb.asked["project"] == "project" and wandb.asked["config"] == {"seed": 3}
  assert wandb.asked["resume"] == "allow" and wandb.asked["id"].startswith(tmp_path.name)
  assert wandb.run.rows == [({"train/loss": 1.0}, 4)] and wandb.run.finished
  same = wandb.asked["id"]
  for folder, known in ((tmp_path, True), (tmp_path / "other" / tmp_path.name, False)):
    folder.mkdir(parents=True, exist_ok=True)
    again = log(folder, wandb="project")
    again.open(0, 4, 4)
    again.close()
    assert (wandb.asked["id"] == same) == known  # a run of the same name elsewhere is another
