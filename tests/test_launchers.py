"""What can be told of the launchers without the clusters they are for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

LAUNCH = Path(__file__).resolve().parent.parent / "launch"
SCRIPTS = sorted([*LAUNCH.glob("*.sh"), *LAUNCH.glob("*.sbatch")])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_bash_can_read_it(script):
  subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.name)
def test_shellcheck_finds_nothing(script):
  found = subprocess.run(
    ["shellcheck", "-x", script], cwd=LAUNCH.parent, capture_output=True, text=True, check=False
  )
  assert not found.returncode, found.stdout


@pytest.mark.parametrize("file", [*SCRIPTS, LAUNCH / "kubernetes.yaml"], ids=lambda p: p.name)
def test_the_header_says_how_to_start_it(file):
  header = re.match(r"(#.*\n)+", file.read_text())[0]
  assert file.name in header or file.stem == "environment"


def test_slurm_has_one_process_for_each_gpu_and_comes_back():
  text = (LAUNCH / "slurm.sbatch").read_text()
  options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(\S*)", text, re.M))
  assert options["gpus-per-node"] == options["ntasks-per-node"]
  assert options["signal"].startswith("TERM@") and "requeue" in options
  assert "--distributed" in text and re.search(r"75 \|.*\)\n.*\n\s+scontrol requeue", text)


def test_kubernetes_pods_are_one_job():
  jobset = yaml.safe_load((LAUNCH / "kubernetes.yaml").read_text())
  assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
  (job,) = jobset["spec"]["replicatedJobs"]
  spec = job["template"]["spec"]
  (container,) = spec["template"]["spec"]["containers"]
  env = {e["name"]: e for e in container["env"]}
  count = int(env["JAX_NUM_PROCESSES"]["value"])
  assert spec["parallelism"] == spec["completions"] == count and spec["completionMode"] == "Indexed"
  # <jobset>-<job>-<replica>-<pod>.<jobset>, the name that JobSet gives the first pod.
  host, port = env["JAX_COORDINATOR_ADDRESS"]["value"].split(":")
  name = jobset["metadata"]["name"]
  assert host == f"{name}-{job['name']}-0-0.{name}"
  assert int(port) == container["ports"][0]["containerPort"]
  assert jobset["spec"]["network"]["enableDNSHostnames"]
  failed = spec["podFailurePolicy"]["rules"][0]["onExitCodes"]
  assert failed["values"] == [1, 2], "what no restart mends; 75 and kills start all pods again"
  assert failed["containerName"] == container["name"]
  script = container["args"][0]
  subprocess.run(["bash", "-n", "-c", script], check=True)
  assert "--distributed" in script
  mounts = {m["name"] for m in container["volumeMounts"]}
  assert mounts == {v["name"] for v in spec["template"]["spec"]["volumes"]}


# Stands in for gcloud: keeps the state of the slice in a file, notes what it is asked, and fails a
# job whose command holds "fail".
GCLOUD = r"""#!/usr/bin/env bash
echo "$*" >> "$FAKE/calls"
case "$4 $3" in
  "describe queued-resources")
    [ -e "$FAKE/state" ] || exit 1
    cat "$FAKE/state"
    [ "$(cat "$FAKE/state")" != WAITING_FOR_RESOURCES ] || echo ACTIVE > "$FAKE/state" ;;
  "create queued-resources") echo WAITING_FOR_RESOURCES > "$FAKE/state" ;;
  "delete queued-resources") rm "$FAKE/state" ;;
  "ssh tpu-vm") case "$*" in *--fail*) exit 1 ;; esac ;;
esac
"""


@pytest.fixture
def pod(tmp_path):
  """Runs tpu_pod.sh against the stand-in: (state, arguments) -> (exit status, calls, its words)."""
  (tmp_path / "gcloud").write_text(GCLOUD)
  (tmp_path / "gcloud").chmod(0o755)

  def run(state, *arguments, **settings):
    if state:
      (tmp_path / "state").write_text(state)
    environment = os.environ | {
      "PATH": f"{tmp_path}:{os.environ['PATH']}", "FAKE": str(tmp_path), "TICK": "0",
      "PROJECT": "p", "ZONE": "z", "BUCKET": "gs://b", **settings,
    }  # fmt: skip
    done = subprocess.run(
      [LAUNCH / "tpu_pod.sh", *arguments], env=environment, capture_output=True, text=True,
      check=False,
    )  # fmt: skip
    calls = tmp_path / "calls"
    said = calls.read_text() if calls.exists() else ""
    return done.returncode, said, done.stderr

  return run


CONFIG = ("slice", "--config", "configs/ddpm.py:cifar10", "--config.model.width=(1, 2)")


def test_tpu_pod_makes_a_slice_waits_and_runs_on_all_hosts(pod):
  code, calls, _ = pod(None, *CONFIG, SPOT="1", DELETE="1")
  assert code == 0
  verbs = re.findall(r"^compute tpus \S+ (\w+)", calls, re.M)
  assert verbs == ["describe", "create", "describe", "describe", "scp", "ssh", "ssh", "delete"]
  assert "--accelerator-type=v5litepod-16" in calls and "--spot" in calls
  job = calls.rpartition("ssh slice")[2]
  assert "--worker=all" in job and "--distributed --workdir=gs://b/runs/slice --config" in job
  assert r"--config.model.width=\(1\,\ 2\)" in job


def test_tpu_pod_takes_the_slice_there_is_and_passes_the_status_on(pod):
  code, calls, _ = pod("ACTIVE", *CONFIG, "--workdir=gs://c/x", "--fail")
  assert code == 1 and " create " not in calls and " delete " not in calls
  assert "--workdir=gs://c/x" in calls and "gs://b/runs" not in calls


def test_tpu_pod_makes_a_preempted_slice_anew(pod):
  code, calls, _ = pod("SUSPENDED", *CONFIG)
  assert code == 0 and calls.index(" delete ") < calls.index(" create ")


@pytest.mark.parametrize(
  ("arguments", "settings", "says"),
  [
    (("--config", "x"), {}, "the slice's name comes first"),
    (CONFIG, {"ZONE": ""}, "set ZONE"),
    (CONFIG, {"BUCKET": "/tmp"}, "BUCKET must be gs://"),
    (CONFIG, {"WAIT": "0"}, "is still PROVISIONING after 0 minutes"),
  ],
)
def test_tpu_pod_refuses_in_one_line(pod, arguments, settings, says):
  code, _, err = pod("PROVISIONING", *arguments, **settings)
  assert code == 2 and says in err and err.count("\n") == 1
