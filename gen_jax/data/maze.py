"""A maze seen from inside: every pose, its view and what each action leads to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from gen_jax import core

ACTIONS = {"forward": 0.5, "left": 0.2, "right": 0.2, "stay": 0.1}
SIDE = 9  # cells, the outer walls among them
POSES = 4 * (16 + 15 + 4)  # in any maze: rooms, the ways of the tree, and LOOPS
LOOPS = 4  # walls taken out of the tree, so that some places are reached by two ways
_HEADINGS = np.array([(-1, 0), (0, 1), (1, 0), (0, -1)])  # north, east, south, west: (row, column)
_COLOURS = np.array(
  [
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180),
    (70, 240, 240), (240, 50, 230), (210, 245, 60), (250, 190, 212), (0, 128, 128), (170, 110, 40),
  ],
  np.uint8,
)  # fmt: skip
_CEILING, _FLOOR = (200, 210, 220), (60, 60, 60)


class World(NamedTuple):
  """free: bool [SIDE, SIDE].  poses: int [P, 3], row, column and heading (0 is north, clockwise).
  views: uint8 [P, R, R, 3].  after: int [P, actions], the pose that an action leads to.
  """

  free: np.ndarray
  poses: np.ndarray
  views: np.ndarray
  after: np.ndarray


def carve(rng: np.random.Generator) -> np.ndarray:
  """Free cells bool [SIDE, SIDE] of a maze: a random depth-first tree of rooms at odd places, with
  LOOPS walls between two rooms taken out."""
  free = np.zeros((SIDE, SIDE), bool)
  stack = [(1, 1)]
  free[1, 1] = True
  while stack:
    here = np.array(stack[-1])
    rooms = [tuple(here + 2 * d) for d in _HEADINGS]
    rooms = [r for r in rooms if min(r) > 0 and max(r) < SIDE and not free[r]]
    if not rooms:
      stack.pop()
      continue
    room = rooms[rng.integers(len(rooms))]
    free[room] = free[tuple((here + room) // 2)] = True
    stack.append(room)
  inner = np.arange(1, SIDE - 1)
  walls = [(r, c) for r in inner for c in inner if (r + c) % 2 and not free[r, c]]
  for i in rng.permutation(len(walls))[:LOOPS]:
    free[walls[i]] = True
  return free


def look(free: np.ndarray, paint: np.ndarray, pose: np.ndarray, resolution: int) -> np.ndarray:
  """What is seen from the middle of a cell: rays over 90 degrees, walls one cell high.

  Args:
    free: bool [SIDE, SIDE].
    paint: int [SIDE, SIDE, 4, 2], colours of the upper and lower half of the face of a wall that
      looks north, east, south or west.
    pose: row, column and heading, [P, 3].
    resolution: R in pixels.

  Returns:
    uint8 [P, R, R, 3].
  """
  place, ahead = pose[:, :2] + 0.5, _HEADINGS[pose[:, 2]]
  right = _HEADINGS[(pose[:, 2] + 1) % 4]
  across = (np.arange(resolution) + 0.5) / resolution * 2 - 1
  # [P, R, 2]; the distance along `ahead` is the parameter t.
  rays = ahead[:, None] + across[:, None] * right[:, None]
  nearest = np.full(rays.shape[:2], np.inf)
  colours = np.zeros((*rays.shape[:2], 2), int)
  for axis in (0, 1):
    with np.errstate(divide="ignore"):
      unit = 1 / np.abs(rays[..., axis])
    forward = np.sign(rays[..., axis]).astype(int)
    # The face that is met looks against the ray.
    face = np.where(forward > 0, (0, 3)[axis], (2, 1)[axis])
    for k in range(SIDE):
      t = (k + 0.5) * unit
      p, r = np.nonzero((t < nearest) & np.isfinite(t))
      other = np.floor(place[p, 1 - axis] + t[p, r] * rays[p, r, 1 - axis]).astype(int)
      cell = pose[p, axis] + (k + 1) * forward[p, r]
      inside = (cell >= 0) & (cell < SIDE) & (other >= 0) & (other < SIDE)
      p, r, cell, other = (v[inside] for v in (p, r, cell, other))
      where = (cell, other) if axis == 0 else (other, cell)
      wall = ~free[where]
      p, r, row, column = (v[wall] for v in (p, r, *where))
      nearest[p, r] = t[p, r]
      colours[p, r] = paint[row, column, face[p, r]]
  height = across[:, None]  # of a row, from the top
  view = np.where((height < 0)[..., None], _CEILING, _FLOOR).astype(np.uint8)
  view = np.broadcast_to(view, (len(pose), resolution, resolution, 3)).copy()
  on_wall = np.abs(height) * nearest[:, None] < 0.5
  halves = np.where(height < 0, colours[:, None, :, 0], colours[:, None, :, 1])
  view[on_wall] = _COLOURS[halves[on_wall]]
  return view


def make(seed: int | tuple[int, ...], resolution: int) -> World:
  """The maze of a seed.

  Raises:
    UserError: for a resolution outside 8..128.
  """
  if not 8 <= resolution <= 128:
    raise core.UserError(f"data.resolution={resolution}: mazes are drawn at 8 to 128 pixels")
  rng = np.random.default_rng(seed)
  free = carve(rng)
  poses = np.array([(r, c, h) for r, c in np.argwhere(free) for h in range(4)])
  row, column, heading = poses.T
  ahead = poses[:, :2] + _HEADINGS[heading]
  can = free[tuple(ahead.T)]
  # Each face that can be seen has a pair of colours that no other has.
  pairs = np.array(list(itertools.permutations(range(len(_COLOURS)), 2)))
  paint = np.zeros((SIDE, SIDE, 4, 2), int)
  faces = (*ahead[~can].T, (heading[~can] + 2) % 4)
  paint[faces] = pairs[rng.permutation(len(pairs))[: (~can).sum()]]
  views = look(free, paint, poses, resolution)
  number = np.full((SIDE, SIDE, 4), -1)
  number[tuple(poses.T)] = np.arange(len(poses))
  forward = np.where(can, number[ahead[:, 0], ahead[:, 1], heading], np.arange(len(poses)))
  turned = [number[row, column, (heading + turn) % 4] for turn in (-1, 1)]
  after = np.stack([forward, *turned, np.arange(len(poses))], 1)
  return World(free, poses, views, after)


def make_many(seeds: Sequence[tuple[int, ...]], resolution: int) -> tuple[np.ndarray, np.ndarray]:
  """The views uint8 [W POSES, R, R, 3] and `after` int [W POSES, actions] of the mazes of W seeds,
  whose poses are numbered on from one to the next."""
  worlds = [make(seed, resolution) for seed in seeds]
  after = [POSES * i + world.after for i, world in enumerate(worlds)]
  return np.concatenate([world.views for world in worlds]), np.concatenate(after)
