"""Video with actions, against the simulators."""

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gen_jax import core, data
from gen_jax.data import maze, shapes, video


@pytest.mark.parametrize("name", ["moving", "maze"])
def test_a_clip_is_what_its_actions_say(name):
  source = data.load(name, resolution=16, frames=5)
  assert source.spec.shape == (5, 16, 16, 3) and source.spec.fields["action"].shape == (4,)
  clips = source.splits["test"].take(np.arange(60))
  assert clips["x"].dtype == np.uint8 and clips["action"].dtype == np.int32
  notes = source.notes
  states = notes["simulate"](notes["read"](clips["x"][:, 0]), clips["action"])
  again = notes["render"](states.reshape(-1, *states.shape[2:]))
  np.testing.assert_array_equal(again.reshape(clips["x"].shape), clips["x"])
  one = source.splits["test"][7]
  np.testing.assert_array_equal(one["x"], clips["x"][7])
  other = data.load(name, resolution=16, frames=5, split_seed=1).splits["test"][7]
  assert (other["action"] != one["action"]).any() or (other["x"] != one["x"]).any()


@pytest.mark.parametrize("name", ["moving", "maze"])
def test_clips_are_drawn_on_the_device_as_on_the_host(name):
  train = data.load(name, resolution=16, frames=3, clips=50).splits["train"]
  assert len(train) == 50
  held = jax.tree.map(jnp.asarray, train.held())
  index = jnp.array([[3, 49], [0, 3]])
  drawn = jax.jit(train.draw)(held, index, jax.random.key(0))
  taken = train.take(np.asarray(index).ravel())
  assert drawn.keys() == taken.keys()
  for field, value in taken.items():
    assert drawn[field].dtype == value.dtype
    np.testing.assert_array_equal(drawn[field].reshape(value.shape), value)
  many = data.load(name, resolution=16, frames=3, clips=10**5).splits["train"]
  assert len(many) == 10**5 and many.held_bytes() < 2**24


def test_mazes_of_the_splits_are_others(monkeypatch):
  monkeypatch.setattr(video, "WORLDS", {"train": 3, "validation": 1, "test": 2})
  source = data.load("maze:many", resolution=16, frames=6, clips=50)
  assert source.spec.fields["pose"] == core.Field((6,), 6 * maze.POSES)
  worlds = {}
  for name, split in source.splits.items():
    clips, notes = split.take(np.arange(50)), source.notes
    worlds[name] = set(np.unique(clips["pose"] // maze.POSES))
    assert (clips["pose"] // maze.POSES == clips["pose"][:, :1] // maze.POSES).all()
    again = notes["simulate"](clips["pose"][:, 0], clips["action"])
    np.testing.assert_array_equal(again, clips["pose"])
    np.testing.assert_array_equal(notes["render"](again), clips["x"])
    flat = clips["x"].reshape(-1, 16, 16, 3)
    found = notes["read"](flat, again.ravel())
    np.testing.assert_array_equal(found, again.ravel())
  assert worlds == {"train": {0, 1, 2}, "validation": {3}, "test": {4, 5}}


def test_sprites_move_on_their_grid():
  action = lambda *names: np.array([[video.ACTIONS.index(name) for name in names]])
  go = lambda start, *names: video.roll_out(video.move, np.array([start]), action(*names))[0, -1]
  middle = (1, 2, 1, 3, 4, 4)
  for there, back in (("left", "right"), ("up", "down"), ("grow", "shrink")):
    assert (go(middle, there, back) == middle).all() and (go(middle, there) != middle).sum() == 1
  assert (go(middle, *["turn"] * 6) == middle).all()
  np.testing.assert_array_equal(go(middle, *["left"] * 9), (1, 2, 1, 3, 0, 4))
  np.testing.assert_array_equal(go(middle, *["grow"] * 9, "stay"), (1, 2, 3, 3, 4, 4))
  np.testing.assert_array_equal(go(middle, "down", "right"), (1, 2, 1, 3, 5, 5))


def test_the_reader_knows_every_sprite_under_noise():
  index = np.random.default_rng(0).choice(shapes.SIZE, 200, replace=False)
  x = shapes.render(index)["x"]
  np.testing.assert_array_equal(video.read_sprites(x), shapes.factors_of(index))
  noisy = np.clip(x + np.random.default_rng(1).normal(0, 8, x.shape), 0, 255)
  assert (video.read_sprites(noisy) == shapes.factors_of(index)).all(1).mean() > 0.95


def test_the_maze_hangs_together_and_no_two_places_look_alike():
  for seed in range(3):
    world = maze.make(seed, 32)
    assert world.free.sum() == 16 + 15 + 4 and not world.free[[0, -1]].any()
    assert len(world.poses) == 140 == len(np.unique(world.views.reshape(140, -1), axis=0))
    seen, queue = {0}, collections.deque([0])
    while queue:
      for pose in world.after[queue.popleft()]:
        if pose not in seen:
          seen.add(int(pose))
          queue.append(pose)
    assert len(seen) == 140
    forward, left, right, stay = world.after.T
    np.testing.assert_array_equal(left[right], np.arange(140))
    np.testing.assert_array_equal(left[left[left[left]]], np.arange(140))
    np.testing.assert_array_equal(stay, np.arange(140))
    # Turning round and going back is possible wherever one came from.
    came = forward != np.arange(140)
    np.testing.assert_array_equal(left[left[forward[left[left[forward]]]]][came], stay[came])


def test_a_wall_ahead_is_as_high_as_it_is_near():
  free = np.zeros((9, 9), bool)
  free[1:8, 4] = True
  paint = np.zeros((9, 9, 4, 2), int)
  paint[..., 1] = 1
  for row, half in ((1, 32), (2, 32 / 3), (3, 32 / 5), (7, 32 / 13)):
    view = maze.look(free, paint, np.array([[row, 4, 0]]), 64)[0]
    middle = view[:, 32]
    rows = np.flatnonzero((middle == maze._COLOURS[0]).all(-1))
    assert len(rows) == pytest.approx(half, abs=1) and rows[-1] == 31
  # To the left and right of the corridor the walls begin at the edges of the view.
  side = maze.look(free, paint, np.array([[7, 4, 0]]), 64)[0, :, 0]
  assert (side[1:32] == maze._COLOURS[0]).all() and (side[32:-1] == maze._COLOURS[1]).all()


def test_actions_are_drawn_as_they_say():
  action = data.load("maze").splits["train"].take(np.arange(1000))["action"].ravel()
  wanted = np.array(list(maze.ACTIONS.values())) * action.size
  assert stats.chisquare(np.bincount(action, minlength=4), wanted).pvalue > 1e-3


def test_refusals():
  for name, options, line in [
    ("maze", dict(resolution=4), "8 to 128"),
    ("moving", dict(resolution=33), "even resolutions"),
    ("moving", dict(frames=1), "data.frames must be 2 or more"),
    ("digits", dict(frames=4), "data.frames is read by moving, maze, not by digits"),
  ]:
    with pytest.raises(core.UserError, match=line):
      data.load(name, **options)
