"""Moving MNIST: where its digits are, how they move, and what is refused."""

import numpy as np
import pytest

from gen_jax import core, data
from gen_jax.data import moving_mnist


@pytest.fixture(scope="module")
def path(tmp_path_factory):
  """Ten digits of one brightness each, all over their pictures."""
  path = tmp_path_factory.mktemp("mnist") / "mnist.npz"
  x = np.broadcast_to(np.arange(20, 220, 5, np.uint8)[:, None, None, None], (40, 28, 28, 1))
  np.savez(path, x=np.ascontiguousarray(x))
  return path


@pytest.mark.parametrize("side", [32, 64])
def test_two_digits_move_straight_on_and_back_from_the_edges(path, side):
  source = data.load("moving:mnist", path=str(path), resolution=side, frames=20, clips=30)
  width, room = 28 * side // 64, side - 28 * side // 64
  assert source.spec == core.Spec.of((20, side, side, 1), 256)
  x = source.splits["train"].take(np.arange(30))["x"][..., 0].astype(int)
  assert x.shape == (30, 20, side, side) and x.max() < 220
  for clip in x:
    front = clip.max()
    rows, columns = ((clip == front).any(axis).argmax(1) for axis in (2, 1))
    # The brighter digit is whole in every frame.
    assert ((clip == front).sum((1, 2)) >= width**2).all()
    assert min(rows.min(), columns.min()) >= 0 and max(rows.max(), columns.max()) <= room
    if len(np.unique(clip)) == 3:  # two digits of one brightness are not told apart
      steps = np.hypot(np.diff(rows), np.diff(columns))
      assert np.median(steps) == pytest.approx(0.1 * room, abs=1)


def test_ways_are_straight_lines_between_mirrors():
  room, n, frames = 10**6, 50, 20
  states = moving_mnist.walk(np.random.default_rng(0), n, frames, 7, room)
  assert states.shape == (n, frames, 2, 3) and states[..., 0].max() < 7
  assert (states[..., 0] == states[:, :1, :, 0]).all()
  way = states[..., 1:].transpose(0, 2, 3, 1).reshape(-1, frames) / room  # of one coordinate each
  free = np.minimum(way, 1 - way) > 0.1
  steps = np.ma.masked_array(abs(np.diff(way)), ~(free[:, 1:] & free[:, :-1]))
  # Away from the edges it goes on as fast as ever, and the two coordinates together by 0.1.
  assert (steps.max(1) - steps.min(1)).max() < 1e-5
  speed = np.hypot(*steps.mean(1).reshape(-1, 2).T)
  np.testing.assert_allclose(speed.compressed(), 0.1, atol=1e-5)
  assert way.min() >= 0 and way.max() <= 1 and (np.diff(way).max(1) > 0).any()


def test_refusals(path, tmp_path):
  with pytest.raises(core.UserError, match="tfds:mnist is not prepared in"):
    data.load("moving:mnist", data_dir=str(tmp_path))
  with pytest.raises(core.UserError, match="32 or 64 pixels"):
    data.load("moving:mnist", path=str(path), resolution=48)
  np.savez(tmp_path / "small.npz", x=np.zeros((20, 8, 8, 1), np.uint8))
  with pytest.raises(core.UserError, match=r"\[28, 28, 1\]"):
    data.load("moving:mnist", path=str(tmp_path / "small.npz"))
