"""Averages of constants, which have a closed form."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.learn import ema
from gen_jax.learn.game import Player, game, minimise


def averaged(start, constant, decay, steps, first=0):
  """The average after `steps` updates with one constant."""
  body = lambda i, a: ema.update(a, constant, decay, first + i)
  return jax.jit(lambda a: jax.lax.fori_loop(0, steps, body, a))(start)


@pytest.mark.parametrize("steps", [1, 4, 30])
def test_while_the_decay_ramps_up(steps):
  # The product of (1 + i) / (10 + i) over i < k telescopes to k! 9! / (k + 9)!.
  start, constant = jnp.array([5.0, -2.0]), jnp.array([1.0, 1.0])
  kept = 1 / math.comb(steps + 9, 9)
  found = averaged(start, constant, 0.999, steps)
  np.testing.assert_allclose(found, constant + kept * (start - constant), rtol=1e-5)


def test_behind_the_ramp_the_decay_is_the_given_one():
  found = averaged(jnp.float32(3), jnp.float32(1), 0.9, 50, first=1000)
  np.testing.assert_allclose(found, 1 + 2 * 0.9**50, rtol=1e-5)


def test_the_ramp_ends_where_it_is_said_to():
  d = ema.decay_at(0.9999, jnp.array([0, 89_000, 91_000, 10**6]))
  assert d[0] == pytest.approx(0.1)
  assert d[1] < 0.9999
  assert d[2] == d[3] == jnp.float32(0.9999)


def test_keeps_structure_and_types():
  old = {"a": jnp.zeros(2, jnp.bfloat16), "b": [jnp.zeros((), jnp.float32)]}
  new = {"a": jnp.ones(2, jnp.float32), "b": [jnp.ones((), jnp.float32)]}
  found = ema.update(old, new, 0.5, 100)
  assert jax.tree.map(lambda x: (x.dtype, x.shape), found) == jax.tree.map(
    lambda x: (x.dtype, x.shape), old
  )
  assert found["a"].tolist() == [0.5, 0.5] and found["b"][0] == 0.5


@pytest.mark.parametrize("decay", [0.5, 0.9999])
def test_an_average_that_is_carried_to_another_stage_does_not_forget(decay):
  """Two stages, each of which counts its own steps from 0, are one of both lengths."""
  loss = lambda p, m, batch, k, s: ((p["a"] - batch["x"]) ** 2, ({}, {}))
  players = {"a": Player(minimise("a", loss), optax.sgd(0.1))}
  init = lambda key, batch: ({"a": jnp.float32(3)}, {"a": {}})
  model = game(players, init, ema={"a": decay}, evaluate=None)
  update = jax.jit(model.update)
  batches = [{"x": jnp.full((1, 2), x, jnp.float32)} for x in range(40)]

  def stage(state, batches):
    for step, batch in enumerate(batches):
      state, _ = update(state, batch, jax.random.key(0), jnp.int32(step))
    return state

  whole = stage(model.init(jax.random.key(0), {}), batches)
  first = stage(model.init(jax.random.key(0), {}), batches[:25])
  second = stage(jax.tree.map(jnp.copy, first), batches[25:])
  jax.tree.map(np.testing.assert_array_equal, whole, second)
  # With the decay of a fresh stage, 0.1, nine tenths of it would be gone after one update.
  one = stage(first, batches[25:26])
  kept = 1 - ema.decay_at(decay, 25)
  moved = first["ema"]["a"] + kept * (one["params"]["a"] - first["ema"]["a"])
  np.testing.assert_allclose(one["ema"]["a"], moved, rtol=1e-5)
