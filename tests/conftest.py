"""Eight simulated devices, key-reuse checks and a warm compilation cache for every test."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile far more than they compute: unoptimised code halves their time. Processes that they
# start run with the compiler as users have it.
os.environ.setdefault(
  "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

# XLA's CPU client takes its number of threads from NPROC. With no more threads than devices, two
# collectives can hold them all, each waiting for a partner that finds no thread: more threads.
os.environ.setdefault("NPROC", "32")

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)
CACHE = os.environ.get("GEN_JAX_CACHE", os.path.expanduser("~/.cache/gen_jax"))
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


# Of the runs with a sharded state, and of those in float32 on eight devices, these stand for the
# others, which are slow tests.
SHARDED = ("gmm:tiny", "vae:tiny", "gan:tiny", "pixelcnn:tiny")
FLOAT32 = (*SHARDED, "vqvae:tiny", "segment:tiny", "realnvp:tiny")


# Variants and kin of other systems, whose law of float64 on eight devices is a slow test.
KIN = (
  "cvae:tiny", "stylegan:tiny", "pix2pix:tiny", "colour:tiny", "kmeans:tiny",
  "gda:tiny", "pretrain:tiny", "db_vae:tiny", "transformer:tiny", "nsf:tiny", "glow:tiny",
  "ffjord:tiny", "flow_matching:tiny", "diffflow:tiny", "consistency:tiny", "meanflow:tiny",
  "distill:tiny", "latent:tiny", "video:tiny", "dalle:tiny", "stackgan:tiny", "complete:tiny",
  "upsample:tiny",
)  # fmt: skip


# Those that are compiled anew when a stopped run goes on, one of a kind; for the others that is a
# slow test, and what was compiled before is used again.
FRESH = (
  "ddpm:tiny", "vae:tiny", "gmm:tiny", "gan:tiny", "vqvae:tiny", "realnvp:tiny", "progan:tiny",
)  # fmt: skip


# Files of long tests come first, so that no worker is left alone with one at the end.
LONG = ("test_main.py", "test_processes.py", "test_remote.py", "test_refusals.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
  items.sort(key=lambda item: item.path.name not in LONG)
  for item in items:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    name = getattr(parameters.get("system"), "name", "")
    sharded = parameters.get("layout") == "sharded" and name not in SHARDED
    single = name and "in_float32" in item.name and name not in FLOAT32
    kin = name in KIN and "in_float64" in item.name and name not in SHARDED
    resumed = parameters.get("resumed_by")
    other = resumed and (resumed == "new_program") != (name in FRESH)
    if sharded or single or kin or other:
      item.add_marker(pytest.mark.slow)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
  """One worker takes a file, whose fixtures its tests share; or the laws of one system."""
  from xdist.scheduler import LoadScopeScheduling

  class Files(LoadScopeScheduling):
    def _split_scope(self, nodeid):
      file, _, test = nodeid.partition("::")
      system = test.rpartition("[")[2].rstrip("]").rpartition("-")[2]
      return f"{file} {system}" if file.endswith("test_laws.py") else file

  return Files(config, log)


# Linux gives a process 65,530 maps of memory, of which each compiled program takes some six: a
# worker that keeps all it has compiled crashes as it loads one more.
MAPS, EVERY = 20_000, 10
done = {"tests": 0}


def maps() -> int:
  """How many maps of memory this process has; 0 where the system does not say."""
  try:
    with open("/proc/self/maps", "rb") as file:
      return file.read().count(b"\n")
  except OSError:
    return 0


def pytest_runtest_teardown():
  done["tests"] += 1
  if done["tests"] % EVERY == 0 and maps() > MAPS:
    jax.clear_caches()


@pytest.fixture
def mesh():
  """One device."""
  from gen_jax.run.mesh import make_mesh

  return make_mesh(jax.devices()[:1])
