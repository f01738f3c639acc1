"""The trainer on toys: closed forms, stops, failures, stages."""

import json
import signal

import jax
import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.run import job
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.job import NonFinite
from gen_jax.run.mesh import make_mesh
from gen_jax.run.setup import check_validation
from gen_jax.run.signals import Stopped, received
from tests.run import toy


def sends(number, at):
  """on_step that raises a signal after a step."""
  return lambda step: signal.raise_signal(number) if step == at else None


def test_gradient_descent_on_all_of_the_data_is_a_geometric_series(mesh):
  result = toy.go(mesh, toy.experiment(data={"batch_size": toy.N}))
  target = toy.source().splits["train"].arrays()["x"].mean(axis=0)
  np.testing.assert_allclose(toy.mean_of(result), target * (1 - 0.9**12), rtol=1e-5)
  assert result.step == 12 and result.compilations == [1]


NOISY = {"noise": 1.0, "ema": 0.5}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
  """A whole run, one step a dispatch, with a row for every step."""
  workdir = tmp_path_factory.mktemp("reference")
  mesh = make_mesh(jax.devices()[:1])
  return workdir, toy.go(mesh, toy.experiment(NOISY, train={"log_every": 1}), workdir=workdir)


def test_every_step_has_randomness_of_its_own(reference):
  assert len({row["noise"] for row in toy.rows(reference[0])}) == 12


def test_many_steps_in_one_dispatch_are_the_same_steps(mesh, reference, tmp_path, monkeypatch):
  workdir, whole = reference
  clock = {"now": 0.0}
  monkeypatch.setattr(job.Log, "elapsed", lambda self: clock["now"])
  several = toy.experiment(NOISY, {"resident": "no"}, {"steps_per_call": 2, "log_every": 4})
  tick = lambda step: clock.update(now=step / 4)  # four steps a second
  result = toy.go(mesh, several, workdir=tmp_path, on_step=tick)
  assert result.compilations == [1]
  for a, b in zip(jax.tree.leaves(result.states), jax.tree.leaves(whole.states), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5)
  # A row is the mean over the steps since the last one.
  every, fourth = toy.rows(workdir), toy.rows(tmp_path)
  assert [row["step"] for row in every] == list(range(1, 13))
  assert [row["step"] for row in fourth] == [4, 8, 12]
  for i, row in enumerate(fourth):
    for term in ("loss", "gradient_norm", "rows"):
      mean = np.mean([r[term] for r in every[4 * i : 4 * i + 4]])
      assert row[term] == pytest.approx(mean, rel=1e-5)
  for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
    row = json.loads(line)
    assert (row["seconds"], row["examples_per_second"]) == (row["step"] / 4, 4 * 8)


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 0), (signal.SIGTERM, 75)])
def test_a_signal_saves_and_says_how_to_exit(mesh, tmp_path, number, code):
  before = signal.getsignal(number)
  with pytest.raises(Stopped) as stopped:
    toy.go(mesh, toy.experiment(NOISY), workdir=tmp_path, on_step=sends(number, at=5))
  assert (stopped.value.code, stopped.value.step) == (code, 5)
  assert signal.getsignal(number) == before
  assert Checkpoints(tmp_path / "checkpoints", writable=False).steps() == [5]
  assert [row["step"] for row in toy.rows(tmp_path)] == [4]


def test_a_second_sigint_stops_at_once():
  before = signal.getsignal(signal.SIGINT)
  with received() as stopping:
    assert stopping() is None
    signal.raise_signal(signal.SIGINT)
    assert stopping() == signal.SIGINT
    with pytest.raises(KeyboardInterrupt):
      signal.raise_signal(signal.SIGINT)
  assert signal.getsignal(signal.SIGINT) is before


