"""Video with actions, made by rule: what must happen after an action is known.

"moving" are the sprites of gen_jax.data.shapes, of which an action changes one factor; "maze" is a
walk through a maze (gen_jax.data.maze).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gen_jax import core
from gen_jax.data import maze as mazes
from gen_jax.data import shapes, source

SIZES = {"train": 4000, "validation": 400, "test": 1000}
ACTIONS = ("left", "right", "up", "down", "grow", "shrink", "turn", "stay")

# Factor and step of each action, in the order of ACTIONS.
_EFFECTS = np.zeros((len(ACTIONS), len(shapes.GRID)), np.int64)
for _action, _factor, _step in (
  ("left", "x", -1), ("right", "x", 1), ("up", "y", -1), ("down", "y", 1),
  ("grow", "scale", 1), ("shrink", "scale", -1), ("turn", "orientation", 1),
):  # fmt: skip
  _EFFECTS[ACTIONS.index(_action), list(shapes.FACTORS).index(_factor)] = _step
_TURN = list(shapes.FACTORS).index("orientation")


def move(factors: np.ndarray, action: np.ndarray) -> np.ndarray:
  """Factors [n, 6] after actions [n]: they stop at the ends, and orientations go round."""
  after = factors + _EFFECTS[action]
  turned = after[:, _TURN] % shapes.GRID[_TURN]
  after = np.clip(after, 0, np.array(shapes.GRID) - 1)
  after[:, _TURN] = turned
  return after.astype(np.int32)


def roll_out(step: Callable, state: np.ndarray, action: np.ndarray) -> np.ndarray:
  """States [n, T, ...] from the first [n, ...] by actions [n, T-1]; a_t leads from t to t+1."""
  states = [state]
  for t in range(action.shape[1]):
    states.append(step(states[-1], action[:, t]))
  return np.stack(states, 1)


def read_sprites(x: np.ndarray) -> np.ndarray:
  """Factors int32 [n, 6] of the sprites nearest to pictures x [n, R, R, 3] in 0..255."""
  resolution = x.shape[1]
  colour = list(shapes.FACTORS).index("colour")
  factors = shapes.factors_of(np.arange(shapes.SIZE))
  factors = factors[factors[:, colour] == 0]
  masks = shapes.render(shapes.index_of(factors), resolution)["x"].max(-1)
  masks = masks.reshape(len(masks), -1).astype(np.float32) / 255
  norm = (masks**2).sum(1)
  pixels = x.reshape(len(x), -1, 3).astype(np.float32) / 255
  # |x - m b|^2 - |x|^2 for masks m and colours b of zeros and ones.
  bright = np.array(list(shapes.COLOURS.values())) / 255
  distance = [b.sum() * norm - 2 * (pixels @ b).astype(np.float32) @ masks.T for b in bright]
  best = np.stack(distance, 1).reshape(len(x), -1).argmin(1)
  found = factors[best % len(masks)].copy()
  found[:, colour] = best // len(masks)
  return found


class _Clips(source.Split):
  """Clips whose pictures are drawn when they are asked for."""

  def __init__(self, states: np.ndarray, action: np.ndarray, render: Callable):
    self._states, self._action, self._render = states, action, render

  def __len__(self) -> int:
    return len(self._action)

  def take(self, index: np.ndarray) -> source.Example:
    states = self._states[index]
    x = self._render(states.reshape(-1, *states.shape[2:]))
    x = x.reshape(*states.shape[:2], *x.shape[1:])
    return {"x": x, "action": self._action[index].astype(np.int32)}


def _source(name, actions, chances, first, step, render, read, options):
  """A source of clips; `first` draws states: (generator, n) -> [n, ...]."""
  frames, validation, test, split_seed = options
  wanted = {"train": 1, "validation": validation, "test": test}
  splits = {}
  for stream, (split, size) in enumerate(SIZES.items()):
    if wanted[split]:
      rng = np.random.default_rng([split_seed, stream])
      action = rng.choice(len(actions), size=(size, frames - 1), p=chances)
      splits[split] = _Clips(roll_out(step, first(rng, size), action), action, render)
  picture = splits["train"][0]["x"].shape
  spec = core.Spec.of(picture, 256, action=core.Field((frames - 1,), len(actions), actions))
  simulate = lambda state, action: roll_out(step, state, action)
  return source.Source(name, spec, splits, {"simulate": simulate, "read": read, "render": render})


def moving(
  *, frames: int, resolution: int, validation: float, test: float, split_seed: int
) -> source.Source:
  """x uint8 [T, R, R, 3] and action int32 [T-1] of ACTIONS, all alike likely.

  4000 training, 400 validation and 1000 test clips (the last two left out where their fraction is
  0), each split from its own stream. notes: `read`, x [n, R, R, 3] -> factors [n, 6] of the nearest
  sprite; `simulate`, (factors [n, 6], action [n, T-1]) -> factors [n, T, 6]; `render`, factors
  [n, 6] -> x.
  """
  resolution = shapes.check_resolution(resolution)
  render = lambda factors: shapes.render(shapes.index_of(factors), resolution)["x"]
  first = lambda rng, n: shapes.factors_of(rng.integers(shapes.SIZE, size=n))
  chances = np.full(len(ACTIONS), 1 / len(ACTIONS))
  options = frames, validation, test, split_seed
  return _source("moving", ACTIONS, chances, first, move, render, read_sprites, options)


def maze(
  *, frames: int, resolution: int, validation: float, test: float, split_seed: int
) -> source.Source:
  """x uint8 [T, R, R, 3] and action int32 [T-1] of a walk through one maze, that of split_seed.

  Actions are drawn with the probabilities of gen_jax.data.maze.ACTIONS. Splits as in `moving`.
  notes: `read`, x -> pose [n] of the nearest view; `simulate`, (pose [n], action [n, T-1]) -> pose
  [n, T]; `render`, pose [n] -> x.
  """
  world = mazes.make(split_seed, resolution or 32)
  views = world.views.reshape(len(world.views), -1).astype(np.float32)

  def read(x):
    flat = x.reshape(len(x), -1).astype(np.float32)
    return ((views**2).sum(1) - 2 * flat @ views.T).argmin(1)

  first = lambda rng, n: rng.integers(len(world.views), size=n)
  step = lambda pose, action: world.after[pose, action]
  names, chances = tuple(mazes.ACTIONS), list(mazes.ACTIONS.values())
  options = frames, validation, test, split_seed
  render = lambda pose: world.views[pose]
  return _source("maze", names, chances, first, step, render, read, options)
