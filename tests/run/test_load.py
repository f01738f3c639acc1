"""A run read back: as functions with a state, and as a warm start."""

import json
import signal

import jax
import numpy as np
import pytest

from gen_jax.app import training
from gen_jax.core import UserError, fold_each
from gen_jax.run.checkpoint import Checkpoints
from gen_jax.run.folder import digest_of
from gen_jax.run.load import load_run
from gen_jax.run.mesh import make_mesh
from gen_jax.run.signals import Stopped
from tests.run import toy
from tests.run.test_checkpoint import flip_bit
from tests.run.test_loop import sends

SIZES = {"train": toy.N}
TERM = signal.SIGTERM
# Steps 1, 2 and 3 have means of about 0.4, 0.8 and 1.1; the validation points are about 1.
BEST = {"steps": 3, "validate_every": 1, "checkpoint_every": 1, "best": "nll"}


def trained(workdir, data=None, **groups):
  """A run folder as the command line leaves it; returns the result in memory."""
  mesh = make_mesh(jax.devices()[:1])
  parsed = toy.experiment(data={"batch_size": toy.N}, **groups)
  mark = toy.claim(workdir, parsed)
  return toy.go(mesh, parsed, data, workdir=workdir, fingerprint=mark)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("run")
  data = toy.source(validation_mean=0.8)
  return workdir, trained(workdir, data, train=BEST, model={"ema": 0.9}, sample={"scale": 0.5})


def draw(model, state, n=4):
  return np.asarray(model.sample(state, fold_each(jax.random.key(0), np.arange(n)), None))


def test_gives_the_model_and_its_state(run):
  workdir, result = run
  model, state = toy.load(workdir)
  toy.equal(state, result.states)
  x = toy.source().splits["train"].arrays()
  batch = {"x": x["x"], "index": np.arange(toy.N)}
  ema = np.asarray(result.states[0]["ema"]["mean"]["w"])
  nll = ((x["x"] - ema) ** 2).sum(axis=1) / 2
  found = model.evaluate(state, batch, fold_each(jax.random.key(0), batch["index"]))["nll"]
  np.testing.assert_allclose(found, nll, rtol=1e-5)
  assert draw(model, state).shape == (4, toy.D)


def test_options_of_sampling_change_the_functions_and_not_the_state(run):
  workdir, result = run
  model, state = toy.load(workdir)
  still, same = toy.load(str(workdir), sample=dict(scale=0.0))
  toy.equal(state, same)
  mean = np.asarray(result.states[0]["ema"]["mean"]["w"])
  np.testing.assert_array_equal(draw(still, same), np.tile(mean, (4, 1)))
  double, _ = toy.load(workdir, sample=dict(scale=1.0))
  np.testing.assert_allclose(
    draw(double, state) - mean, 2 * (draw(model, state) - mean), rtol=1e-4, atol=1e-6
  )


def test_the_best_checkpoint_is_another_one(run):
  workdir, result = run
  rows = toy.rows(workdir, "validation")
  best = min(rows, key=lambda row: row["nll"])["step"]
  assert best == 2
  _, state = toy.load(workdir, checkpoint="best")
  target = toy.source().splits["train"].arrays()["x"].mean(axis=0)
  np.testing.assert_allclose(state[0]["params"]["mean"]["w"], target * (1 - 0.9**2), rtol=1e-5)


@pytest.mark.parametrize(
  "options,message",
  [
    ({"smaple": {}}, "load takes sample and likelihood, not 'smaple'"),
    ({"model": {"noise": 1.0}}, "load takes sample and likelihood, not 'model'"),
    ({"sample": {"scael": 2.0}}, "config.sample.scael does not exist; did you mean scale?"),
    ({"sample": {"scale": "x"}}, "config.sample.scale must be a number"),
    ({"checkpoint": "oldest"}, "checkpoint 'oldest': newest or best"),
  ],
)
def test_what_it_does_not_know_is_refused(run, options, message):
  with pytest.raises(UserError, match=message):
    toy.load(run[0], **options)


def test_what_is_no_trained_run_is_refused(tmp_path):
  with pytest.raises(UserError, match=f"{tmp_path / 'none'} is not a run folder"):
    toy.load(tmp_path / "none")
  toy.claim(tmp_path, toy.experiment())
  with pytest.raises(UserError, match="does not exist: there is no checkpoint to read"):
    toy.load(tmp_path)
  Checkpoints(tmp_path / "checkpoints").close()
  with pytest.raises(UserError, match="has no checkpoint yet: train it first"):
    toy.load(tmp_path)
  with pytest.raises(UserError, match="no best checkpoint: train with config.train.best set"):
    toy.load(tmp_path, checkpoint="best")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damaged_checkpoints_are_told_of_in_one_line(tmp_path):
  data = toy.source(validation_mean=0.8)
  trained(tmp_path, data, train={**BEST, "keep": 1})
  flip_bit(tmp_path / "checkpoints" / "2")
  toy.load(tmp_path)
  with pytest.raises(UserError, match="checkpoint 2, the best in .*, is damaged"):
    toy.load(tmp_path, checkpoint="best")


