"""Points of a grid have what is their own and what their coordinates share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.models.finite import Finite
from gen_jax.nets import grid
from gen_jax.nets.dense import Dense

GRID = (3, 2, 4)
FIRST = (0, 3, 5)  # where the coordinates of each axis begin


def filled(net, x):
  """Parameters of random numbers, in the place of zeros at first."""
  shapes, rng = jax.eval_shape(net.init, jax.random.key(0), x)["params"], np.random.default_rng(0)
  return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), shapes)


def test_points_are_the_codes_of_a_finite_codebook():
  table = Finite(GRID).table({}, {"epoch": jnp.zeros(24)})
  steps = np.round((np.asarray(table) + 1) / 2 * (np.array(GRID) - 1)).astype(int)
  want = np.zeros((24, 9))
  for point, place in enumerate(steps + np.array(FIRST)):
    want[point, place] = 1
  np.testing.assert_array_equal(grid.coordinates(GRID), want)


def test_vectors_are_sums_and_those_beyond_the_grid_their_own():
  with jax.enable_x64(True):
    net, x = grid.Embed(26, 5, param_dtype=jnp.float64, grid=GRID), jnp.arange(26).reshape(2, 13)
    params = filled(net, x)
    made = np.asarray(net.apply({"params": params}, x)).reshape(26, 5)
    for point in range(26):
      want = np.array(params["embedding"][point])
      if point < 24:
        for first, i in zip(FIRST, np.unravel_index(point, GRID)):
          want += params["shared"][first + i]
      np.testing.assert_allclose(made[point], want, rtol=1e-12)


def test_logits_are_sums():
  with jax.enable_x64(True):
    net = grid.Logits(24, param_dtype=jnp.float64, grid=GRID)
    x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 5)))
    params = filled(net, x)
    own = x @ params["kernel"] + params["bias"]
    of = x @ params["shared"]
    made = net.apply({"params": params}, x)
    for point in range(24):
      places = [first + i for first, i in zip(FIRST, np.unravel_index(point, GRID))]
      want = own[..., point] + sum(of[..., place] for place in places)
      np.testing.assert_allclose(made[..., point], want, rtol=1e-12)


@pytest.mark.parametrize(
  "ours,theirs,x",
  [
    (grid.Embed(4, 3), nn.Embed(4, 3), jnp.array([[1, 3]])),
    (grid.Logits(4), Dense(4), jnp.ones((2, 3))),
  ],
  ids=["vectors", "logits"],
)
def test_without_a_grid_they_are_the_plain_layers(ours, theirs, x):
  key = jax.random.key(0)
  params = ours.init(key, x)
  jax.tree.map(np.testing.assert_array_equal, params, theirs.init(key, x))
  np.testing.assert_array_equal(ours.apply(params, x), theirs.apply(params, x))
