"""Finite scalar quantisation: the grid and its codes, the gradient, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec
from gen_jax.models import vqvae
from gen_jax.models.finite import Finite

GRIDS = [(3,), (2, 5), (8, 5, 5)]


@pytest.mark.parametrize("levels", GRIDS)
def test_each_point_of_the_grid_has_its_own_code_and_is_the_nearest(levels):
  book = Finite(levels)
  own, kept = book.begin(jax.random.key(0), jnp.zeros((1, book.dim)), jnp.ones(1, bool))
  table = np.asarray(book.table(own, kept))
  assert table.shape == (book.size, book.dim) == (np.prod(levels), len(levels))
  assert len(np.unique(table, axis=0)) == book.size and np.abs(table).max() == 1
  for column, n in zip(table.T, levels):
    assert len(np.unique(column)) == n and np.ptp(np.diff(np.unique(column))) < 1e-6
  z = np.random.default_rng(0).normal(0, 1.5, (2000, book.dim)).astype(np.float32)
  code = np.asarray(book.code(jnp.asarray(z), table))
  assert code.dtype == np.int32 and len(np.unique(code)) == book.size
  nearest = ((np.tanh(z.astype(np.float64))[:, None] - table) ** 2).sum(-1).argmin(1)
  # But for those that lie between two: the bound reaches a thousandth beyond the grid.
  assert (code == nearest).mean() > 0.98
  extreme = np.asarray(book.code(jnp.asarray(1e4 * np.sign(z)), table))
  np.testing.assert_array_equal(table[extreme], np.sign(z))


def test_the_gradient_is_that_of_the_bound():
  book, z = Finite((4, 3)), jnp.array([[[0.3, -1.2]]])
  own, kept = book.begin(jax.random.key(0), z[0], jnp.ones(1, bool))
  batch = {"mask": jnp.ones(1, bool), "last": jnp.ones(1, bool)}
  given = lambda z: book.learn(own, kept, z, batch, None, None)[0]
  np.testing.assert_array_equal(given(z), book.table(own, kept)[book.code(z, None)])
  slope = jax.grad(lambda z: given(z).sum())(z)
  np.testing.assert_allclose(slope, 1.001 * (1 - np.tanh(z) ** 2), rtol=1e-5)
  _, price, after, terms = book.learn(own, kept, z, batch, None, None)
  assert price.shape == (1,) and price == 0 and terms["codes_used"] == 1
  assert after["last_epoch"].sum() == 1 and after["epoch"].sum() == 0


def test_the_size_of_the_prior_is_that_of_the_grid():
  spec = Spec.of((4, 4, 1), 17)
  program = vqvae.build(
    spec, factor=2, width=4, blocks=0, residual=2, codebook="finite", levels=(3, 2),
    pixelcnn=vqvae.PixelCNN(width=4, dilations=(1,), head=4),
  )  # fmt: skip
  batch = {"x": jnp.zeros((2, 4, 4, 1), jnp.uint8), "mask": jnp.ones(2, bool)}
  first = jax.eval_shape(program.stages[0].model.init, jax.random.key(0), batch)
  code = jax.eval_shape(program.model.encode, [first, None], batch["x"])
  assert code.shape == (2, 2, 2)
  shown = jax.eval_shape(program.stages[0].model.pictures, first)
  assert shown["codebook"].shape == (6, 4, 4, 1)
