"""Shuffling as arithmetic: permutations counted out, uniformity by chi-square, epochs by a loop."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax.data import order

SIZES = (1, 2, 3, 4, 5, 17, 64, 1437)


def seeds(seed=0):
  return np.asarray(jax.random.bits(jax.random.key(seed), (order.ROUNDS,), jnp.uint32))


def epochs(n, count, seed=0):
  """[count, n]: the orders of the first epochs."""
  return order.shuffled(np.arange(count * n), n, seeds(seed)).reshape(count, n)


@pytest.mark.parametrize("n", SIZES)
def test_every_epoch_is_a_permutation(n):
  found = epochs(n, 20)
  np.testing.assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(n), (20, 1)))
  assert found.dtype == np.int32


@pytest.mark.parametrize("n", [17, 64, 1437])
def test_epochs_and_seeds_differ(n):
  found = np.concatenate([epochs(n, 20), epochs(n, 20, seed=1)])
  assert len(np.unique(found, axis=0)) == 40


@pytest.mark.parametrize("n", [2, 3, 4])
def test_every_order_of_a_few_examples_is_equally_likely(n):
  orders = {o: i for i, o in enumerate(itertools.permutations(range(n)))}
  counts = np.bincount([orders[tuple(o)] for o in epochs(n, 6000).tolist()], minlength=len(orders))
  assert len(counts) == math.factorial(n)
  assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("n", [5, 17])
def test_every_example_is_equally_likely_at_every_place(n):
  found = epochs(n, 5000)
  table = np.stack([np.bincount(place, minlength=n) for place in found.T])
  # Rows and columns of the table both sum to the number of epochs: (n - 1)^2 degrees of freedom.
  statistic = ((table - 5000 / n) ** 2 / (5000 / n)).sum() * (n - 1) / n
  assert 1e-3 < stats.chi2((n - 1) ** 2).sf(statistic) < 1 - 1e-3


def test_what_follows_an_example_is_equally_likely():
  n = 17
  found = epochs(n, 5000)
  step = (found[:, 1:] - found[:, :-1]) % n  # an affine order would repeat one difference
  assert stats.chisquare(np.bincount(step.ravel(), minlength=n)[1:]).pvalue > 1e-3


def test_the_first_epochs_of_many_runs_are_uniform():
  runs = np.asarray(jax.random.bits(jax.random.key(2), (500, order.ROUNDS), jnp.uint32))
  first = [order.shuffled(np.arange(1), 5, run)[0] for run in runs]
  assert stats.chisquare(np.bincount(first, minlength=5)).pvalue > 1e-3


def test_numpy_and_a_compiled_step_agree():
  compiled = jax.jit(order.shuffled, static_argnums=1)
  for n in (3, 1437):
    ends = [np.arange(40), np.arange(2**31 - 40, 2**31)]  # a stage counts up to 2^31
    position = np.concatenate(ends)
    on_device = compiled(jnp.asarray(position, jnp.int32), n, jnp.asarray(seeds()))
    np.testing.assert_array_equal(order.shuffled(position, n, seeds()), on_device)
    assert on_device.dtype == jnp.int32


def walk(steps, *, microbatches, batch_size, n, pad):
  """position, mask, last [batches, B] of the batches of some steps, in the order of the stream."""
  rows = np.arange(batch_size)
  how = {"microbatches": microbatches, "batch_size": batch_size, "n": n, "pad": pad}
  found = [order.positions(s, m, rows, **how) for s in range(steps) for m in range(microbatches)]
  return (np.stack(part) for part in zip(*found, strict=True))


CASES = [(12, 4, 1), (11, 4, 1), (11, 4, 3), (5, 16, 2), (1, 3, 1), (7, 7, 1)]  # n, B, M


@pytest.mark.parametrize("n,batch_size,microbatches", CASES)
def test_wrapped_epochs_follow_each_other_without_a_seam(n, batch_size, microbatches):
  how = {"microbatches": microbatches, "batch_size": batch_size, "n": n}
  position, mask, last = walk(8, **how, pad=False)
  np.testing.assert_array_equal(position.ravel(), np.arange(position.size))
  assert mask.all()
  holds_an_end = [any(p % n == n - 1 for p in batch) for batch in position.tolist()]
  np.testing.assert_array_equal(last, np.repeat(np.array(holds_an_end)[:, None], batch_size, 1))


@pytest.mark.parametrize("n,batch_size,microbatches", CASES)
def test_padded_epochs_lose_no_example_and_share_no_batch(n, batch_size, microbatches):
  per_epoch = math.ceil(n / batch_size)
  how = {"microbatches": microbatches, "batch_size": batch_size, "n": n}
  position, mask, last = walk(3 * per_epoch, **how, pad=True)
  for epoch in range(len(position) // per_epoch):
    batches = slice(epoch * per_epoch, (epoch + 1) * per_epoch)
    own = np.arange(epoch * n, (epoch + 1) * n)
    np.testing.assert_array_equal(position[batches][mask[batches]], own)
    assert np.isin(position[batches], own).all()  # padding repeats examples of the same epoch
    assert last[batches][-1].all() and not last[batches][:-1].any()


@pytest.mark.parametrize("pad", [False, True])
def test_positions_of_some_rows_are_those_rows_of_all(pad):
  how = {"microbatches": 2, "batch_size": 6, "n": 8, "pad": pad}
  whole = order.positions(3, 1, np.arange(6), **how)
  part = order.positions(3, 1, np.array([4, 1]), **how)
  traced = jax.jit(lambda step: order.positions(step, 1, jnp.arange(6), **how))(jnp.int32(3))
  for all_rows, some, device in zip(whole, part, traced, strict=True):
    np.testing.assert_array_equal(some, all_rows[[4, 1]])
    np.testing.assert_array_equal(device, all_rows)
