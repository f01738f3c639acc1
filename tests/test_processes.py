"""Real processes on one machine, over gloo: they train as one, and fall and rise together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.rows import rows

ROOT = Path(__file__).resolve().parent.parent
TINY = ("--config", "configs/vae.py:tiny", "--config.measures=('likelihood',)")
LONG = (
  *TINY, "--config.train.steps=400", "--config.train.log_every=20",
  "--config.train.checkpoint_every=20", "--config.train.validate_every=0",
  "--config.train.sample_every=0", "--config.train.best=",
)  # fmt: skip


def environment(**more):
  kept = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS" and not k.startswith("JAX_")}
  return {**kept, "JAX_PLATFORMS": "cpu", **more}


def start(count, *arguments):
  """The processes of one job."""
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
  processes = []
  for index in range(count):
    where = {
      "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": str(count),
      "JAX_PROCESS_ID": str(index),
    }  # fmt: skip
    command = [sys.executable, "-m", "gen_jax.main", *map(str, arguments)]
    processes.append(
      subprocess.Popen(
        [*command, "--distributed"] if count > 1 else command,
        cwd=ROOT,
        text=True,
        env=environment(**where if count > 1 else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
      )  # fmt: skip
    )
  return processes


def ends(processes, timeout=240):
  """(exit status, output, errors) of each."""
  try:
    told = [process.communicate(timeout=timeout) for process in processes]
  finally:
    for process in processes:
      process.kill()
  return [(p.returncode, out, err) for p, (out, err) in zip(processes, told, strict=True)]


def run(count, *arguments):
  found = ends(start(count, *arguments))
  assert all(code == 0 for code, _, _ in found), found
  return found


def weights(workdir):
  from safetensors.numpy import load_file

  return load_file(workdir / "weights.safetensors")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  """The run of a single process."""
  workdir = tmp_path_factory.mktemp("alone") / "run"
  run(1, *TINY, "--workdir", workdir)
  return workdir


@pytest.mark.parametrize("count", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_several_processes_train_as_one(alone, tmp_path, count):
  workdir = tmp_path / "run"
  found = run(count, *TINY, "--workdir", workdir)
  assert "negative_elbo" in found[0][1]
  said = [line for _, out, _ in found[1:] for line in out.splitlines() if "[Gloo]" not in line]
  assert not said, "only the first process talks"
  assert {p.name for p in workdir.iterdir()} - {".lock"} >= {
    "config.json", "metrics.jsonl", "evaluation.json", "curves.png", "weights.safetensors",
  }  # fmt: skip
  ours, theirs = rows(workdir), rows(alone)
  assert [r.keys() for r in ours] == [r.keys() for r in theirs]
  for a, b in zip(ours, theirs, strict=True):
    for name, value in b.items():
      if isinstance(value, float):
        np.testing.assert_allclose(a[name], value, rtol=1e-4, err_msg=f"{name} of {b}")
  for name, value in weights(alone).items():
    np.testing.assert_allclose(weights(workdir)[name], value, atol=1e-4, err_msg=name)
  # One process goes on where several were, and says that nothing is left to do.
  assert "is complete at step 8" in run(1, *TINY, "--workdir", workdir)[0][1]


def wait_for(processes, workdir, step):
  """Until that step has its row."""
  until = time.monotonic() + 180
  while True:
    path = workdir / "metrics.jsonl"
    if path.exists() and any(row["step"] >= step for row in rows_so_far(path)):
      return
    assert time.monotonic() < until and all(p.poll() is None for p in processes), (
      "it never got that far"
    )
    time.sleep(0.05)


def rows_so_far(path):
  lines = path.read_text().splitlines(keepends=True)
  return [json.loads(line) for line in lines if line.endswith("\n")]


@pytest.mark.slow
def test_one_killed_ends_the_other(tmp_path):
  workdir = tmp_path / "run"
  processes = start(2, *LONG, "--workdir", workdir)
  wait_for(processes, workdir, 60)
  processes[1].kill()
  killed = time.monotonic()
  code, out, err = ends(processes)[0]
  assert time.monotonic() - killed < 60
  assert "Traceback" not in err, (out, err)
  if code == 75:
    assert "process 0 of 2 stopped, because another one is gone" in err
    assert "the same command goes on from the last checkpoint" in err
  else:  # it waited for the other one where no error comes, until JAX noticed the silence
    assert code == -signal.SIGABRT and "another task died" in err, (code, err)


@pytest.mark.skipif(
  Path(sys.prefix).resolve() != ROOT / ".venv", reason="the launcher would make an environment"
)
def test_the_launcher_ends_all_when_one_is_killed_and_goes_on_again(tmp_path):
  workdir, logs = tmp_path / "run", tmp_path / "logs"
  command = [ROOT / "launch" / "local_processes.sh", "2", *LONG, "--workdir", workdir]
  how = {"env": environment(GEN_JAX_LOGS=str(logs), GEN_JAX_GRACE="3"), "text": True}
  job = subprocess.Popen(command, **how, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  wait_for([job], workdir, 40)
  children = Path(f"/proc/{job.pid}/task/{job.pid}/children").read_text().split()
  commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
  mine = [int(pid) for pid, command in commands.items() if b"gen_jax.main" in command]
  assert len(mine) == 2
  os.kill(max(mine), signal.SIGKILL)
  _, err = job.communicate(timeout=60)
  assert job.returncode in (75, 128 + signal.SIGKILL), err
  if job.returncode != 75:
    assert "process 1 was killed by signal 9: the others end too" in err
  assert (logs / "process-1.log").exists()
  assert not any(Path(f"/proc/{pid}").exists() for pid in mine)
  again = subprocess.run(command, **how, capture_output=True, timeout=200, check=False)
  assert again.returncode == 0, again.stderr
  assert "going on from step" in again.stdout
  assert [r["step"] for r in rows(workdir)] == list(range(20, 401, 20))


def test_a_signal_to_one_stops_both_at_the_same_step(tmp_path):
  workdir = tmp_path / "run"
  processes = start(2, *LONG, "--workdir", workdir)
  wait_for(processes, workdir, 40)
  processes[1].send_signal(signal.SIGTERM)
  found = ends(processes)
  assert [code for code, _, _ in found] == [75, 75], found
  assert len({out.splitlines()[-1] for _, out, _ in found}) == 1
  assert "stopped and saved at step" in found[0][1]
  assert "Traceback" not in found[0][2] + found[1][2]


def test_what_one_refuses_all_refuse(alone, tmp_path):
  """A run folder of another config is seen by the first process only."""
  other = ("--config.seed=5", "--workdir", alone)
  for code, _, err in ends(start(2, *TINY, *other)):
    assert code == 2 and "belongs to another config (seed 0 there, 5 here)" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
  ("given", "message"),
  [
    ({"JAX_PROCESS_ID": "0"}, "JAX_COORDINATOR_ADDRESS and JAX_NUM_PROCESSES must be set too"),
    ({"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES and JAX_PROCESS_ID must be numbers"),
    ({"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "2"}, "JAX_PROCESS_ID=2 must lie in 0..1"),
    ({}, "the processes did not meet"),
  ],
)
def test_processes_that_cannot_meet_are_told_why(given, message, tmp_path):
  if len(given) > 1 or "two" in given.values():
    given = {"JAX_COORDINATOR_ADDRESS": "127.0.0.1:1", "JAX_PROCESS_ID": "0", **given}
  found = subprocess.run(
    [sys.executable, "-m", "gen_jax.main", *TINY, "--distributed", "--workdir", tmp_path / "w"],
    cwd=ROOT, env=environment(**given), text=True, capture_output=True, timeout=120, check=False,
  )  # fmt: skip
  assert found.returncode == 2
  assert found.stderr.count("\n") == 1 and message in found.stderr, found.stderr
  assert not (tmp_path / "w").exists()
