"""What a launch records of itself."""

import datetime
import json
import shlex
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

import gen_jax
from gen_jax.app import provenance


def test_record(monkeypatch):
  jax.devices()  # before XLA could read the flag below, and refuse it
  monkeypatch.setenv("JAX_MADE_UP_FLAG", "1")
  monkeypatch.setenv("XLA_FLAGS", "--xla_of_a_test")
  monkeypatch.setenv("SECRET_TOKEN", "x")
  command = ["python", "-m", "gen_jax.main", "--config=a b.py"]
  monkeypatch.setattr(sys, "orig_argv", command)
  record = provenance.provenance()
  assert json.loads(json.dumps(record)) == record
  age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(record["time"])
  assert abs(age.total_seconds()) < 60
  assert record["versions"]["jax"] == jax.__version__
  assert record["versions"]["numpy"] == np.__version__
  assert None not in record["versions"].values()
  assert record["devices"]["count"] == jax.device_count()
  assert record["cpu_threads"] >= 1
  assert shlex.split(record["command"]) == command
  assert record["environment"]["JAX_MADE_UP_FLAG"] == "1"
  assert record["environment"]["XLA_FLAGS"] == "--xla_of_a_test"
  assert "SECRET_TOKEN" not in record["environment"]


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_git(tmp_path, monkeypatch):
  def git(*arguments):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
      ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()

  package = tmp_path / "gen_jax" / "__init__.py"
  package.parent.mkdir()
  package.write_text("")
  monkeypatch.setattr(gen_jax, "__file__", str(package))
  assert provenance.provenance()["git"] is None
  git("init")
  git("add", ".")
  git("commit", "-m", "first")
  assert provenance.provenance()["git"] == {"commit": git("rev-parse", "HEAD"), "dirty": False}
  package.write_text("x = 1")
  assert provenance.provenance()["git"]["dirty"] is True

  inside = tmp_path / "site-packages" / "gen_jax" / "__init__.py"  # of another project's checkout
  inside.parent.mkdir(parents=True)
  monkeypatch.setattr(gen_jax, "__file__", str(inside))
  assert provenance.provenance()["git"] is None


def test_without_git(monkeypatch):
  monkeypatch.setenv("PATH", "/nowhere")
  assert provenance.provenance()["git"] is None
