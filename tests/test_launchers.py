"""What can be told of the launchers without the clusters they are for."""

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
