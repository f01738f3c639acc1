"""The pool of earlier examples, against its rule told image by image."""

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.learn.pool import empty, exchange


def test_the_pool_fills_first_and_then_each_newcomer_is_swapped_or_passed_through():
  pool, stored, n = empty(3, jnp.zeros(())), [], 0
  for step in range(40):
    new = jnp.arange(1.0, 5.0) + 4 * step
    pool, out = exchange(pool, new, jax.random.fold_in(jax.random.key(0), step))
    for x, y in zip(new.tolist(), out.tolist(), strict=True):
      if len(stored) < 3:
        assert y == x
        stored.append(x)
      elif y != x:
        stored[stored.index(y)] = x  # what comes out was in, and the newcomer has its place
        n += 1
    assert sorted(pool.items.tolist()[: int(pool.count)]) == sorted(stored)
  assert abs(n / 157 - 0.5) < 4 * 0.5 / np.sqrt(157)


def test_padding_leaves_no_trace():
  mask = jnp.array([True, False, True, False])
  run = lambda x: exchange(empty(3, x[0]), x, jax.random.key(1), mask)
  x = jnp.arange(4.0)
  (a, out), (b, _) = run(x), run(jnp.where(mask, x, 99.0))
  np.testing.assert_array_equal(a.items, b.items)
  np.testing.assert_array_equal(out, x)
  assert int(a.count) == 2
