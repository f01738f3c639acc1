"""Rivals of a finished game: a player's best answer to the others as they are, found by training it
on, against them held fixed.

  duality gap     max_v' M(u, v') - min_u' M(u', v)             (Grnarova et al. 2019, section 3)
  proximal gap    max_v' M(u, v') - min_u' max_v~ [M(u', v~) - lambda d(v~, v)],
                  d(v~, v) = E_x ||grad_x D_v~(x) - grad_x D_v(x)||^2, of real x
                                             (Sidheekh et al. 2021, arXiv:2105.04801; Farnia &
                                             Ozdaglar 2020, arXiv:2002.09124)

In the second the generator's rival has to beat the best critic near the one that was trained, as a
game in turns asks of it. That critic is found anew, in some steps from v, for each step of the
rival and for each look at it; it is held constant when the rival moves (envelope theorem).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import config as configs
from gen_jax.core import Array, Model, PyTree, Spec, stream
from gen_jax.data import Feed, Split, make_pipeline
from gen_jax.report.scene import Scene
from gen_jax.run import evaluate

LOOKS = 6  # how often a rival is held against the best so far


class Proximal(NamedTuple):
  """The critic near the one that was trained.

  weight: lambda.
  steps: it takes from there.
  """

  weight: float
  steps: int


class Game(NamedTuple):
  """A game to be answered.

  model: whose `respond` is a player's step.
  state: as the game was left, with optimisers that begin anew.
  value: (states, batch, keys) -> {"value": [B]}, what the critic would have large.
  """

  model: Model
  state: PyTree
  value: Callable


def game_of(scene: Scene, key: Array) -> Game:
  """The game that the run has played, with the parameters of its players and not their averages:
  those are no answer to each other."""
  config = configs.merge(scene.system.config, {"model": {"ema": 0.0}})
  model = configs.build(config, scene.spec).stages[-1].model
  played = scene.states[-1]
  first = scene.source.splits["train"].take(np.arange(scene.system.feed(-1).batch_size))
  fresh = jax.jit(model.init)(key, first)
  state = {**fresh, **{name: played[name] for name in ("params", "mutable")}}
  value = lambda states, batch, keys: {
    "value": -model.evaluate(states[-1], batch, keys)["critic_loss"]
  }
  return Game(model, state, value)


def distance(game: Game, spec: Spec, critic: PyTree, batch: dict, keys: Array) -> Array:
  """||grad_x D(x) - grad_x D_v(x)||^2 [B], of a critic's parameters and of the one that was
  trained, at x in [-1, 1], or in the data's own units."""
  half = 1.0 if spec.levels is None else (spec.levels - 1) / 2

  def logits(own, x):
    state = {**game.state, "params": {**game.state["params"], "critic": own}}
    return game.model.evaluate(state, {**batch, "x": half * x}, keys)["critic_on_real"]

  apart = lambda x: (logits(critic, x) - logits(game.state["params"]["critic"], x)).sum()
  slope = jax.grad(apart)(batch["x"] / half)
  return (slope.reshape(len(slope), -1) ** 2).sum(-1)


def proximal_game(game: Game, near: Proximal, spec: Spec) -> Game:
  """The game whose value is M(u, v~) - lambda d(v~, v)."""

  def value(states, batch, keys):
    plain = game.value(states, batch, keys)["value"]
    critic = states[-1]["params"]["critic"]
    return {"value": plain - near.weight * distance(game, spec, critic, batch, keys)}

  return game._replace(value=value)


class Moves(NamedTuple):
  """What a rival learns by.

  step: (state, i) -> state, its i-th.
  answered: state -> state, in which its adversary has moved as far as it may.
  """

  step: Callable[[PyTree, int], PyTree]
  answered: Callable[[PyTree], PyTree] = lambda state: state


def batches(split: Split, feed: Feed, spec: Spec, key: Array) -> tuple[dict, Callable]:
  """The split's arrays, and (arrays, i) -> its i-th batch."""
  pipeline = make_pipeline(split, spec, dataclasses.replace(feed, resident="yes"), key)
  draw = lambda arrays, i: jax.tree.map(lambda leaf: leaf[0], pipeline.draw(arrays, {}, i))
  return pipeline.arrays, draw


