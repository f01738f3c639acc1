"""Law 11: a run folder is data, not code. Whatever a folder names, nothing outside of the registry
of builders is imported or called, by any way in."""

import importlib
import json
import os
from pathlib import Path

import pytest

import gen_jax
from gen_jax import config as configs
from gen_jax import remote
from gen_jax.app import tasks, training
from gen_jax.core import UserError
from gen_jax.report.collage import collage
from gen_jax.report.compare import compare
from gen_jax.report.results import results
from gen_jax.run import folder
from gen_jax.run.load import opened
from gen_jax.run.setup import set_up
from tests.run import toy

# A module whose import, a function whose call, and names that only look like ones of ours.
BUILDERS = (
  "subprocess.call", "os.abort", "evil.payload", "gen_jax.models.gan.os.abort",
  "gen_jax.models.vae.Path", "gen_jax.models.vae.elbo", "gen_jax.models...evil.build",
  "gen_jax.models.nothing.build", "gen_jax.report.judge.train_judge", "", 5, None,
)  # fmt: skip


@pytest.fixture
def evil(tmp_path, monkeypatch):
  """A function that makes a run folder with that builder, sealed as the program seals it; a module
  beside it tells when it is imported."""
  (tmp_path / "evil.py").write_text("import os\nos.environ['IMPORTED'] = 'yes'\npayload = print")
  monkeypatch.chdir(tmp_path)
  monkeypatch.syspath_prepend(str(tmp_path))
  monkeypatch.delenv("IMPORTED", raising=False)
  made = set_up(configs.experiment("gen_jax.models.ae.build", data={"name": "digits"}))

  def make(builder):
    workdir = tmp_path / "run"
    workdir.mkdir()
    made.claim(workdir)
    record = json.loads((workdir / "config.json").read_text())
    record["config"]["builder"] = builder
    seal = record | {"digest": folder.digest_of(record)}
    (workdir / "config.json").write_text(json.dumps(seal))
    return workdir

  return make


def warm(workdir):
  training.warm_start(str(workdir), toy.system(toy.experiment()))


def claimed(workdir):
  """As training and evaluation do, with a config of the user's own."""
  experiment = toy.experiment()
  folder.claim(workdir, experiment.config, [toy.SPEC] * 2, {"train": toy.N}, ["", ""])


def by_url(workdir):
  gen_jax.load(f"file://{workdir}")


def seen(workdir):
  opened(toy.experiment().config, workdir, "newest")


WAYS = {
  "load": gen_jax.load,
  "load by URL": by_url,
  "a mode without a config": tasks.config_of,
  "a mode with one": seen,
  "training or evaluation into it": claimed,
  "--init_from": warm,
  "collage": lambda workdir: collage([workdir], "out.png"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("builder", BUILDERS)
def test_only_builders_of_the_registry_are_taken_from_a_file(evil, way, builder, monkeypatch):
  workdir = evil(builder)
  imported = []
  real = importlib.import_module

  def spy(name, *args):
    imported.append(name)
    return real(name, *args)

  monkeypatch.setattr(importlib, "import_module", spy)
  with pytest.raises(UserError, match="builder"):
    WAYS[way](workdir)
  ours = {toy.BUILDER.rpartition(".")[0]}
  assert all(name.startswith("gen_jax.models.") or name in ours for name in imported), imported
  assert "IMPORTED" not in os.environ


@pytest.mark.parametrize("builder", ["subprocess.call", "evil.payload"])
def test_what_only_reads_figures_imports_nothing(evil, builder, tmp_path):
  workdir = evil(builder)
  (workdir / "evaluation.json").write_text("{}")
  assert "builder" not in compare([workdir, workdir])
  results(tmp_path / "out.md", [workdir])
  assert "IMPORTED" not in os.environ


def test_every_builder_of_the_configs_is_registered():
  names = {f"gen_jax.models.{p.stem}" for p in Path(configs.__file__).parent.glob("models/*.py")}
  count = 0
  for name in names:
    for function in vars(importlib.import_module(name)).values():
      if getattr(function, configs.BUILDER, False) and function.__module__ == name:
        configs.check_registered({"builder": f"{name}.{function.__name__}"}, "it")
        count += 1
  assert count >= 15


def test_a_file_of_a_run_folder_names_no_place_to_write_to(tmp_path):
  """A copy of a remote folder is known to the process that made it alone."""
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / ".remote").write_text(f"file://{tmp_path}/elsewhere")
  (tmp_path / "run" / ".copied").write_text("{}")
  (tmp_path / "run" / "a").write_text("a")
  remote.push(tmp_path / "run")
  assert not (tmp_path / "elsewhere").exists()
  assert remote.checkpoints(tmp_path / "run") == tmp_path / "run" / "checkpoints"