def test_a_crashed_run_goes_on_exactly_and_writes_no_row_twice(mesh, reference, tmp_path):
  workdir, whole = reference
  parsed = toy.experiment(NOISY, train={"log_every": 1, "checkpoint_every": 4})

  def crash(step):
    if step == 7:
      raise RuntimeError

  with pytest.raises(RuntimeError):
    toy.go(mesh, parsed, workdir=tmp_path, on_step=crash)
  assert [row["step"] for row in toy.rows(tmp_path)] == [1, 2, 3, 4, 5, 6]
  result = toy.go(mesh, parsed, workdir=tmp_path)
  toy.equal(result.states, whole.states)
  assert toy.rows(tmp_path) == toy.rows(workdir)
  again = toy.go(mesh, parsed, workdir=tmp_path)  # of a complete run nothing is left to do
  toy.equal(again.states, whole.states)
  assert not (tmp_path / "damaged").exists()
  assert toy.rows(tmp_path) == toy.rows(workdir)


@pytest.mark.parametrize(
  "bad,train,saved,rows",
  [
    (6, {"log_every": 4, "checkpoint_every": 3}, 6, [4]),  # found when a row is due
    (5, {"log_every": 0, "checkpoint_every": 4, "steps_per_call": 4}, 4, []),  # or before a save
  ],
)
def test_a_loss_that_is_not_finite_stops_the_run(mesh, tmp_path, bad, train, saved, rows):
  parsed = toy.experiment({"nan_at": bad}, train={**train, "keep": 1})
  with pytest.raises(NonFinite, match=f"loss is not finite at step {bad}; .* step {saved}"):
    toy.go(mesh, parsed, workdir=tmp_path)
  record = json.loads((tmp_path / "failure" / "record.json").read_text())
  first = {"loss": bad, "late": bad + 1}
  noticed = record.pop("noticed")
  assert bad < noticed <= bad + 4
  assert record == {
    "step": bad, "term": "loss", "first_bad_steps": first, "checkpoint": saved, "attempt": 0,
  }  # fmt: skip
  assert Checkpoints(tmp_path / "checkpoints", writable=False).steps() == [saved]
  assert [row["step"] for row in toy.rows(tmp_path)] == rows


TWO = {**NOISY, "stages": 2}
LENGTHS = {"steps": (12, 8), "log_every": 4, "validate_every": 8}
SCORED = {**LENGTHS, "checkpoint_every": 5, "best": "offset"}


