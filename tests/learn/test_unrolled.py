"""Descending through an opponent's next steps, in games where these are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.learn.duality import directions
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.learn.unrolled import descended, unrolled

BATCH = {"x": jnp.zeros((1, 1))}


def key():
  return jax.random.key(0)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def quadratic(c):
  """f(u, v) = u v - c/2 v^2, which u descends and v ascends."""
  return lambda params: params["u"] * params["v"] - c / 2 * params["v"] ** 2


def loss_of(f, sign):
  return lambda params, mutable, batch, key, step: (sign * f(params), ({}, {}))


def gradient(f, u, v, steps, tx):
  """d f(u, v_K(u)) / du, and the loss f(u, v_K)."""
  params = {"u": jnp.float64(u), "v": jnp.float64(v)}
  direction = unrolled("u", loss_of(f, 1), "v", loss_of(f, -1), tx, steps)
  opt = {"v": tx.init(params["v"])}
  found, (_, _, value) = direction(params, {"u": {}, "v": {}}, BATCH, key(), 0, opt)
  return float(found), float(value)


@pytest.mark.parametrize("k", [0, 1, 5, 13])  # the last is in a loop
def test_the_bilinear_game_by_hand(k):
  """f = u v: v_K = v + K eta u, so that the gradient is v + 2 K eta u; v + K eta u with the
  dependence cut, which is what `duality` plays."""
  u, v, eta = 0.7, -0.4, 0.05
  found, value = gradient(quadratic(0.0), u, v, k, optax.sgd(eta))
  assert found == pytest.approx(v + 2 * k * eta * u, abs=1e-12)
  assert value == pytest.approx(u * (v + k * eta * u), abs=1e-12)
  game_value = lambda params, mutable, batch, key: params["u"] * params["v"]
  cut = directions(game_value, "u", "v", optax.sgd(eta), k)["u"]
  params = {"u": jnp.float64(u), "v": jnp.float64(v)}
  assert float(cut(params, {"u": {}, "v": {}}, BATCH, key(), 0)[0]) == pytest.approx(
    v + k * eta * u, abs=1e-12
  )


@pytest.mark.parametrize("k", [1, 4, 12])
def test_a_concave_opponent_by_hand(k):
  """f = u v - c/2 v^2: v_K = u/c + r (v - u/c), r = (1 - eta c)^K, and so
  f_K = u^2 / 2c - c/2 r^2 (v - u/c)^2, whose gradient is u/c + r^2 (v - u/c)."""
  u, v, c, eta = 0.9, -0.3, 1.7, 0.1
  found, value = gradient(quadratic(c), u, v, k, optax.sgd(eta))
  r = (1 - eta * c) ** k
  assert found == pytest.approx(u / c + r**2 * (v - u / c), abs=1e-12)
  assert value == pytest.approx(u**2 / (2 * c) - c / 2 * r**2 * (v - u / c) ** 2, abs=1e-12)


def test_with_many_steps_it_is_the_gradient_of_the_maximum():
  """max_v f = u^2 / 2c."""
  found, _ = gradient(quadratic(2.0), 0.9, -0.3, 400, optax.sgd(0.2))
  assert found == pytest.approx(0.9 / 2.0, abs=1e-12)


def test_without_steps_it_is_the_game():
  f = quadratic(1.3)
  params, mutable = {"u": jnp.float64(0.2), "v": jnp.float64(0.5)}, {"u": {}, "v": {}}
  plain, _ = minimise("u", loss_of(f, 1))(params, mutable, BATCH, key(), 0)
  assert gradient(f, 0.2, 0.5, 0, optax.sgd(0.1))[0] == float(plain) == 0.5


@pytest.mark.parametrize("b1", [0.0, 0.5])
def test_rounds_of_the_bilinear_game_by_hand(b1):
  """The steps ahead are of the opponent's own optimiser, in the state that it is in."""
  h, k, f = 0.1, 4, quadratic(0.0)
  tx = optax.sgd(h, momentum=b1 or None)
  players = {
    "u": Player(unrolled("u", loss_of(f, 1), "v", loss_of(f, -1), tx, k), optax.sgd(h), True),
    "v": Player(minimise("v", loss_of(f, -1)), tx),
  }
  start = {"u": jnp.float64(0.3), "v": jnp.float64(0.9)}
  model = game(players, lambda key, batch: (start, {"u": {}, "v": {}}), evaluate=None)
  state, (u, v, m) = model.init(key(), BATCH), (0.3, 0.9, 0.0)
  for _ in range(6):
    state, _ = jax.jit(model.update)(state, {"x": jnp.zeros((1, 1, 1))}, key(), jnp.int32(0))
    # The opponent's gradient is u in all its steps: its momentum is a geometric series of it.
    ahead, slope, momentum, by_u = v, 0.0, m, 0.0
    for _ in range(k):
      momentum, by_u = b1 * momentum + u, b1 * by_u + 1
      ahead, slope = ahead + h * momentum, slope + h * by_u
    m = b1 * m + u
    u, v = u - h * (ahead + u * slope), v + h * m
  assert [float(state["params"][name]) for name in "uv"] == pytest.approx([u, v], abs=1e-12)


def test_adam_can_be_differentiated_where_a_gradient_is_zero():
  """By numerical differentiation, with a weight on which nothing depends beside."""
  tx = Optimizer(learning_rate=0.01, b1=0.5).make(differentiable=True)
  plain = Optimizer(learning_rate=0.01, b1=0.5).make()
  v = jnp.array([0.3, -0.8, 0.0])
  opt = plain.init(v)
  for i in range(3):  # a state that is not the first
    opt = plain.update(jnp.array([0.5 + i, -0.2, 0.0]), opt, v)[1]

  @jax.jit
  def answer(u):
    loss = lambda v, _: jnp.sum(jnp.sin(u * v[:2])) + v[0] * v[1]
    return jnp.sum(jnp.array([1.0, 2.0, 3.0]) * descended(loss, v, tx, opt, 3))

  found, h = jax.jit(jax.grad(answer))(0.7), 1e-6
  assert np.isfinite(found)
  numeric = (answer(0.7 + h) - answer(0.7 - h)) / (2 * h)
  np.testing.assert_allclose(found, numeric, rtol=1e-6)
  assert not np.isfinite(  # which is why it is asked for
    jax.grad(lambda v: plain.update(v**2, plain.init(v), v)[0].sum())(jnp.zeros(1))
  ).all()
