"""MADE: which outputs see which inputs, by differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gen_jax.nets.made import MADE


def jacobians(size, given):
  """Of theta [2, D] by x [D], and by cond [3]."""
  net = MADE(out=2, width=7, layers=2, activation=jnp.tanh)
  x, cond = jnp.linspace(-1, 1, size), jnp.array([0.3, -0.2, 0.9]) if given else None
  each = lambda x, c: (x[None], None if c is None else c[None])
  params = net.init(jax.random.key(0), *each(x, cond))
  flat, back = ravel_pytree(params)
  params = back(flat + jax.random.normal(jax.random.key(1), flat.shape))
  run = lambda x, c: net.apply(params, *each(x, c))[0].reshape(2, size)
  return jax.jacfwd(run)(x, cond), jax.jacfwd(run, 1)(x, cond) if given else None


@pytest.mark.parametrize("size,given", [(5, False), (4, True), (1, True)])
def test_entry_i_sees_those_before_it_and_all_of_the_condition(size, given):
  by_x, by_cond = jacobians(size, given)
  before = np.tril(np.ones((size, size), bool), -1)
  for of_one in by_x:
    assert (of_one[~before] == 0).all() and (of_one[before] != 0).all()
  if given:
    assert (by_cond != 0).all()


def test_it_begins_at_zero():
  net, x = MADE(out=3, width=8), jnp.ones((2, 4))
  params = net.init(jax.random.key(0), x)
  np.testing.assert_array_equal(net.apply(params, x), np.zeros((2, 12)))
