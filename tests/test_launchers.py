"""What can be told of the launchers without the clusters they are for."""

import os
import re
import shutil
import subprocess
import sys
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


# Stands in for pip: two packages, into $PIP_TARGET where there is one; one that is recorded as
# installed is left alone, as pip leaves it.
PIP = """
import os, sys
from pathlib import Path
if "install" in sys.argv:
  if os.environ.get("NO_NETWORK"):
    sys.exit("no network")
  site = Path(os.environ.get("PIP_TARGET") or os.environ.get("CONFIGURED") or __file__).absolute()
  site = site.parents[1] if site.name == "__main__.py" else site
  for name in ("jax", "flax"):
    record = site / f"{name}-1.dist-info"
    if not record.exists():
      (site / name).mkdir(parents=True, exist_ok=True)
      record.mkdir()
      (record / "RECORD").write_text(f"{name}/__init__.py,,\\n{name}-1.dist-info/RECORD,,\\n")
      (record / "INSTALLER").write_text("pip")
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
  """A virtual environment that holds the stand-in alone."""
  venv = tmp_path_factory.mktemp("bare") / ".venv"
  subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
  (site,) = venv.glob("lib/python3.*/site-packages")
  (site / "pip").mkdir()
  (site / "pip" / "__init__.py").touch()
  (site / "pip" / "__main__.py").write_text(PIP)
  return venv


@pytest.fixture
def checkout(tmp_path):
  """A checkout whose gen_jax says "ran" and its arguments; without an environment."""
  root = tmp_path / "a checkout"
  shutil.copytree(LAUNCH, root / "launch")
  (root / "gen_jax").mkdir()
  (root / "gen_jax" / "main.py").write_text("import sys; print('ran', *sys.argv[1:])")
  (root / "requirements.txt").write_text("flax\n")
  return root


@pytest.fixture
def built(checkout, bare):
  """The same with an environment that it built."""
  shutil.copytree(bare, checkout / ".venv", symlinks=True)
  (checkout / ".venv" / ".gen_jax-lock").touch()
  assert start(checkout).stdout == "ran\n" and site_of(checkout).joinpath("flax").is_dir()
  return checkout


def site_of(root):
  (site,) = root.glob(".venv/lib/python3.*/site-packages")
  return site


def start(root, *command, without=(), **settings):
  """launch/run.sh --accelerator=cpu, or another command, outside the checkout."""
  kept = {k: v for k, v in os.environ.items() if not k.startswith("PIP_") and k not in without}
  return subprocess.run(
    command or [root / "launch" / "run.sh", "--accelerator=cpu"], cwd=root.parent, text=True,
    env=kept | settings, capture_output=True, check=False, stdin=subprocess.DEVNULL,
  )  # fmt: skip


def test_a_ready_environment_is_left_as_it_is(built):
  done = start(built, NO_NETWORK="1")
  assert (done.returncode, done.stdout, done.stderr) == (0, "ran\n", "")


def test_run_starts_through_links_and_by_sh(built):
  folder = built.parent / "bin"
  folder.mkdir()
  (folder / "first").symlink_to("../a checkout/launch/run.sh")
  (folder / "second").symlink_to(folder / "first")
  for command in ([folder / "second"], ["sh", built / "launch" / "run.sh"],
                  ["bash", "--posix", built / "launch" / "run.sh"]):  # fmt: skip
    done = start(built, *command, "--accelerator=cpu", "--list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "ran --list\n", ""), command


def test_run_read_from_a_pipe_says_how_to_start_it(checkout):
  text = (checkout / "launch" / "run.sh").read_text()
  done = subprocess.run(["bash"], input=text, text=True, capture_output=True, check=False)
  assert done.returncode and done.stderr.count("\n") == 1
  assert "start launch/run.sh by its path" in done.stderr


def test_the_newest_python_is_found_without_a_home(checkout):
  find = ["bash", "-euc", "source 'a checkout/launch/environment.sh'; find_python; echo $minor"]
  found, without = start(checkout, *find), start(checkout, *find, without=("HOME",))
  assert found.returncode == 0 and int(found.stdout) >= 12
  assert (without.stdout, without.stderr) == (found.stdout, "")


@pytest.mark.parametrize("what", ["flax", "flax-1.dist-info"])
def test_a_package_that_was_removed_comes_back(built, what):
  shutil.rmtree(site_of(built) / what)
  done = start(built, NO_NETWORK="1")
  assert done.returncode == 1 and f"missing from .venv: {what}" in done.stderr
  assert "is the network there?" in done.stderr and "Traceback" not in done.stderr
  done = start(built)
  assert (done.returncode, done.stdout) == (0, "ran\n")
  assert all((site_of(built) / name).is_dir() for name in ("flax", "flax-1.dist-info"))
  assert start(built, NO_NETWORK="1").stderr == ""


def test_packages_go_into_the_environment_whatever_pip_is_told(built):
  elsewhere = built.parent / "elsewhere"
  (built / "requirements.txt").write_text("flax # changed\n")
  shutil.rmtree(site_of(built) / "flax")
  done = start(built, PIP_TARGET=str(elsewhere))
  assert done.stdout == "ran\n" and (site_of(built) / "flax").is_dir() and not elsewhere.exists()

  (built / "requirements.txt").write_text("flax # changed again\n")
  shutil.rmtree(site_of(built) / "flax")
  for _ in range(2):  # it is no environment the second time either
    done = start(built, CONFIGURED=str(elsewhere))
    assert done.returncode == 1 and "pip put the packages elsewhere" in done.stderr


@pytest.mark.parametrize("what", ["folder", "link", "dangling link", "file"])
def test_what_is_not_ours_is_never_emptied(checkout, what):
  venv, theirs = checkout / ".venv", checkout.parent / "theirs"
  if what == "file":
    venv.write_text("kept")
  elif what == "folder":
    theirs = venv
  else:
    venv.symlink_to(theirs)
  if what in ("folder", "link"):
    (theirs / "bin").mkdir(parents=True)
    (theirs / "bin" / "tool").write_text("kept")
  done = start(checkout)
  assert done.returncode == 1 and done.stderr.count("\n") == 1
  assert ".venv is no environment that this script made" in done.stderr
  if what in ("folder", "link"):
    assert [p.name for p in theirs.rglob("*")] == ["bin", "tool"]
  assert not (what == "dangling link" and theirs.exists())


@pytest.mark.parametrize("python", ["true", "false", "/no/python"])
def test_an_interpreter_that_is_no_python_is_refused(checkout, python):
  done = start(checkout, GEN_JAX_PYTHON=shutil.which(python) or python)
  assert done.returncode == 1 and done.stderr.count("\n") == 1
  assert "is no working CPython 3.12 or newer" in done.stderr
