"""Video with actions, made by rule: what must happen after an action is known.

"moving" are the sprites of gen_jax.data.shapes, of which an action changes one factor; "maze" is a
walk through a maze (gen_jax.data.maze).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np

from gen_jax import core
from gen_jax.data import maze as mazes
from gen_jax.data import shapes, source

HELD_OUT = {"validation": 400, "test": 1000}  # clips
WORLDS = {"train": 200, "validation": 20, "test": 50}  # of maze:many
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


def paint_sprites(tables: Mapping, factors: core.Array | np.ndarray) -> core.Array | np.ndarray:
  """x uint8 [..., R, R, 3] of factors [..., 6]; tables: of `moving`."""
  shape, colour, scale, orientation, x, y = (factors[..., i] for i in range(len(shapes.GRID)))
  covered = tables["coverage"][shape, scale, orientation, x, y]
  return covered[..., None] * tables["bright"][colour][..., None, None, :]


def read_sprites(x: np.ndarray, at_once: int = 256) -> np.ndarray:
  """Factors int32 [n, 6] of the sprites nearest to pictures x [n, R, R, 3] in 0..255."""
  resolution = x.shape[1]
  colour = list(shapes.FACTORS).index("colour")
  factors = shapes.factors_of(np.arange(shapes.SIZE))
  factors = factors[factors[:, colour] == 0]
  masks = shapes.coverage(resolution).reshape(len(factors), -1).astype(np.float32) / 255
  norm = (masks**2).sum(1)
  bright = np.array(list(shapes.COLOURS.values()), np.float32) / 255
  found = np.empty((len(x), len(shapes.GRID)), np.int32)
  for start in range(0, len(x), at_once):
    pixels = x[start : start + at_once].astype(np.float32).reshape(-1, resolution**2, 3) / 255
    # |x - m b|^2 - |x|^2 for masks m and colours b of zeros and ones.
    distance = np.stack([b.sum() * norm - 2 * (pixels @ b) @ masks.T for b in bright], 1)
    best = distance.reshape(len(pixels), -1).argmin(1)
    found[start : start + at_once] = factors[best % len(masks)]
    found[start : start + at_once, colour] = best // len(masks)
  return found


class Clips(source.Split):
  """Clips whose pictures are drawn when they are asked for, in training on the device.

  states: int [N, T, ...]. action: [N, T-1], or None where there is none.
  named: whether the states are a field `pose`.
  tables: arrays that pictures are looked up in.
  paint: (tables, states [..., ...]) -> x [..., R, R, 3], of NumPy or JAX.
  """

  def __init__(
    self, states: np.ndarray, action: np.ndarray | None, tables: dict, paint: Callable,
    named: bool = False,
  ):  # fmt: skip
    acts = {} if action is None else {"action": action.astype(np.int32)}
    self._held = {"states": states.astype(np.int32), **acts, **tables}
    self._fields = {name: name for name in acts} | ({"pose": "states"} if named else {})
    self._paint = paint

  def __len__(self) -> int:
    return len(self._held["states"])

  def take(self, index: np.ndarray) -> source.Example:
    x = self._paint(self._held, self._held["states"][index])
    return {"x": x, **{name: self._held[held][index] for name, held in self._fields.items()}}

  def held(self) -> source.Example:
    """The states and actions, and the tables that pictures are looked up in."""
    return dict(self._held)

  def held_bytes(self) -> int:
    return sum(value.nbytes for value in self._held.values())

  def draw(self, held: Mapping, index: core.Array, key: core.Array) -> dict[str, core.Array]:
    del key
    x = self._paint(held, jnp.asarray(held["states"])[index])
    return {"x": x, **{name: held[own][index] for name, own in self._fields.items()}}


def _source(name, actions, step, first, tables, paint, read, clips, options, named=0, **notes):
  """A source of clips.

  actions: name -> probability. step: (state [n, ...], action [n]) -> state. first: draws states,
  (generator, n, split) -> [n, ...]. tables, paint: see `Clips`. clips: in training. named: how
  many states there are, where they are a field.
  """
  frames, validation, test, split_seed = options
  wanted = {"train": 1, "validation": validation, "test": test}
  chances, splits = np.array(list(actions.values())), {}
  for stream, (split, size) in enumerate({"train": clips, **HELD_OUT}.items()):
    if wanted[split]:
      rng = np.random.default_rng([split_seed, stream])
      action = rng.choice(len(actions), size=(size, frames - 1), p=chances)
      splits[split] = Clips(
        roll_out(step, first(rng, size, split), action), action, tables, paint, bool(named)
      )
  picture = splits["train"][0]["x"].shape
  field = core.Field((frames - 1,), len(actions), tuple(actions))
  notes |= {
    "simulate": lambda state, action: roll_out(step, state, action), "read": read,
    "render": lambda state: paint(tables, state), "chances": chances,
  }  # fmt: skip
  fields = {"action": field} | ({"pose": core.Field((frames,), named)} if named else {})
  return source.Source(name, core.Spec.of(picture, 256, **fields), splits, notes)


def moving(
  *, frames: int, clips: int, resolution: int, validation: float, test: float, split_seed: int
) -> source.Source:
  """x uint8 [T, R, R, 3] and action int32 [T-1] of ACTIONS, all alike likely.

  `clips` for training, and 400 validation and 1000 test clips (left out where their fraction is 0),
  each split from its own stream; training keeps what is in the clips, and draws their pictures as
  it goes. notes: `read`, x [n, R, R, 3] -> factors [n, 6] of the nearest sprite; `factors`, their
  names; `simulate`, (factors [n, 6], action [n, T-1]) -> factors [n, T, 6]; `render`, factors
  [..., 6] -> x; `chances`, of the actions.
  """
  resolution = shapes.check_resolution(resolution)
  bright = np.array(list(shapes.COLOURS.values()), np.uint8) // 255
  tables = {"coverage": shapes.coverage(resolution), "bright": bright}
  first = lambda rng, n, split: shapes.factors_of(rng.integers(shapes.SIZE, size=n))
  return _source(
    "moving", dict.fromkeys(ACTIONS, 1 / len(ACTIONS)), move, first, tables, paint_sprites,
    read_sprites, clips, (frames, validation, test, split_seed), factors=tuple(shapes.FACTORS),
  )  # fmt: skip


def maze(
  *, frames: int, clips: int, resolution: int, validation: float, test: float, split_seed: int
) -> source.Source:
  """x uint8 [T, R, R, 3] and action int32 [T-1] of a walk through one maze, that of split_seed.

  Actions are drawn with the probabilities of gen_jax.data.maze.ACTIONS. Splits as in `moving`.
  notes: `read`, x -> pose [n] of the nearest view; `simulate`, (pose [n], action [n, T-1]) -> pose
  [n, T]; `render`, pose [...] -> x; `chances`, of the actions.
  """
  world = mazes.make(split_seed, resolution or 32)
  views = world.views.reshape(len(world.views), -1).astype(np.float32)

  def read(x):
    flat = x.reshape(len(x), -1).astype(np.float32)
    return ((views**2).sum(1) - 2 * flat @ views.T).argmin(1)

  first = lambda rng, n, split: rng.integers(len(world.views), size=n)
  step = lambda pose, action: world.after[pose, action]
  return _source(
    "maze", mazes.ACTIONS, step, first, {"views": world.views},
    lambda tables, pose: tables["views"][pose], read, clips,
    (frames, validation, test, split_seed),
  )  # fmt: skip


def many_mazes(
  *, frames: int, clips: int, resolution: int, validation: float, test: float, split_seed: int
) -> source.Source:
  """As `maze`, of 200 mazes in training, and of 20 and 50 others in validation and test.

  A pose is a number that no two mazes share. It is a field, `pose` int32 [T], as a picture may be
  seen in several mazes; and notes: `read`, (x, pose [n]) -> the pose of the nearest view in the
  same maze.
  """
  seeds = [
    (split_seed, stream, i) for stream, worlds in enumerate(WORLDS.values()) for i in range(worlds)
  ]
  views, after = mazes.make_many(seeds, resolution or 32)
  begin = dict(zip(WORLDS, np.cumsum([0, *WORLDS.values()]) * mazes.POSES))

  def first(rng, n, split):
    return begin[split] + rng.integers(WORLDS[split] * mazes.POSES, size=n)

  def read(x, pose):
    flat = views.reshape(-1, mazes.POSES, views[0].size)
    found, world = np.empty(len(x), int), np.asarray(pose) // mazes.POSES
    for i in np.unique(world):
      own = flat[i].astype(np.float32)
      seen = x[world == i].reshape(-1, views[0].size).astype(np.float32)
      found[world == i] = i * mazes.POSES + ((own**2).sum(1) - 2 * seen @ own.T).argmin(1)
    return found

  return _source(
    "maze:many", mazes.ACTIONS, lambda pose, action: after[pose, action], first, {"views": views},
    lambda tables, pose: tables["views"][pose], read, clips,
    (frames, validation, test, split_seed), named=len(views),
  )  # fmt: skip