def moves_of(game: Game, player: str, split: Split, feed: Feed, key: Array, spec: Spec) -> Moves:
  """Those of a player whose adversary stays as it is."""
  order, moves = jax.random.split(key)
  arrays, draw = batches(split, feed, spec, order)

  @jax.jit
  def step(state, arrays, i):
    return game.model.respond(state, draw(arrays, i), jax.random.fold_in(moves, i), player)

  return Moves(lambda state, i: step(state, arrays, i))


def moves_near(
  game: Game, near: Proximal, split: Split, feed: Feed, key: Array, spec: Spec
) -> Moves:
  """Those of the generator, whose critic answers each from near the one that was trained."""
  order, steps, moves, looks = jax.random.split(key, 4)
  arrays, draw = batches(split, feed, spec, order)
  plain = moves_of(game, "generator", split, feed, steps, spec)
  start = {name: game.state[name]["critic"] for name in ("params", "mutable", "opt")}

  def begun(state):
    return {**state, **{name: {**state[name], "critic": own} for name, own in start.items()}}

  @jax.jit
  def near_step(state, arrays, key, i):
    batch, own = draw(arrays, i), jax.random.fold_in(key, i)
    keys = jax.random.split(jax.random.fold_in(own, 1), len(batch["x"]))
    pull = lambda critic: near.weight * distance(game, spec, critic, batch, keys).mean()
    return game.model.respond(state, batch, jax.random.fold_in(own, 0), "critic", extra=pull)

  def answered(state, key=looks, first=0):
    state = begun(state)
    for i in range(first, first + near.steps):
      state = near_step(state, arrays, key, jnp.int32(i))
    return state

  return Moves(lambda state, i: plain.step(answered(state, moves, i * near.steps), i), answered)


def find_rival(
  start: PyTree, moves: Moves, sign: float, steps: int, worth: Callable[[PyTree], float]
) -> PyTree:
  """The answered state with the best of what the player's training passes through, its start among
  them.

  Args:
    start: as the game was left.
    moves: see there.
    sign: 1 for one who would have the value large, -1 for small.
    steps: how many it takes.
    worth: answered state -> mean value on the split that it learns from.
  """
  found, state = moves.answered(start), start
  best = sign * worth(found)
  for i in range(steps):
    state = moves.step(state, i)
    if (i + 1) % max(steps // LOOKS, 1) == 0 or i + 1 == steps:
      answered = moves.answered(state)
      now = sign * worth(answered)
      if now > best:
        best, found = now, answered
  return found


class Gap(NamedTuple):
  """Values [N] of each test example: as played, with the critic's rival, with the generator's."""

  value: np.ndarray
  against_critic: np.ndarray
  against_generator: np.ndarray


def duality_gap(
  scene: Scene, search: Split, test: Split, steps: int, near: Proximal | None = None
) -> Gap:
  """The parts of the duality gap, or of the proximal one: rivals found on one split and judged on
  another."""
  init, judging, *searches = jax.random.split(stream(scene.key, "rival"), 4)
  game, feed = game_of(scene, init), scene.system.feed(-1)
  how = dict(batch_size=scene.settings.batch_size, mesh=scene.mesh)

  def values_of(value):
    compiled = evaluate.evaluator(value, scene.mesh)
    return lambda state, split: evaluate.terms(compiled, [state], split, judging, **how)["value"]

  plain = of = values_of(game.value)
  worth = lambda of: lambda state: float(np.mean(of(state, search), dtype=np.float64))
  where = search, feed
  critics = moves_of(game, "critic", *where, searches[0], scene.spec)
  if near is None:
    generators = moves_of(game, "generator", *where, searches[1], scene.spec)
  else:
    of = values_of(proximal_game(game, near, scene.spec).value)
    generators = moves_near(game, near, *where, searches[1], scene.spec)
  critic = find_rival(game.state, critics, 1.0, steps, worth(plain))
  generator = find_rival(game.state, generators, -1.0, steps, worth(of))
  return Gap(plain(game.state, test), plain(critic, test), of(generator, test))
