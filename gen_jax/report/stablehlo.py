"""A sampler compiled for other programs: StableHLO with its weights; it needs JAX and no gen_jax.

  import jax, numpy as np
  from jax import export

  sampler = export.deserialize(open("sampler.stablehlo", "rb").read())
  index = np.arange(128, dtype=np.int32)
  x = sampler.call(np.uint32(7), index, {"label": np.zeros(128, np.int32)})

draws what `--mode=sample --seed=7` does: sample i is of the seed and of i. The last argument has an
array for each condition of the model, {} where it takes none.
"""

from __future__ import annotations

import jax
import numpy as np

from gen_jax.core import UserError, fold_each, stream
from gen_jax.report.export import EXPORT
from gen_jax.run import processes
from gen_jax.run.files import folder_in, write_bytes
from gen_jax.run.sample import chunk_size
from gen_jax.run.system import Trained

SAMPLER = "sampler.stablehlo"
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def write_sampler(trained: Trained) -> str:
  """Writes <workdir>/export/sampler.stablehlo.

  It takes any number of samples and runs on every platform of JAX where the model lets it; else as
  many as one chunk of `--mode=sample`, or on the platform of this machine.

  Returns:
    The file, how many samples it takes and where it runs, as text.

  Raises:
    UserError: if the sampler cannot be exported at all.
  """
  model, spec, system = trained.model, trained.spec, trained.system
  here = jax.default_backend()
  here = "cuda" if here == "gpu" else here
  size = chunk_size(system.experiment.evaluate.batch_size, system.mesh)
  (free,) = jax.export.symbolic_shape("n")
  states = jax.device_get(trained.states)

  def draw(seed, index, cond):
    keys = fold_each(stream(jax.random.key(seed), "sample"), index)
    return model.sample(states, keys, cond or None)

  failure = None
  for n, platforms in ((free, PLATFORMS), (free, (here,)), (size, PLATFORMS), (size, (here,))):
    cond = {
      name: jax.ShapeDtypeStruct((n, *spec.fields[name].shape), spec.fields[name].dtype)
      for name in model.cond
    }
    index = jax.ShapeDtypeStruct((n,), np.int32)
    try:
      made = jax.export.export(jax.jit(draw), platforms=platforms)(np.uint32(0), index, cond)
    except Exception as error:  # of many kinds: what cannot be lowered is told by whoever meets it
      failure = failure or error
      continue
    folder = folder_in(trained.workdir, EXPORT)
    if processes.is_first():
      write_bytes(folder / SAMPLER, made.serialize())
    many = "any number of" if n is free else str(n)
    return f"{folder / SAMPLER}, of {many} samples at once, on {', '.join(platforms)}"
  first = (str(failure).splitlines() or [""])[0][:200]
  raise UserError(f"the sampler cannot be exported ({type(failure).__name__}: {first})")