def test_a_changed_record_is_told_before_anything_is_built(tmp_path):
  trained(tmp_path)
  path = tmp_path / "config.json"
  text = path.read_text()
  record = json.loads(text)
  other = {"x": {**record["spec"]["x"], "shape": [7]}, "fields": {}}
  changed = {**record, "spec": other, "specs": [other]}
  path.write_text(json.dumps(changed))
  with pytest.raises(UserError, match="config.json was changed after the program wrote it"):
    toy.load(tmp_path)
  path.write_text(json.dumps({**changed, "digest": digest_of(changed)}))
  with pytest.raises(UserError, match="is another model's: .* is \\(3,\\) float32 there, \\(7,\\)"):
    toy.load(tmp_path)
  (tmp_path / "b").mkdir()
  toy.claim(tmp_path / "b", toy.experiment({"noise": 0.5}))
  path.write_text((tmp_path / "b" / "config.json").read_text())
  with pytest.raises(UserError, match="is another run's than config.json beside it"):
    toy.load(tmp_path)


def test_a_run_that_is_not_at_its_last_stage_is_loaded_as_far_as_it_has_come(tmp_path):
  parsed = toy.experiment({"stages": 2}, train={"steps": (3, 3)})
  mark = toy.claim(tmp_path, parsed)
  mesh = make_mesh(jax.devices()[:1])
  with pytest.raises(Stopped):
    toy.go(mesh, parsed, workdir=tmp_path, fingerprint=mark, on_step=sends(TERM, at=2))
  model, states = toy.load(tmp_path)
  assert len(states) == 1
  x = draw(model, states)
  assert x.shape == (4, toy.D)
  noise = draw(toy.program_of(toy.experiment()).model, [toy.zero_mean()])
  np.testing.assert_allclose(x, states[0]["params"]["mean"]["w"] + noise, rtol=1e-5)
  result = toy.go(mesh, parsed, workdir=tmp_path, fingerprint=mark)
  found = load_run(tmp_path, builders=[toy.BUILDER])
  toy.equal(found.states, result.states)
  assert found.step == 6 and found.spec == toy.SPEC and found.source is None
  assert draw(found.model, found.states).shape == (4, toy.D)


def setup(**model):
  return toy.system(toy.experiment(model), mesh=make_mesh(jax.devices()[:1]))


def test_a_warm_start_takes_the_weights_and_leaves_the_optimiser(run, capsys):
  workdir, result = run
  there = setup(ema=0.9)
  fresh = there.program.stages[0].model.init(jax.random.key(0), {})
  marked = {**fresh, "opt": jax.tree.map(lambda x: x + 7, fresh["opt"])}
  state = training.warm_start(str(workdir), there)([], marked)
  toy.equal(state["params"], jax.tree.map(np.asarray, result.states[0]["params"]))
  toy.equal(state["ema"], jax.tree.map(np.asarray, result.states[0]["ema"]))
  toy.equal(state["opt"], jax.tree.map(np.asarray, marked["opt"]))
  assert "took over 2 of 2 arrays" in capsys.readouterr().out


def test_a_warm_start_takes_only_what_fits(run, capsys):
  workdir, result = run
  there = setup()
  fresh = {
    "params": {"mean": {"w": np.zeros(toy.D, np.float16), "new": np.ones(2)}},
    "mutable": {"mean": {}}, "ema": {"mean": {"w": np.full(9, 3.0)}}, "opt": {},
  }  # fmt: skip
  state = training.warm_start(str(workdir), there)([], fresh)
  w = state["params"]["mean"]["w"]
  assert w.dtype == np.float16
  np.testing.assert_allclose(w, result.states[0]["params"]["mean"]["w"], rtol=1e-3)
  np.testing.assert_array_equal(state["params"]["mean"]["new"], 1)
  np.testing.assert_array_equal(state["ema"]["mean"]["w"], np.full(9, 3.0))
  assert "took over 1 of 3 arrays" in capsys.readouterr().out
  # A later stage than the other run has is left as it is.
  later = {"params": {"other": np.ones(1)}}
  assert training.warm_start(str(workdir), setup(stages=2))([None], later) is later


def test_a_warm_start_from_nothing_that_fits_is_refused(run, monkeypatch):
  workdir, _ = run
  nothing = {"params": {"a": np.zeros(1)}, "mutable": {}, "ema": {}}
  monkeypatch.setattr(training, "abstract_states", lambda *_: [nothing])
  with pytest.raises(UserError, match="no array of that run fits this model"):
    training.warm_start(str(workdir), setup())
  with pytest.raises(UserError, match="is not a run folder"):
    training.warm_start("/no/such/run", setup())
