"""Config files by name: what the command line makes of them before anything runs."""

import inspect
import re
import types
from pathlib import Path

import pytest

import gen_jax
from gen_jax.app import cli
from gen_jax.core import UserError

DDPM = str(cli.CONFIGS / "ddpm.py")


@pytest.mark.parametrize(
  "name,file,variant",
  [("configs/a.py:tiny", "configs/a.py", "tiny"), ("configs/a.py", "configs/a.py", "")],
)
def test_split_name(name, file, variant):
  assert cli.split_name(name) == (file, variant)


@pytest.mark.parametrize(
  "name,workdir",
  [
    (DDPM, "runs/ddpm"),
    (f"{DDPM}:digits", "runs/ddpm"),  # the default by its name
    (f"{DDPM}:tiny", "runs/ddpm-tiny"),
  ],
)
def test_default_workdir(name, workdir):
  assert cli.default_workdir(name) == Path(workdir)


def test_configs_by_name(tmp_path, monkeypatch):
  assert cli.named(["main", "--config", "ddpm"]) == ["main", "--config", DDPM]
  assert cli.named(["main", "--config=ddpm:tiny", "-n=3"]) == [
    "main",
    f"--config={DDPM}:tiny",
    "-n=3",
  ]
  for kept in (
    ["--config", "dppm"],
    ["--config"],
    ["--config=configs/ddpm.py"],
    ["--mode", "ddpm"],
  ):
    assert cli.named(kept) == kept
  monkeypatch.chdir(tmp_path)
  (tmp_path / "ddpm").write_text("")  # a file of one's own
  assert cli.named(["--config", "ddpm"]) == ["--config", "ddpm"]
  assert cli.named(["--config=configs/ddpm.py:tiny"]) == [f"--config={DDPM}:tiny"]
  assert cli.named(["--config=mine/ddpm.py"]) == ["--config=mine/ddpm.py"]


def test_load_config_takes_the_variant():
  assert cli.load_config(f"{DDPM}:tiny").model.timesteps == 20
  assert cli.load_config(DDPM) == cli.load_config(f"{DDPM}:{cli.default_variant(module())}")
  with pytest.raises(UserError, match="no variant 'tinny' in this config; did you mean tiny?"):
    cli.load_config(f"{DDPM}:tinny")


def module():
  return cli.load_module(DDPM)


def test_files_that_are_no_configs(tmp_path):
  with pytest.raises(
    UserError, match="no config file configs/dppm.py; did you mean ddpm.* in conf"
  ):
    cli.load_module("configs/dppm.py")
  with pytest.raises(UserError, match="no config file .*zzz.py; one of .*ddpm"):
    cli.load_module("zzz.py")
  with pytest.raises(UserError, match="no config file"):
    cli.load_module(str(tmp_path))
  (tmp_path / "a.py").write_text("x = 1")
  with pytest.raises(UserError, match="a.py has no get_config"):
    cli.load_module(str(tmp_path / "a.py"))


@pytest.mark.parametrize(
  "style", [["--config", DDPM], [f"--config={DDPM}"], [f"-config={DDPM}:tiny"]]
)
@pytest.mark.parametrize(
  "override,message",
  [
    ("--config.model.widht=3", "config.model.widht does not exist; did you mean width?"),
    ("--config.modle.width=3", "config.modle does not exist; did you mean model?"),
    ("--config.model.optimizer.warmupp=3", "config.model.optimizer.warmupp .*did you mean warmup?"),
    ("--noconfig.model.remt", "config.model.remt .* did you mean remat"),
    ("--config.model.width.deep=3", "config.model.width.deep does not exist$"),
    ("--config.model=3", "config.model is a group of .*width.*: set one of them"),
    ("--config.model.optimizer=adam", "config.model.optimizer is a group of .*learning_rate"),
  ],
)
def test_overrides_of_what_is_not_there(style, override, message):
  with pytest.raises(UserError, match=message):
    cli.check_overrides(["main", *style, "--n=3", override])
  with pytest.raises(UserError, match=message):
    cli.check_overrides(["main", override, *style])


def test_overrides_of_what_is_there():
  overrides = ["--config.model.width=3", "--config.seed", "4", "-config.train.steps=5"]
  cli.check_overrides(["main", "--config", DDPM, *overrides, "--config.model.condition=none"])
  cli.check_overrides(["main", "--config.model.widht=3"])  # without a config there is no saying
  cli.check_overrides(["main", "--configs=x", "--config"])


def test_the_listing_names_every_config_and_its_variants():
  listed = cli.listing().splitlines()
  files = sorted(cli.CONFIGS.glob("*.py"))
  heads = [line for line in listed if not line.startswith(" ")]
  assert [line.split()[0] for line in heads] == [f"configs/{file.name}" for file in files]
  for file, line in zip(files, heads, strict=True):
    assert line.endswith(inspect.getdoc(cli.load_module(str(file))).splitlines()[0])
  start = listed.index(heads[[f.name for f in files].index("ddpm.py")])
  variants = module().VARIANTS
  assert [line.split()[0] for line in listed[start + 1 : start + 1 + len(variants)]] == [
    f":{name}" for name in variants
  ]
  took = "8 minutes on two busy cores"
  assert listed[start + 1] == f"  :digits  digits, 1800 steps, {took} (default)"
  assert sum(line.endswith("(default)") for line in listed) == len(files)


def test_how_long_it_takes_is_what_the_docstring_says_behind_a_command():
  text = """What it is.

  launch/run.sh --config configs/x.py   20 s on two cores: fast
  launch/run.sh --config configs/x.py:b|c   2 minutes, of which one is spent waiting
  launch/run.sh --config configs/x.py[:d]   1 hour
  --config configs/x.py:e   eight Gaussians in the plane
  --config configs/x.py:f --config.seed=1   3 s
  --config configs/x.py:g --config.data.path=DIR   4 minutes
  """
  each = types.ModuleType("x", text)
  each.VARIANTS, each.get_config = dict.fromkeys("abcdefg"), lambda name="a": None
  hour, two, four = ("1 hour",), ("2 minutes",), ("4 minutes",)
  assert cli.times(each) == {"a": hour, "b": two, "c": two, "d": hour, "g": four}
  each.__doc__ = "It.\n\n  configs/x.py[:VARIANT]   half a minute of CPU time\n"
  each.VARIANTS["tiny_too"] = {}
  assert cli.times(each) == dict.fromkeys("abcdefg", ("half a minute of CPU time",))


def test_the_version_is_that_of_the_newest_entry_of_the_changelog():
  root = Path(__file__).resolve().parents[2]
  entries = re.findall(r"^## \[(.*?)\]", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
  assert cli.version() == next(entry for entry in entries if entry != "Unreleased")


def test_times_are_of_variants_that_there_are():
  for path in sorted(cli.CONFIGS.glob("*.py")):
    each = cli.load_module(str(path))
    assert set(cli.times(each)) <= set(each.VARIANTS), path.name


def test_a_config_by_its_name_in_python(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config = gen_jax.get_config("ddpm:tiny", model=dict(timesteps=7), seed=3)
  assert (config["model"]["timesteps"], config["seed"]) == (7, 3)
  wanted = cli.load_config(f"{DDPM}:tiny").to_dict()
  wanted["model"]["timesteps"], wanted["seed"] = 7, 3
  assert config == wanted
  with pytest.raises(UserError, match="no config file dpm; did you mean"):
    gen_jax.get_config("dpm")
