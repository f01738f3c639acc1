import numpy as np
import pytest

from gen_jax import core, data
from gen_jax.data import shapes, vocabulary

FACTORS = list(shapes.FACTORS)


def grid(**fixed):
  """Positions of all examples whose factors have these indices."""
  every = shapes.factors_of(np.arange(shapes.SIZE))
  keep = np.ones(shapes.SIZE, bool)
  for name, value in fixed.items():
    keep &= every[:, FACTORS.index(name)] == value
  return np.flatnonzero(keep)


def coverage(index, resolution=32):
  """How much of each pixel the sprite covers [N, R, R]; every colour has a channel at full."""
  return shapes.render(index, resolution)["x"].max(-1) / 255


def test_index_and_factors_round_trip():
  index = np.arange(shapes.SIZE)
  np.testing.assert_array_equal(shapes.index_of(shapes.factors_of(index)), index)


@pytest.mark.parametrize("shape", range(4))
def test_area_and_centroid_follow_the_factors(shape):
  index = grid(shape=shape, colour=0)
  factors = shapes.factors_of(index)
  covered = coverage(index)
  area = covered.sum((1, 2))
  scale = np.array(shapes.FACTORS["scale"])[factors[:, 2]]
  # A shape's area over that of the circle around it is one number, whatever else changes.
  ratio = area / (np.pi * (32 * scale) ** 2)
  ideal = {
    "square": 2 / np.pi,
    "ellipse": 0.6,
    "triangle": np.sqrt(27) / 4 / np.pi,
    "heart": np.median(ratio),
  }[shapes.FACTORS["shape"][shape]]
  np.testing.assert_allclose(ratio, ideal, rtol=0.03)  # the tiny ones have few subpixels

  pixels = np.arange(32) + 0.5
  for name, axis in (("x", 1), ("y", 2)):
    centroid = covered.sum(axis) @ pixels / area
    want = 32 * np.array(shapes.FACTORS[name])[factors[:, FACTORS.index(name)]]
    np.testing.assert_allclose(centroid, want, atol=0.05)


def test_sprites_reach_the_circle_around_them():
  index = grid(scale=3, colour=0, x=3, y=4)
  factors = shapes.factors_of(index)
  rows, columns = np.mgrid[:32, :32] + 0.5
  for covered, factor in zip(coverage(index), factors):
    x, y = (32 * shapes.FACTORS[name][factor[FACTORS.index(name)]] for name in "xy")
    reach = np.hypot(rows - y, columns - x)[covered > 0].max()
    assert 8.5 - 1 <= reach <= 8.5 + 1


@pytest.mark.parametrize("shape", range(4))
def test_no_sprite_is_cut_off(shape):
  area = coverage(grid(shape=shape, colour=0)).sum((1, 2)).reshape(4, 6, 64)
  np.testing.assert_allclose(area, area[..., :1].repeat(64, -1), rtol=1e-12)


def test_turning_by_a_quarter_is_a_rotation_of_the_picture():
  # 90 degrees is not in the grid, but a square turned by 60 is the mirror image of one by 30.
  thirty, sixty = (
    coverage(grid(shape=0, scale=2, colour=1, orientation=turn, x=3, y=3)) for turn in (2, 4)
  )
  shift = np.roll(sixty[0, :, ::-1], -2, axis=1)
  np.testing.assert_allclose(thirty[0], shift, atol=0.06)


def test_orientation_is_counterclockwise():
  def tip(turn):
    """Direction of the heart's point from its centre, in degrees from the right."""
    covered = coverage(grid(shape=2, scale=3, colour=0, orientation=turn, x=3, y=4), 64)[0]
    x, y = (64 * shapes.FACTORS[name][i] for name, i in (("x", 3), ("y", 4)))
    rows, columns = np.mgrid[:64, :64] + 0.5
    far = np.where(covered > 0.5, np.hypot(rows - y, columns - x), 0).argmax()
    return np.degrees(np.arctan2(y - rows.flat[far], columns.flat[far] - x))

  assert tip(0) == pytest.approx(-90, abs=3)
  assert tip(3) == pytest.approx(-45, abs=3)


def test_no_two_examples_are_the_same_picture():
  pictures = shapes.render(grid(x=3, y=3))["x"]
  assert len(np.unique(pictures.reshape(len(pictures), -1), axis=0)) == len(pictures)


