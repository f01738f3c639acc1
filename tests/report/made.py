"""A finished run of a model that is only what a test needs of it."""

import types

import jax

from gen_jax.core import Program, Stage
from gen_jax.report.scene import Scene
from gen_jax.run.mesh import make_mesh
from gen_jax.run.system import System, Trained


def settings(data=(), **evaluate):
  """Of an experiment."""
  evaluate = {"split": "test", "batch_size": 8, "samples": 40, "neighbours": 3, **evaluate}
  return types.SimpleNamespace(
    config={"seed": 0, "model": {}, "sample": {}, "likelihood": {}, "measures": ()},
    data=dict(data),
    evaluate=types.SimpleNamespace(**evaluate),
  )  # fmt: skip


def trained(model, source=None, experiment=None, *, spec=None, mesh=None, workdir=None):
  """The run, with its data where there is a source."""
  spec = spec or source.spec
  mesh = mesh or make_mesh(jax.devices()[:1])
  program = Program((Stage(model),), model)
  sources = (source,) if source is not None else ()
  experiment = experiment or settings()
  system = System(program, experiment, mesh, spec, (spec,), source, sources)
  return Trained(system, [{}], workdir)


def scene(model, source, experiment=None, judges=None, **kwargs):
  """What measures see of it; judges: what trains the classifiers."""
  made = Scene(trained(model, source, experiment, **kwargs))
  if judges is not None:
    made.train_judge = judges
  return made
