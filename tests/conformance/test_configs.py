"""Every variant of every config builds, and its shapes fit, without computing or reading data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as configs
from gen_jax.app import cli
from gen_jax.core import Field, Spec
from gen_jax.data import SPECIAL, load
from gen_jax.report import measures
from gen_jax.run.mesh import make_mesh
from gen_jax.run.states import abstract_states, batch_of_spec
from gen_jax.run.system import stage_steps
from tests.conformance.systems import CONFIGS, MORE, SYSTEMS

# What sources state that need files of the user's.
WORDS = Field((28,), 100, (*SPECIAL, *map(str, range(96))))
SPECS = {
  "text": Spec(WORDS, {"y": WORDS}),
  "tfds:mnist": Spec.of((28, 28, 1), 256, 10),
  "maze:many": Spec.of((16, 32, 32, 3), 256, action=Field((15,), 4), pose=Field((16,), 37800)),
  "moving:mnist": Spec.of((20, 32, 32, 1), 256),
  "tfds:cifar10": Spec.of((32, 32, 3), 256, 10),
  "pairs": Spec.of(
    (64, 64, 3),
    256,
    y=Field((64, 64, 3), 256, (), True),
    segmentation=Field((64, 64), 11, (), True),
  ),
  "persons:tinted": Spec.of((32, 32, 3), 256, 28, group=Field((), 10), session=Field((), 2)),
  "table:adult": Spec.of((100,), None, 2, group=Field((), 2)),
}
FILES = sorted(CONFIGS.glob("*.py"))
# Those of the registry are trained, which says more.
TRAINED = {system.name for system in SYSTEMS}
# Larger nets or other data for what another variant has: seconds of tracing each.
LARGE = ("ddpm:folder", "dalle:captioned", "gan:wgan_gp-cifar10", "gan:wgan_gp-mnist")
VARIANTS = [
  pytest.param(f, v, marks=[pytest.mark.slow] if f"{f.stem}:{v}" in LARGE else [])
  for f in FILES
  for v in cli.load_module(str(f)).VARIANTS
  if f"{f.stem}:{v}" not in TRAINED
]
SEEN = set()  # what differs in its settings of training alone is traced once


def spec_of(data: dict) -> Spec:
  if data["name"] == "folder":
    size = data["resolution"] or data["patch"]
    return Spec.of((size, size, data["channels"] or 3), 256, caption=WORDS)
  if data["other"]:
    own = load(**{**data, "other": ""}).spec
    return own._replace(fields={**own.fields, "y": own.x, "label_y": own.fields["label"]})
  return SPECS[data["name"]] if data["name"] in SPECS else load(**data).spec


def spec_of_stage(spec: Spec, stage) -> Spec:
  """At the resolution that a stage overrides, if it does."""
  size = (stage.data or {}).get("resolution")
  if size is None:
    return spec
  sized = lambda f: f._replace(shape=(size, size, *f.shape[2:])) if len(f.shape) > 1 else f
  return Spec(sized(spec.x), {name: sized(field) for name, field in spec.fields.items()})


@pytest.mark.parametrize("file,variant", VARIANTS, ids=lambda a: getattr(a, "stem", a))
def test_shapes(file, variant):
  experiment = configs.parse(cli.load_config(f"{file}:{variant}"))
  spec = spec_of(experiment.data)
  program = configs.build(experiment.config, spec)
  assert all(n > 0 for n in stage_steps(program, experiment.train))
  for name in experiment.config["measures"]:
    assert name in measures.MEASURES
  what = repr([experiment.config[name] for name in ("builder", "model", "sample")] + [spec])
  if (what, experiment.train.best) in SEEN:
    return
  SEEN.add((what, experiment.train.best))
  mesh = make_mesh(jax.devices()[:1])
  size = min(experiment.feed.batch_size, 4)
  batches = [batch_of_spec(spec_of_stage(spec, stage), size) for stage in program.stages]
  states = abstract_states(program, len(program.stages), batches, mesh)
  key = jax.eval_shape(lambda: jax.random.key(0))
  keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), size))
  for i, (stage, batch) in enumerate(zip(program.stages, batches, strict=True)):
    if not states[i]:
      continue  # freed by a later stage
    seen = batch
    if stage.view is not None:
      seen = jax.eval_shape(stage.view, states[:i], batch, key)
    stacked = jax.tree.map(
      lambda a, m=stage.model.microbatches: jax.ShapeDtypeStruct((m, *a.shape), a.dtype), seen
    )
    step = jax.ShapeDtypeStruct((), np.int32)
    after, metrics = jax.eval_shape(stage.model.update, states[i], stacked, key, step)
    same = lambda a, b: a.shape == b.shape and a.dtype == b.dtype
    assert all(jax.tree.leaves(jax.tree.map(same, after, states[i]))), "update changes the state"
    assert all(m.shape == () for m in metrics.values())
  terms = jax.eval_shape(program.model.evaluate, states, batch, keys)
  assert terms and all(t.shape[:1] == (size,) for t in terms.values())
  if experiment.train.best:
    last = jax.eval_shape(program.stages[-1].model.evaluate, states[-1], seen, keys)
    assert experiment.train.best in last
  if program.model.sample is not None:
    cond = {name: batch[name] for name in program.model.cond} or None
    x = jax.eval_shape(program.model.sample, states, keys, cond)
    assert x.shape == (size, *spec.shape)
    assert x.dtype == (jnp.float32 if spec.levels is None else np.min_scalar_type(spec.levels - 1))


def test_every_config_is_in_the_registry_has_a_tiny_variant_and_says_what_it_is():
  registered = {system.name.split(":")[0] for system in (*SYSTEMS, *MORE)}
  for file in FILES:
    module = cli.load_module(str(file))
    assert file.stem in registered, f"add {file.stem}:tiny to tests/conformance/systems.py"
    assert "tiny" in module.VARIANTS
    assert cli.default_variant(module) in module.VARIANTS
    assert module.__doc__ and len(module.__doc__.splitlines()[0]) < 100


def test_the_paper_s_unet_has_its_parameters():
  experiment = configs.parse(cli.load_config(f"{CONFIGS / 'ddpm.py'}:cifar10"))
  spec = SPECS["tfds:cifar10"]
  program = configs.build(experiment.config, spec)
  states = abstract_states(program, 1, [batch_of_spec(spec, 1)], make_mesh(jax.devices()[:1]))
  count = sum(leaf.size for leaf in jax.tree.leaves(states[0]["params"]))
  assert count == 35_746_307  # 35.7M, Ho et al. 2020, appendix B