def test_colours_and_masks():
  out = shapes.render(grid(scale=3, x=2, y=5))
  inside = out["segmentation"].astype(bool)
  names = np.array(shapes.FACTORS["colour"])[out["factors"][:, 1]]
  for name, colour in (("red", (255, 0, 0)), ("yellow", (255, 255, 0)), ("cyan", (0, 255, 255))):
    full = out["x"][names == name].max((1, 2))
    assert (full == colour).all()
  np.testing.assert_array_equal(inside, out["x"].max(-1) >= 128)
  assert not out["x"][:, 0].any()


def test_captions_say_what_is_there():
  words = shapes.VOCABULARY
  example = shapes.render(np.array([shapes.index_of([2, 0, 1, 0, 0, 0])]))
  assert words.decode(example["caption"][0]) == "a small red heart at the top left"
  assert shapes.caption_of([0, 2, 3, 5, 4, 3]) == "a large blue square at the centre"
  assert shapes.caption_of([0, 2, 3, 5, 7, 3]) == "a large blue square at the right"
  every = shapes.render(np.arange(0, shapes.SIZE, 7))["caption"]
  assert every.shape[1] == shapes.CAPTION_LENGTH
  assert not (every == vocabulary.UNK).any()
  assert ((every == vocabulary.EOS).sum(1) == 1).all()
  assert set(np.unique(every)) == set(range(len(words))) - {vocabulary.UNK}


def test_source():
  loaded = data.load("shapes", resolution=16)
  assert loaded.spec.shape == (16, 16, 3)
  assert loaded.spec.fields["caption"].names == shapes.VOCABULARY.words
  assert loaded.spec.fields["caption"].levels == len(shapes.VOCABULARY)
  indices = [shapes.index_of(split.arrays()["factors"]) for split in loaded.splits.values()]
  np.testing.assert_array_equal(np.sort(np.concatenate(indices)), np.arange(shapes.SIZE))
  split = loaded.splits["validation"]
  stacked = split.arrays()
  for name, value in split[17].items():
    np.testing.assert_array_equal(value, stacked[name][17])


def test_resolutions_are_the_same_pictures():
  index = grid(colour=3, scale=3, orientation=1)
  fine = coverage(index, 64).reshape(len(index), 32, 2, 32, 2).mean((2, 4))
  np.testing.assert_allclose(coverage(index, 32), fine, atol=0.08)


def test_pairs_of_a_colour_and_a_shape_that_are_left_out():
  loaded = data.load("shapes", resolution=8, leave_out=("red heart", "cyan square"))
  splits = {name: split.arrays()["factors"] for name, split in loaded.splits.items()}
  red_hearts, cyan_squares = grid(shape=2, colour=0), grid(shape=0, colour=5)
  where = {name: shapes.index_of(factors) for name, factors in splits.items()}
  np.testing.assert_array_equal(where["left_out"], np.union1d(red_hearts, cyan_squares))
  every = np.concatenate([*where.values()])
  np.testing.assert_array_equal(np.sort(every), np.arange(shapes.SIZE))
  assert len(where["test"]) == round(0.2 * (shapes.SIZE - len(where["left_out"])))
  all_red = tuple(f"red {shape}" for shape in shapes.FACTORS["shape"])
  for wrong, message in (
    (("red hart",), "did you mean red heart"), (("heart",), "such as 'red heart'"),
    (all_red, "no sprite of some colour"),
  ):  # fmt: skip
    with pytest.raises(core.UserError, match=message):
      data.load("shapes", leave_out=wrong)
  with pytest.raises(core.UserError, match="data.leave_out is read by shapes"):
    data.load("digits", leave_out=("red heart",))


def test_the_entropy_of_captions():
  """That which the docstring of configs/dalle.py gives, of all captions there are."""
  every = shapes.sprites(8).captions_of(np.arange(shapes.SIZE))
  for kept, want in ((np.ones(shapes.SIZE, bool), 6.729), (~shapes.combinations(LEFT), 6.595)):
    share = np.unique(every[kept], axis=0, return_counts=True)[1] / kept.sum()
    assert -(share * np.log(share)).sum() == pytest.approx(want, abs=5e-4)


LEFT = ("red heart", "cyan square", "yellow triangle")
