"""Run folders and data at a URL, with file:// standing in for an object store."""

import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import gen_jax
from gen_jax import data, remote
from gen_jax.core import UserError
from gen_jax.report.compare import compare
from gen_jax.run.mesh import make_mesh
from gen_jax.run.signals import Stopped
from tests.run import toy
from tests.run.test_checkpoint import flip_bit
from tests.run.test_loop import sends

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {"train": {"steps": 12, "log_every": 2, "checkpoint_every": 4}, "model": {"noise": 1.0}}
SIZES = {"train": toy.N}


def train(mesh, workdir, **kwargs):
  """Trains a toy as the command line does; returns the result in memory."""
  parsed = toy.experiment(**SETTINGS)
  with remote.opened(workdir) as here:
    mark = toy.claim(here, parsed)
    return toy.go(mesh, parsed, workdir=here, fingerprint=mark, **kwargs)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A local run folder, and what it came to."""
  workdir = tmp_path_factory.mktemp("local") / "run"
  workdir.mkdir()
  return workdir, train(make_mesh(jax.devices()[:1]), workdir)


def test_a_run_at_a_url_is_the_run_here(mesh, whole, tmp_path):
  there = tmp_path / "bucket" / "run"
  result = train(mesh, f"file://{there}")
  toy.equal(result.states, whole[1].states)
  assert toy.rows(there) == toy.rows(whole[0])
  names = {p.name for p in there.iterdir()}
  assert {"config.json", "metrics.jsonl", "checkpoints"} <= names
  assert not any(name.startswith(".") for name in names)
  _, state = toy.load(f"file://{there}")
  toy.equal(state, result.states)
  assert "evaluation" not in compare([f"file://{there}", whole[0]])


def test_stopped_and_again_is_the_uninterrupted_run(mesh, whole, tmp_path):
  url = f"file://{tmp_path}/run"
  with pytest.raises(Stopped):
    train(mesh, url, on_step=sends(signal.SIGTERM, at=6))
  assert [row["step"] for row in toy.rows(tmp_path / "run")] == [2, 4, 6]
  toy.equal(train(mesh, url).states, whole[1].states)
  assert toy.rows(tmp_path / "run") == toy.rows(whole[0])


def test_the_files_are_never_behind_a_checkpoint(mesh, whole, tmp_path):
  there, dead = tmp_path / "run", tmp_path / "dead"

  def on_step(step):  # what is left where the machine is gone at once
    if step == 11:
      # A save that is under way moves its own files while they are copied.
      shutil.copytree(there, dead, ignore=shutil.ignore_patterns("*.orbax-checkpoint-tmp"))

  train(mesh, f"file://{there}", on_step=on_step)
  steps = [int(p.name) for p in (dead / "checkpoints").iterdir() if p.name.isdigit()]
  assert steps and toy.rows(dead)[-1]["step"] >= max(steps)
  toy.equal(train(mesh, f"file://{dead}").states, whole[1].states)
  assert toy.rows(dead) == toy.rows(whole[0])


def test_a_damaged_checkpoint_there_is_set_aside_there(mesh, whole, tmp_path):
  there = tmp_path / "run"
  shutil.copytree(whole[0], there)
  flip_bit(there / "checkpoints" / "12")
  toy.equal(train(mesh, f"file://{there}").states, whole[1].states)
  assert (there / "damaged" / "12").is_dir() and (there / "checkpoints" / "12").is_dir()


def test_only_what_changed_is_copied(tmp_path):
  there = tmp_path / "run"
  there.mkdir()
  (there / "old").write_text("1")
  before = (there / "old").stat().st_mtime_ns
  with remote.opened(f"file://{there}") as here:
    assert (here / "old").read_text() == "1" and here.name == "run"
    (here / "new").mkdir()
    (here / "new" / "file").write_text("2")
    remote.push(here)
    assert (there / "new" / "file").read_text() == "2"
  assert (there / "old").stat().st_mtime_ns == before
  assert not here.exists()


@pytest.mark.parametrize("url", ["ftp://host/run", "file://", "gs://"])
def test_refuses_what_it_cannot_reach(url):
  with pytest.raises(UserError, match="not a folder that can be reached: gs://, s3://, file://"):
    remote.locate(url)


def test_says_in_one_line_what_keeps_it_from_a_bucket():
  with pytest.raises(UserError, match=r"gs://b cannot be reached \(OSError: no network\)"):
    with remote.reaching("gs://b"):
      raise OSError("no network\nand a long story")


def test_errors_name_the_url_and_not_the_copy(tmp_path):
  with pytest.raises(UserError) as refused:
    gen_jax.load(f"file://{tmp_path}/nothing")
  assert f"file://{tmp_path}/nothing/config.json does not exist" in str(refused.value)


@pytest.fixture
def pictures(tmp_path):
  """A folder of images of two classes, and a zip of it."""
  rng = np.random.default_rng(0)
  for i in range(8):
    path = tmp_path / "set" / "ab"[i % 2] / f"{i}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (6, 6), np.uint8)).save(path)
  (tmp_path / "set" / "a" / "README").write_text("not an image")
  with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
    for path in sorted((tmp_path / "set").rglob("*.png")):
      archive.write(path, path.relative_to(tmp_path / "set"))
  return tmp_path / "set"


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_images_at_a_url_are_those_here(pictures, suffix):
  here, there = (
    data.load(name="folder", path=f"{start}{pictures}{suffix}", validation=0.0, test=0.25)
    for start in ("", "file://")
  )
  assert here.spec == there.spec and here.spec.classes == 2
  for name, split in here.splits.items():
    for field, values in split.arrays().items():
      np.testing.assert_array_equal(values, there.splits[name].arrays()[field])


def test_refuses_data_that_are_not_there(tmp_path):
  for suffix in ("", ".zip"):
    with pytest.raises(UserError, match="nothing.* cannot be reached"):
      data.load(name="folder", path=f"file://{tmp_path}/nothing{suffix}")


def test_the_command_line_takes_a_url(tmp_path):
  def run(*arguments):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    return subprocess.run(
      [sys.executable, "-m", "gen_jax.main", *arguments], cwd=ROOT, env=environment, check=True,
      capture_output=True, text=True,
    ).stdout  # fmt: skip

  command = ("--config=configs/gmm.py:tiny", f"--workdir=file://{tmp_path}/run")
  run(*command)
  assert (tmp_path / "run" / "evaluation.json").exists()
  assert (tmp_path / "run" / "weights.safetensors").exists()
  said = run(*command, "--mode=sample", "--n=3")
  assert f"file://{tmp_path}/run/samples/seed0-n3" in said
  assert (tmp_path / "run" / "samples" / "seed0-n3.npz").exists()
