"""What the grid of examples shows of a model that is given another field than x."""

import numpy as np

from gen_jax.core import Field, Model, Spec
from gen_jax.data import ArraySplit, Source
from gen_jax.report.scene import Scene
from gen_jax.run import grids
from tests.report import made

SPEC = Spec.of((2, 2, 1), 256, y=Field((2, 2, 3), 5, (), True))


def test_y_is_given_and_x_is_wanted_where_the_model_says_so(mesh):
  rng = np.random.default_rng(0)
  x = rng.integers(0, 256, (6, 2, 2, 1)).astype(np.uint8)
  y = rng.integers(0, 5, (6, 2, 2, 3)).astype(np.uint8)
  model = Model(
    init=None, update=None, evaluate=None, given="y",
    transform=lambda states, y, keys, cond: 60 * y[..., :1],
  )  # fmt: skip
  split = ArraySplit({"x": x, "y": y})
  source = Source("made", SPEC, {"train": split, "validation": split, "test": split})
  grid = grids.Grid(made.trained(model, source, mesh=mesh).system, 0)
  batch, given, done, known = grid.examples([{}])
  np.testing.assert_array_equal(given, batch["y"])
  np.testing.assert_array_equal(done, 60 * batch["y"][..., :1])
  assert known
  pictures = grids.shown(model, SPEC, batch, given, done, known)
  np.testing.assert_array_equal(pictures[0], np.rint(batch["y"] * (255 / 4)))
  np.testing.assert_array_equal(pictures[1], done)
  np.testing.assert_array_equal(pictures[2], batch["x"])
  seen = Scene(made.trained(model, source, mesh=mesh))
  np.testing.assert_array_equal(seen.transformed, 60 * y[..., :1])
