"""Eight simulated devices, key-reuse checks and a warm compilation cache for every test."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Tests compile far more than they compute: unoptimised code halves their time. Processes that they
# start run with the compiler as users have it.
os.environ.setdefault(
  "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_debug_key_reuse", True)
CACHE = os.environ.get("GEN_JAX_CACHE", os.path.expanduser("~/.cache/gen_jax"))
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture
def mesh():
  """One device."""
  from gen_jax.run.mesh import make_mesh

  return make_mesh(jax.devices()[:1])