@pytest.fixture(scope="module")
def two_stages(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("stages")
  mesh = make_mesh(jax.devices()[:1])
  data = toy.source(validation_mean=4.0)
  return workdir, toy.go(mesh, toy.experiment(TWO, train=SCORED), data, workdir=workdir)


def test_the_second_stage_sees_the_first_one_s_frozen_state(two_stages, reference):
  workdir, result = two_stages
  assert result.compilations == [1, 1] and result.step == 20
  toy.equal(result.states[0], reference[1].states[0])  # as after a run of the first stage alone
  start = result.states[1]["mutable"]["spread"]
  np.testing.assert_array_equal(start["origin"], toy.mean_of(result))
  x = toy.source().splits["train"].arrays()["x"]
  offset = np.abs(x - toy.mean_of(result)).mean()
  assert len(set(np.asarray(start["drawn"]).tolist())) == 4  # a key for every microbatch's view
  assert start["first"] == pytest.approx(offset, abs=0.4)  # init sees the view too

  rows = toy.rows(workdir)
  assert [(r["stage"], r["step"], r["rows"]) for r in rows] == [
    (0, 4, 8), (0, 8, 8), (0, 12, 8), (1, 4, 4), (1, 8, 4),
  ]  # fmt: skip
  assert rows[-1]["offset"] == pytest.approx(offset, abs=0.4)
  held_out = toy.source(validation_mean=4.0).splits["validation"].arrays()["x"]
  first, last = toy.rows(workdir, "validation")[-2:]
  assert (first["stage"], first["step"], first["examples"]) == (0, 12, toy.N)
  assert (last["stage"], last["step"]) == (1, 8)
  seen = np.abs(held_out - toy.mean_of(result)).mean()  # through the view
  assert last["offset"] == pytest.approx(seen, rel=1e-5)
  # Only the finished model is scored: what the first stage measures is another quantity.
  saved = Checkpoints(workdir / "checkpoints", writable=False)
  assert saved.best_step() == 20 and saved.meta(20)["best"] == pytest.approx(last["offset"])


def test_a_run_goes_on_exactly_in_either_stage_and_between_them(mesh, two_stages, tmp_path):
  workdir, whole = two_stages
  parsed, data = toy.experiment(TWO, train=SCORED), toy.source(validation_mean=4.0)
  for at in (7, 12, 17):
    with pytest.raises(Stopped):
      toy.go(mesh, parsed, data, workdir=tmp_path, on_step=sends(signal.SIGTERM, at=at))
  result = toy.go(mesh, parsed, data, workdir=tmp_path)
  toy.equal(result.states, whole.states)
  assert not (tmp_path / "damaged").exists()
  for split in ("train", "validation"):
    assert toy.rows(tmp_path, split) == toy.rows(workdir, split)


def test_the_best_checkpoint_is_the_best_by_validation(mesh, tmp_path):
  every = {"steps": 10, "validate_every": 1, "checkpoint_every": 1, "keep": 2, "best": "nll"}
  parsed = toy.experiment(data={"batch_size": toy.N}, train=every)
  # The mean climbs from 0 to 4 and passes the validation points at 1 with step 3.
  toy.go(mesh, parsed, toy.source(validation_mean=1.0), workdir=tmp_path)
  scores = {row["step"]: row["nll"] for row in toy.rows(tmp_path, "validation")}
  assert len(scores) == 10 and min(scores, key=scores.get) == 3
  saved = Checkpoints(tmp_path / "checkpoints", writable=False)
  assert saved.steps() == [3, 9, 10] and saved.best_step() == 3


def test_warm_starts_replace_the_fresh_state(mesh):
  parsed = toy.experiment(train={"steps": 1}, data={"batch_size": toy.N})
  far = lambda previous, state: {**state, "params": {"mean": {"w": np.full(toy.D, 100.0, "f")}}}
  target = toy.source().splits["train"].arrays()["x"].mean(axis=0)
  result = toy.go(mesh, parsed, warm=far)
  np.testing.assert_allclose(toy.mean_of(result), 100 + 0.1 * (target - 100), rtol=1e-5)


@pytest.mark.parametrize(
  "model,train,message",
  [
    ({}, {"steps": (4, 4)}, "config.train.steps has 2 lengths, and this program 1 stages"),
    ({"stages": 2}, {"steps": (4,)}, "has 1 lengths, and this program 2 stages"),
    ({"stages": 2, "second": 5}, {"steps_per_call": 4}, "must divide .* the stages, 12, 5 steps"),
  ],
)
def test_refusals(mesh, model, train, message):
  with pytest.raises(UserError, match=message):
    toy.go(mesh, toy.experiment(model, train=train))


@pytest.mark.parametrize("stages", [1, 2])
def test_an_unknown_best_term_is_refused(stages):
  parsed = toy.experiment({**NOISY, "stages": stages}, train={"validate_every": 1, "best": "nlll"})
  data = toy.source(validation_mean=4.0)
  with pytest.raises(UserError, match="config.train.best='nlll' is no term of evaluation: one of "):
    check_validation(toy.system(parsed, data))


def test_validation_without_a_split_is_refused():
  parsed = toy.experiment(train={"validate_every": 4})
  with pytest.raises(UserError, match="needs a validation split: set data.validation"):
    check_validation(toy.system(parsed))


def test_a_batch_that_the_devices_cannot_share_is_refused():
  with pytest.raises(UserError, match="batch_size=12 cannot be shared by 8 devices: .* such as 16"):
    toy.go(make_mesh(), toy.experiment(data={"batch_size": 12}))


def test_a_run_is_not_cut_short(mesh, reference):
  workdir, _ = reference
  with pytest.raises(UserError, match="is at step 12, past config.train.steps=8"):
    toy.go(mesh, toy.experiment(NOISY, train={"steps": 8}), workdir=workdir)


def test_a_run_goes_on_with_whole_dispatches_only(mesh, reference):
  workdir, _ = reference
  several = {"steps": 20, "steps_per_call": 5, "log_every": 5}
  with pytest.raises(UserError, match="is at step 12, which .*steps_per_call=5 does not divide"):
    toy.go(mesh, toy.experiment(NOISY, train=several), workdir=workdir)
