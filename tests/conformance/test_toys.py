"""The toys from the command line's own functions: trained, looked at, loaded, drawn from."""

import jax
import numpy as np
import pytest

import gen_jax
from gen_jax.app import cli, tasks, training
from gen_jax.app.dry_run import dry_run
from gen_jax.core import UserError, fold_each
from gen_jax.run.folder import read_record, specs_of
from gen_jax.run.load import load_run
from tests.conformance import toys

FILE = toys.__file__


@pytest.fixture(scope="module", params=["two_resolutions", "aligned"])
def run(request, tmp_path_factory):
  """(config, run folder) of each toy."""
  config = cli.load_config(f"{FILE}:{request.param}").to_dict()
  workdir = tmp_path_factory.mktemp(request.param) / "run"
  training.train(config, workdir)
  return config, workdir


def test_every_stage_has_a_spec_of_its_own_that_is_saved(run):
  config, workdir = run
  spec, *specs = specs_of(read_record(workdir))
  size = config["data"]["resolution"]
  sizes = [8, 16] if len(specs) == 2 else [size]
  assert spec.shape == (size, size, 3) and [s.shape[0] for s in specs] == sizes
  assert spec.fields["segmentation"].aligned
  assert spec.fields["caption"].names[4:6] == ("a", "tiny")


def test_a_dry_run_looks_at_every_stage(run, capsys):
  config, _ = run
  assert dry_run(config) == 0
  out = capsys.readouterr().out
  assert "(8, 8, 3)" in out or "(2, 3)" in out
  if len(config["train"]["steps"] if isinstance(config["train"]["steps"], tuple) else ()) == 2:
    assert "stage 1" in out and "(16, 16, 3)" in out


def test_it_loads_and_draws_without_its_data(run):
  config, workdir = run
  model, states = gen_jax.load(workdir, builders=[config["builder"]])
  keys = fold_each(jax.random.key(0), np.arange(3))
  size = config["data"]["resolution"]
  cond = {"segmentation": np.zeros((3, size, size), np.uint8)} if model.cond else None
  assert np.asarray(model.sample(states, keys, cond)).shape == (3, size, size, 3)
  if len(states) == 2:
    assert states[0] == {}  # freed when the second stage began


def test_samples_take_their_conditions_from_the_data_that_there_are(run, capsys):
  config, workdir = run
  assert tasks.draw(config, workdir, n=4, seed=0, given={}, checkpoint="newest") == 0
  drawn = np.load(workdir / "samples" / "seed0-n4.npz")
  assert drawn["x"].shape[0] == 4
  if load_run(workdir, builders=[config["builder"]]).model.cond:
    assert drawn["segmentation"].shape == (4, 8, 8)
    with pytest.raises(UserError, match="no text: it is an image"):
      tasks.draw(config, workdir, n=4, seed=0, given={"segmentation": "1"}, checkpoint="newest")
