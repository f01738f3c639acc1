"""Rivals of a finished game: a player's best answer to the others as they are, found by training it
on, against them held fixed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from gen_jax import config as configs
from gen_jax.core import Array, Model, PyTree, Spec, stream
from gen_jax.data import Feed, Split, make_pipeline
from gen_jax.report.scene import Scene
from gen_jax.run import evaluate

LOOKS = 6  # how often a rival is held against the best so far


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


def find_rival(
  game: Game, player: str, sign: float, split: Split, feed: Feed, key: Array, steps: int,
  worth: Callable[[PyTree], float], spec: Spec,
) -> PyTree:  # fmt: skip
  """The state with the player's best answer of those that its training passes through, its start
  among them.

  Args:
    game: that is answered.
    player: who answers.
    sign: 1 for one who would have the value large, -1 for small.
    split: what it learns from.
    feed: how it reads that.
    key: of its order and its steps.
    steps: how many it takes.
    worth: state -> mean value on that split.
    spec: of the data.
  """
  order, moves = jax.random.split(key)
  pipeline = make_pipeline(split, spec, dataclasses.replace(feed, resident="yes"), order)

  @jax.jit
  def step(state, arrays, i):
    batch = jax.tree.map(lambda leaf: leaf[0], pipeline.draw(arrays, {}, i))
    return game.model.respond(state, batch, jax.random.fold_in(moves, i), player)

  best, found, state = sign * worth(game.state), game.state, game.state
  for i in range(steps):
    state = step(state, pipeline.arrays, i)
    if (i + 1) % max(steps // LOOKS, 1) == 0 or i + 1 == steps:
      now = sign * worth(state)
      if now > best:
        best, found = now, state
  return found


class Gap(NamedTuple):
  """Values [N] of each test example: as played, with the critic's rival, with the generator's."""

  value: np.ndarray
  against_critic: np.ndarray
  against_generator: np.ndarray


def duality_gap(scene: Scene, search: Split, test: Split, steps: int) -> Gap:
  """The parts of the duality gap: rivals found on one split and judged on another."""
  init, judging, *searches = jax.random.split(stream(scene.key, "rival"), 4)
  game = game_of(scene, init)
  compiled = evaluate.evaluator(game.value, scene.mesh)
  how = dict(batch_size=scene.settings.batch_size, mesh=scene.mesh)
  of = lambda state, split: evaluate.terms(compiled, [state], split, judging, **how)["value"]
  worth = lambda state: float(np.mean(of(state, search), dtype=np.float64))
  feed = scene.system.feed(-1)
  rivals = [
    find_rival(game, player, sign, search, feed, key, steps, worth, scene.spec)
    for player, sign, key in zip(("critic", "generator"), (1.0, -1.0), searches, strict=True)
  ]
  return Gap(*(of(state, test) for state in (game.state, *rivals)))
