"""A loss that is not finite: going back to the last good checkpoint, and replaying the failure."""

import json

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.run import loop, signals
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.job import NonFinite
from gen_jax.run.replay import replay
from tests.run import toy

EVERY = {"log_every": 1, "checkpoint_every": 4}


@pytest.fixture
def lowest(mesh, tmp_path):
  """(step of the lowest `noise` behind the first checkpoint, a bound that only it lies below)."""
  toy.go(mesh, toy.experiment({"noise": 0.1}, train=EVERY), workdir=mkdir(tmp_path / "good"))
  noise = {row["step"] - 1: row["noise"] for row in toy.rows(tmp_path / "good")}
  step = min(noise, key=noise.get)
  assert step >= 4, "the toy's seed must put it behind a checkpoint"
  return step, (noise[step] + sorted(noise.values())[1]) / 2


def mkdir(path):
  path.mkdir()
  return path


def rollback(bound):
  return toy.experiment(
    {"noise": 0.1, "nan_below": bound}, train={**EVERY, "on_nonfinite": "rollback"}
  )


def test_a_run_goes_back_and_on_with_other_randomness(mesh, tmp_path, lowest, caplog):
  step, bound = lowest
  workdir = mkdir(tmp_path / "back")
  result = toy.go(mesh, rollback(bound), workdir=workdir)
  assert result.step == 12 and np.isfinite(toy.mean_of(result)).all()
  assert f"loss is not finite at step {step}" in caplog.text and "attempt 1 of 3" in caplog.text
  good, back = ({r["step"]: r for r in toy.rows(tmp_path / d)} for d in ("good", "back"))
  assert list(back) == list(range(1, 13))
  kept = step // 4 * 4
  assert all(back[i] == good[i] for i in range(1, kept + 1))
  assert all(back[i]["noise"] != good[i]["noise"] for i in range(kept + 1, 13))


def test_a_run_that_went_back_resumes_exactly(mesh, tmp_path, lowest):
  _, bound = lowest
  whole = toy.go(mesh, rollback(bound), workdir=mkdir(tmp_path / "whole"))
  halves = mkdir(tmp_path / "halves")
  steps = []

  def stop(step):
    went_back = bool(steps) and step <= steps[-1]
    steps.append(step)
    if went_back or step == 11:
      signals.signal.raise_signal(signals.signal.SIGTERM)

  for _ in range(2):  # at the first step behind the rollback, and before the last
    with pytest.raises(signals.Stopped):
      toy.go(mesh, rollback(bound), workdir=halves, on_step=stop)
    steps.clear()
  toy.equal(whole.states, toy.go(mesh, rollback(bound), workdir=halves).states)
  assert toy.rows(halves) == toy.rows(tmp_path / "whole")


def test_it_gives_up_after_a_few_attempts(mesh, tmp_path, caplog):
  parsed = toy.experiment({"nan_at": 5}, train={**EVERY, "on_nonfinite": "rollback"})
  with pytest.raises(NonFinite):
    toy.go(mesh, parsed, workdir=tmp_path)
  assert caplog.text.count("going on from there") == loop.ROLLBACKS
  record = json.loads((tmp_path / "failure" / "record.json").read_text())
  assert record["attempt"] == loop.ROLLBACKS and record["checkpoint"] == 4


def again(mesh, parsed, workdir, data=None):
  return replay(toy.system(parsed, data, mesh), workdir)


@pytest.mark.parametrize("resident", ["yes", "no"])
@pytest.mark.parametrize(("bad", "checkpoint"), [(2, 0), (9, 8)])
def test_a_failure_comes_again(mesh, tmp_path, bad, checkpoint, resident):
  train = {"log_every": 4, "checkpoint_every": 4}
  parsed = toy.experiment({"nan_at": bad}, data={"resident": resident}, train=train)
  with pytest.raises(NonFinite):
    toy.go(mesh, parsed, workdir=tmp_path)
  before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
  said = again(mesh, parsed, tmp_path)
  assert said.startswith(
    f"replayed from step {checkpoint}: loss is not finite at step {bad}; its batch"
  )
  batch = np.load(tmp_path / "failure" / "batch.npz")
  data = toy.source().splits["train"].arrays()["x"]
  assert batch["x"].shape == (1, 8, toy.D)
  np.testing.assert_array_equal(batch["x"], data[batch["index"]])
  # Epochs of 3 batches: the bad step has seen what the others of its epoch have not.
  assert len(np.unique(batch["index"])) == 8
  after = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
  assert after.keys() - before.keys() == {tmp_path / "failure" / "batch.npz"}
  assert all(after[p] == before[p] for p in before)


def test_a_failure_after_a_rollback_comes_again(mesh, tmp_path):
  parsed = rollback(0.0)  # half of all steps fail: too many for three attempts
  with pytest.raises(NonFinite):
    toy.go(mesh, parsed, workdir=tmp_path)
  record = json.loads((tmp_path / "failure" / "record.json").read_text())
  assert record["attempt"] == loop.ROLLBACKS
  assert f"not finite at step {record['step']}" in again(mesh, parsed, tmp_path)


def test_another_end_than_the_record_s_is_said(mesh, tmp_path):
  parsed = toy.experiment({"nan_at": 5}, train=EVERY)
  with pytest.raises(UserError, match="nothing failed"):
    again(mesh, parsed, tmp_path)
  with pytest.raises(NonFinite):
    toy.go(mesh, parsed, workdir=tmp_path)
  with pytest.raises(UserError, match="did not come again: every term stayed finite"):
    again(mesh, toy.experiment(train=EVERY), tmp_path)
  with pytest.raises(UserError, match=r"did not come again: loss is not finite at step 4"):
    again(mesh, toy.experiment({"nan_at": 4}, train=EVERY), tmp_path)
  saved = Checkpoints(tmp_path / "checkpoints")
  saved.set_aside(4)
  saved.close()
  with pytest.raises(UserError, match="checkpoint of step 4 .* is gone"):
    again(mesh, parsed, tmp_path)
