"""Reading back what was drawn, exactly and under noise."""

import numpy as np
import pytest

from gen_jax import core, metrics
from gen_jax.data import shapes


def test_the_nearest_of_all_chunk_by_chunk():
  rng = np.random.default_rng(0)
  known, x = rng.standard_normal((50, 6)), rng.standard_normal((20, 6))
  index, distance = metrics.nearest_drawn(x, lambda i: known[i], 50, chunk=7)
  apart = ((x[:, None] - known) ** 2).sum(-1)
  np.testing.assert_array_equal(index, apart.argmin(1))
  np.testing.assert_allclose(distance, apart.min(1), rtol=1e-12)
  copies = metrics.nearest_drawn(known[:9], lambda i: known[i], 50, chunk=16)
  np.testing.assert_array_equal(copies[0], np.arange(9))
  assert (copies[1] == 0).all()
  with pytest.raises(core.UserError):
    metrics.nearest_drawn(np.full((1, 6), np.nan), lambda i: known[i], 50)


def test_sprites_are_read_under_noise():
  rng = np.random.default_rng(1)
  known = shapes.sprites(16)
  where = rng.integers(known.size, size=60)
  flat = lambda x: x.reshape(len(x), -1) / np.float32(255)
  x = flat(known.draw(where)) + 0.1 * rng.standard_normal((60, 16 * 16 * 3))
  index, _ = metrics.nearest_drawn(x, lambda i: flat(known.draw(i)), known.size)
  same = known.factors_of(index) == known.factors_of(where)
  turn = list(shapes.FACTORS).index("orientation")
  assert np.delete(same, turn, axis=1).mean() > 0.98
