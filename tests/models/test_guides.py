"""One run guides the samples of another."""

import jax
import numpy as np
import pytest

import gen_jax
from gen_jax.app import training
from gen_jax.app.cli import load_config
from gen_jax.config import merge
from gen_jax.core import UserError, fold_each

N = 16


def trained(name, folder, **groups):
  config = load_config(f"configs/{name}.py:tiny").to_dict()
  training.train(merge(config, {"measures": (), **groups}), folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs")
  for seed in (0, 1):
    trained("dit", folder / f"seed{seed}", seed=seed)
  return folder


def drawn(run, **options):
  model, state = gen_jax.load(run, sample=options)
  keys = fold_each(jax.random.key(0), np.arange(N))
  return np.asarray(jax.jit(model.sample)(state, keys, {"label": np.arange(N) % 10})), model


def test_a_run_that_guides_itself_changes_nothing_and_another_does(runs):
  plain, model = drawn(runs / "seed0")
  itself, guided = drawn(runs / "seed0", guide=str(runs / "seed0"), guidance=2.0)
  off = np.abs(itself.astype(int) - plain)
  assert off.max() <= 1 and (off > 0).mean() < 0.01  # but for rounding
  assert guided.calls == 2 * model.calls
  other, _ = drawn(runs / "seed0", guide=str(runs / "seed1"), guidance=2.0)
  assert (other != plain).mean() > 0.1


@pytest.mark.slow
def test_runs_of_other_paths_and_builders_guide_too(runs, tmp_path):
  trained("ddpm", tmp_path / "ddpm")
  plain, _ = drawn(runs / "seed0")
  other, _ = drawn(runs / "seed0", guide=str(tmp_path / "ddpm"), guidance=2.0)
  assert (other != plain).mean() > 0.1
  how = dict(method="ddim", steps=3, guidance=0.5)
  back, _ = drawn(tmp_path / "ddpm", **how, guide=str(runs / "seed0"))
  own, _ = drawn(tmp_path / "ddpm", method="ddim", steps=3)
  assert back.shape == plain.shape and (back != own).mean() > 0.1


def test_refusals(runs, tmp_path):
  with pytest.raises(UserError, match="is not a run folder"):
    gen_jax.load(runs / "seed0", sample={"guide": str(tmp_path), "guidance": 1.0})
  with pytest.raises(UserError, match="guide is of sample.guidance, which is 0"):
    gen_jax.load(runs / "seed0", sample={"guide": str(runs / "seed1")})
  with pytest.raises(UserError, match="guides what is drawn of a run folder.*leave it out"):
    trained("dit", tmp_path / "new", sample={"guide": str(runs / "seed1"), "guidance": 1.0})
