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
  for name in ("dit", "ddpm"):
    trained(name, folder / name)
  return folder


def drawn(run, **options):
  model, state = gen_jax.load(run, sample=options)
  keys = fold_each(jax.random.key(0), np.arange(N))
  return np.asarray(jax.jit(model.sample)(state, keys, {"label": np.arange(N) % 10})), model


def test_a_run_that_guides_itself_changes_nothing_and_another_does(runs):
  plain, model = drawn(runs / "dit")
  itself, guided = drawn(runs / "dit", guide=str(runs / "dit"), guidance=2.0)
  off = np.abs(itself.astype(int) - plain)
  assert off.max() <= 1 and (off > 0).mean() < 0.01  # but for rounding
  assert guided.calls == 2 * model.calls
  other, _ = drawn(runs / "dit", guide=str(runs / "ddpm"), guidance=2.0)
  assert (other != plain).mean() > 0.1
  back, _ = drawn(runs / "ddpm", method="ddim", steps=3, guide=str(runs / "dit"), guidance=0.5)
  assert back.shape == plain.shape


def test_refusals(runs, tmp_path):
  with pytest.raises(UserError, match="is not a run folder"):
    gen_jax.load(runs / "dit", sample={"guide": str(tmp_path), "guidance": 1.0})
  with pytest.raises(UserError, match="guide is of sample.guidance, which is 0"):
    gen_jax.load(runs / "dit", sample={"guide": str(runs / "ddpm")})
  with pytest.raises(UserError, match="guides what is drawn of a run folder.*leave it out"):
    trained("dit", tmp_path / "new", sample={"guide": str(runs / "ddpm"), "guidance": 1.0})
