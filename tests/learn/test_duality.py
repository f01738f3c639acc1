"""Learning on the duality gap against games whose gaps and iterations are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.learn import duality
from gen_jax.learn.game import Player, game

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def float64():
  with jax.enable_x64(True):
    yield


def quadratic(a, b, c):
  """M(u, v) = a/2 u^2 + b u v - c/2 v^2."""

  def value(params, mutable, batch, key):
    u, v = params["u"], params["v"]
    return a / 2 * u**2 + b * u * v - c / 2 * v**2

  return value


def at(u, v):
  return {"u": jnp.float64(u), "v": jnp.float64(v)}


def play(value, params, steps, rate, inner, k):
  """(u, v) after that many rounds of gradient descent on the gap."""
  found = duality.directions(value, "u", "v", optax.sgd(inner), k)
  players = {name: Player(d, optax.sgd(rate)) for name, d in found.items()}
  model = game(players, lambda key, batch: (params, {"u": {}, "v": {}}), evaluate=None)
  state = model.init(KEY, {})
  for i in range(steps):
    state, metrics = jax.jit(model.update)(state, {"x": jnp.zeros((1, 1, 1))}, KEY, jnp.int32(i))
  return (*(float(state["params"][name]) for name in "uv"), metrics)


def test_rivals_approach_the_best_answers_as_gradient_descent_does():
  a, b, c, eta, u, v = 1.5, 0.7, 2.0, 0.1, 0.8, -0.6
  value = quadratic(a, b, c)
  for k in (0, 1, 7, 12):  # the last is in a loop
    v_w = duality.rival(value, "v", -1.0, optax.sgd(eta), k, at(u, v), {}, {}, KEY)
    best = b * u / c
    assert float(v_w) == pytest.approx(best + (1 - eta * c) ** k * (v - best), abs=1e-12)
    u_w = duality.rival(value, "u", 1.0, optax.sgd(eta), k, at(u, v), {}, {}, KEY)
    best = -b * v / a
    assert float(u_w) == pytest.approx(best + (1 - eta * a) ** k * (u - best), abs=1e-12)


def test_the_losses_add_up_to_the_gap():
  a, b, c, u, v = 1.5, 0.7, 2.0, 0.8, -0.6
  _, _, metrics = play(quadratic(a, b, c), at(u, v), 1, 0.0, 0.1, 400)
  gap = (a / 2 + b**2 / (2 * c)) * u**2 + (c / 2 + b**2 / (2 * a)) * v**2
  assert float(metrics["u_loss"] + metrics["v_loss"]) == pytest.approx(gap, abs=1e-12)


def test_the_gap_found_grows_with_the_steps_of_the_rivals():
  gaps = []
  for k in (1, 3, 10, 30):
    _, _, metrics = play(quadratic(1.0, 0.5, 1.0), at(1.0, 2.0), 1, 0.0, 0.1, k)
    gaps.append(float(metrics["u_loss"] + metrics["v_loss"]))
  assert (np.diff(gaps) > 0).all() and gaps[0] > 0


@pytest.mark.parametrize("rate, converges", [(0.05, True), (0.19, True), (1.2, False)])
def test_the_bilinear_game_turns_and_shrinks_by_a_known_factor(rate, converges):
  """M = u v: one round multiplies u + i v by 1 - h k eta + i h, or its conjugate."""
  k, eta, steps = 5, 0.1, 6
  u, v, metrics = play(quadratic(0.0, 1.0, 0.0), at(0.3, 0.9), steps, rate, eta, k)
  factor = (1 - rate * k * eta) ** 2 + rate**2
  assert np.hypot(u, v) == pytest.approx(np.hypot(0.3, 0.9) * factor ** (steps / 2), abs=1e-12)
  assert (factor < 1) == converges == (rate < 2 * k * eta / (1 + (k * eta) ** 2))
  # The last round's gap, k eta (u^2 + v^2), is of before its step.
  before = 0.9 * factor ** (steps - 1)
  found = float(metrics["u_loss"] + metrics["v_loss"])
  assert found == pytest.approx(k * eta * before, abs=1e-12)


def test_descent_on_the_game_itself_diverges_there():
  u, v = 0.3, 0.9
  for _ in range(10):
    u, v = u - 0.1 * v, v + 0.1 * u
  assert np.hypot(u, v) == pytest.approx(np.hypot(0.3, 0.9) * 1.01**5)


def test_it_converges_where_there_is_a_saddle():
  """f = 3 u^2 - v^2 + 4 u v, of the source's examples."""
  u, v, _ = play(quadratic(6.0, 4.0, 2.0), at(1.0, -1.0), 300, 0.05, 0.05, 10)
  assert abs(u) < 1e-6 and abs(v) < 1e-6


def test_the_gap_is_found_to_grow_where_no_answer_is_best():
  """f = 3 u^2 + v^2 + 4 u v has no maximum over v."""
  gaps = []
  for k in (5, 10, 20):
    _, _, metrics = play(quadratic(6.0, 4.0, -2.0), at(1.0, 1.0), 1, 0.0, 0.05, k)
    gaps.append(float(metrics["u_loss"] + metrics["v_loss"]))
  assert gaps[1] > 2 * gaps[0] and gaps[2] > 2 * gaps[1]


def test_no_gradient_flows_through_a_rival():
  value = quadratic(0.0, 1.0, 1.0)

  def through(u):
    params = {"u": u, "v": jnp.float64(0.2)}
    return duality.rival(value, "v", -1.0, optax.sgd(0.1), 3, params, {}, {}, KEY)

  assert float(jax.grad(through)(jnp.float64(1.0))) == 0
