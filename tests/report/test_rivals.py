"""Rivals and the gap against a game whose best answers are known."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.core import Spec, centre
from gen_jax.data import ArraySplit, Source
from gen_jax.learn.game import Player, game, minimise
from gen_jax.report import measures, rivals
from tests.report import made
from tests.run import toy

A, B, C = 1.5, 0.7, 2.0
U, V = 0.8, -0.6


def quadratic(rate):
  """M(u, v) = a/2 u^2 + b u v - c/2 v^2, and x, of which it does not depend on average."""

  def value(params, x):
    u, v = params["generator"], params["critic"]
    return A / 2 * u**2 + B * u * v - C / 2 * v**2 + x[:, 0]

  def loss(sign, player):
    def of(params, mutable, batch, key, step):
      return sign * value(params, batch["x"]), (mutable[player], {})

    return Player(minimise(player, of), optax.sgd(rate))

  params = {"generator": jnp.float32(U), "critic": jnp.float32(V)}
  return game(
    {"generator": loss(1.0, "generator"), "critic": loss(-1.0, "critic")},
    lambda key, batch: (params, {"generator": {}, "critic": {}}),
    evaluate=lambda state, batch, keys: {
      "critic_loss": -value(state["params"], batch["x"]),
      "critic_on_real": state["params"]["critic"] * batch["x"][:, 0],
    },
    sample=lambda state, keys, cond=None: jnp.zeros((len(keys), 1)),
  )


def scene_of(monkeypatch, model, steps, x=None, **settings):
  x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None] if x is None else x
  splits = {name: ArraySplit({"x": x}) for name in ("train", "validation", "test")}
  source = Source("line", Spec.of((1,)), splits)
  settings = toy.experiment(evaluate={"batch_size": 16, "rival_steps": steps, **settings})
  scene = made.scene(model, source, settings)
  scene.states = [model.init(jax.random.key(0), {"x": x})]
  program = types.SimpleNamespace(stages=[types.SimpleNamespace(model=model)])
  monkeypatch.setattr(rivals.configs, "build", lambda config, spec: program)
  return scene


def test_rivals_find_the_best_answers(monkeypatch):
  found = measures.take(("duality",), scene_of(monkeypatch, quadratic(0.1), 200))["duality_gap"]
  gap = (A / 2 + B**2 / (2 * C)) * U**2 + (C / 2 + B**2 / (2 * A)) * V**2
  played = A / 2 * U**2 + B * U * V - C / 2 * V**2
  assert found["value"] == pytest.approx(gap, abs=1e-5)
  assert found["standard_error"] == pytest.approx(0, abs=1e-6)
  assert found["against_critic"] - played + played - found["against_generator"] == pytest.approx(
    gap
  )
  assert found["against_critic"] > found["against_generator"]


def test_a_rival_that_does_worse_keeps_its_start(monkeypatch):
  found = measures.take(("duality",), scene_of(monkeypatch, quadratic(50.0), 6))["duality_gap"]
  assert found["value"] == 0 and found["against_critic"] == found["against_generator"]


M, R, W, THETA, NEAR = 0.9, 2.0, 0.7, -0.4, 0.3


def line():
  """V(w, theta) = w (x - theta) - r/2 w^2 of linear critics w x, whose slope is w; x is M always.

  Either player is at the best answer to the other after one step: the critic with the proximal
  term.
  """

  def value(params, x):
    w, theta = params["critic"], params["generator"]
    return w * (x[:, 0] - theta) - R / 2 * w**2

  def player(name, sign, rate):
    loss = lambda params, mutable, batch, key, step: (
      sign * value(params, batch["x"]), (mutable[name], {})
    )  # fmt: skip
    return Player(minimise(name, loss), optax.sgd(rate))

  params = {"generator": jnp.asarray(THETA), "critic": jnp.asarray(W)}
  return game(
    {
      "generator": player("generator", 1.0, R + 2 * NEAR),
      "critic": player("critic", -1.0, 1 / (R + 2 * NEAR)),
    },
    lambda key, batch: (params, {"generator": {}, "critic": {}}),
    evaluate=lambda state, batch, keys: {
      "critic_loss": -value(state["params"], batch["x"]),
      "critic_on_real": state["params"]["critic"] * batch["x"][:, 0],
    },
    sample=lambda state, keys, cond=None: jnp.zeros((len(keys), 1)),
  )


def test_the_proximal_gap_is_the_closed_form_where_the_plain_one_is_infinite(monkeypatch):
  """V^lambda(w, theta) = ((m - theta) + 2 lambda w)^2 / (2 (r + 2 lambda)) - lambda w^2, at least
  -lambda w^2 over theta, and max over w' of V is (m - theta)^2 / (2 r)."""
  with jax.enable_x64(True):
    how = dict(x=np.full((32, 1), M), proximal_weight=NEAR, proximal_steps=1)
    take = lambda steps, name: measures.take((name,), scene_of(monkeypatch, line(), steps, **how))[
      f"{name}_gap" if name.endswith("duality") else name
    ]
    found = take(30, "proximal_duality")
    best = (M - THETA) ** 2 / (2 * R)
    assert found["against_critic"] == pytest.approx(best, abs=1e-12)
    assert found["against_generator"] == pytest.approx(-NEAR * W**2, abs=1e-12)
    assert found["value"] == pytest.approx(best + NEAR * W**2, abs=1e-12)
    assert found["value_as_played"] == pytest.approx(W * (M - THETA) - R / 2 * W**2, abs=1e-12)
    # Without steps of its rival the generator is held against the critic that answers it.
    plain = [take(steps, "duality")["value"] for steps in (10, 30)]
    assert plain[1] > 2 * plain[0] > 2 * found["value"]


def test_the_distance_is_of_slopes_at_x_between_minus_1_and_1():
  spec = Spec.of((2,), 5)
  model = game(
    {"critic": Player(None, optax.sgd(1.0)), "generator": Player(None, optax.sgd(1.0))},
    None,
    evaluate=lambda state, batch, keys: {
      "critic_on_real": jnp.tanh(centre(batch["x"], 5)) @ state["params"]["critic"]
    },
  )
  w, other = jnp.array([0.3, -1.0]), jnp.array([1.3, 0.5])
  played = rivals.Game(model, {"params": {"critic": w, "generator": {}}}, None)
  x = jnp.array([[0, 4], [1, 2]])
  of = lambda own: rivals.distance(played, spec, own, {"x": x}, None)
  slope = 1 - np.tanh(np.array(x) / 2 - 1) ** 2
  np.testing.assert_allclose(of(other), ((slope * (other - w)) ** 2).sum(-1), rtol=1e-5)
  np.testing.assert_array_equal(of(w), 0)
  # The gradient of the term passes through the slopes.
  e = 1e-2
  found = jax.grad(lambda own: of(own).sum())(other)
  numeric = [(of(other + d).sum() - of(other - d).sum()) / (2 * e) for d in e * np.eye(2)]
  np.testing.assert_allclose(found, numeric, rtol=1e-3)
