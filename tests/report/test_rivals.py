"""Rivals and the gap against a game whose best answers are known."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gen_jax.core import Spec
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
    evaluate=lambda state, batch, keys: {"critic_loss": -value(state["params"], batch["x"])},
    sample=lambda state, keys, cond=None: jnp.zeros((len(keys), 1)),
  )


def scene_of(monkeypatch, rate, steps):
  x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
  splits = {name: ArraySplit({"x": x}) for name in ("train", "validation", "test")}
  source = Source("line", Spec.of((1,)), splits)
  model = quadratic(rate)
  settings = toy.experiment(evaluate={"batch_size": 16, "rival_steps": steps})
  scene = made.scene(model, source, settings)
  scene.states = [model.init(jax.random.key(0), {"x": x})]
  program = types.SimpleNamespace(stages=[types.SimpleNamespace(model=model)])
  monkeypatch.setattr(rivals.configs, "build", lambda config, spec: program)
  return scene


def test_rivals_find_the_best_answers(monkeypatch):
  found = measures.take(("duality",), scene_of(monkeypatch, 0.1, 200))["duality_gap"]
  gap = (A / 2 + B**2 / (2 * C)) * U**2 + (C / 2 + B**2 / (2 * A)) * V**2
  played = A / 2 * U**2 + B * U * V - C / 2 * V**2
  assert found["value"] == pytest.approx(gap, abs=1e-5)
  assert found["standard_error"] == pytest.approx(0, abs=1e-6)
  assert found["against_critic"] - played + played - found["against_generator"] == pytest.approx(
    gap
  )
  assert found["against_critic"] > found["against_generator"]


def test_a_rival_that_does_worse_keeps_its_start(monkeypatch):
  found = measures.take(("duality",), scene_of(monkeypatch, 50.0, 6))["duality_gap"]
  assert found["value"] == 0 and found["against_critic"] == found["against_generator"]
