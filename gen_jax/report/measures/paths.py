"""How smoothly what a model draws follows its code."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gen_jax import metrics
from gen_jax.core import fold_all, fold_each, stream
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene
from gen_jax.run.conditions import conditions
from gen_jax.run.setup import shapes_of
from gen_jax.run.system import System


def discrete_codes(system: System) -> str:
  """Between integers there is no path."""
  model = system.program.model

  def codes(states, batches, key, keys):
    cond = {name: batches[-1][name] for name in model.cond} or None
    return model.prior(states, keys, cond)

  leaves = jax.tree.leaves(shapes_of(system, codes, 1))
  whole = any(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in leaves)
  return "needs a model with real-valued codes; these are discrete" if whole else ""


@measure(needs=("prior", "decode"), obstacle=discrete_codes)
def path_length(scene: Scene) -> dict[str, Record]:
  """The mean squared speed, in pixels of [0, 1] or the data's own units, at which what is decoded
  changes on paths between pairs of draws of the code, on the sphere; and where a code has styles,
  between those of the pairs in a line (Karras et al. 2019, section 4.1, whose distance is that of
  another network's features, and so not comparable)."""
  model, n = scene.model, scene.settings.samples
  cond = conditions(model, scene.spec, n, split=scene.source.splits["train"])
  spaces = {"path_length": (lambda states, code, cond: code, metrics.slerp)}
  if model.styles is not None:
    spaces["path_length_styles"] = model.styles, metrics.lerp
  scale = (scene.spec.levels or 2) - 1

  @jax.jit
  def speeds(states, keys, cond):
    cond = cond or None
    ends = [model.prior(states, fold_all(keys, i), cond) for i in (0, 1)]
    t = jax.vmap(jax.random.uniform)(fold_all(keys, 2))
    found = {}
    for name, (layout, path) in spaces.items():
      a, b = (layout(states, code, cond) for code in ends)
      back = jax.vmap(ravel_pytree(jax.tree.map(lambda leaf: leaf[0], a))[1])
      flat = jax.vmap(lambda code: ravel_pytree(code)[0])
      decode = lambda v, back=back: model.decode(states, back(v), cond) / scale
      found[name] = metrics.squared_speed(decode, path, flat(a), flat(b), t)
    return found

  key, chunk, parts = stream(scene.key, "measure"), scene.settings.batch_size, []
  for start in range(0, n, chunk):
    rows = np.minimum(np.arange(start, start + chunk), n - 1)
    part = {name: value[rows] for name, value in cond.items()}
    parts.append(speeds(scene.states, fold_each(key, rows), part))
  values = {name: np.concatenate([part[name] for part in parts])[:n] for name in spaces}
  facts = {"examples": n, "split": scene.settings.split, "distance": "of pixels"}
  return {
    name: {"value": float(v.mean(dtype=np.float64)), "median": float(np.median(v)), **facts}
    for name, v in values.items()
  }
