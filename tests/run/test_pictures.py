"""Pictures, read back from their files."""

import numpy as np
import pytest
from PIL import Image

from gen_jax.app import training
from gen_jax.run import pictures


@pytest.fixture
def rng():
  return np.random.default_rng(0)


def read(path):
  return np.asarray(Image.open(path))


def test_to_uint8():
  np.testing.assert_array_equal(pictures.to_uint8(np.array([0, 1]), 2), [0, 255])
  np.testing.assert_array_equal(pictures.to_uint8(np.arange(256), 256), np.arange(256))
  grey = pictures.to_uint8(np.array([-1, 0, 7.5, 16, 17, 99, np.nan]), 17)
  np.testing.assert_array_equal(grey, [0, 0, 120, 255, 255, 255, 0])
  np.testing.assert_array_equal(pictures.to_uint8(np.array([-2.0, 0, 2]), None), [0, 128, 255])
  np.testing.assert_array_equal(pictures.to_uint8(np.full(3, 5.0), None), [0, 0, 0])
  assert grey.dtype == np.uint8


def test_grid_places_and_enlarges_every_image(rng):
  images = rng.integers(0, 256, (5, 4, 6, 3), np.uint8)
  out = pictures.grid(images, columns=3, pad=2)
  factor = 33  # 3 * 6 * 33 + 4 * 2 = 602, and 32 would be too few
  assert out.shape == (2 * 4 * factor + 3 * 2, 602, 3)
  for i, image in enumerate(images):
    row, column = divmod(i, 3)
    top, left = 2 + row * (4 * factor + 2), 2 + column * (6 * factor + 2)
    tile = out[top : top + 4 * factor, left : left + 6 * factor]
    # Corners and centre of every enlarged pixel.
    for offset in (0, factor // 2, factor - 1):
      np.testing.assert_array_equal(tile[offset::factor, offset::factor], image)
  assert (out[:2] == 255).all() and (out[:, -2:] == 255).all()  # the margin
  assert (out[2 + 4 * factor + 2 :, 2 * (6 * factor + 2) + 2 :] == 255).all()  # the empty place


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (64, 8, 8, 1), (100, 28, 28, 3), (7, 5, 3, 4)])
def test_grid_is_wide_enough_and_about_square(shape):
  out = pictures.grid(np.zeros(shape, np.uint8))
  assert 600 <= out.shape[1] < 600 + 2 * shape[2] * shape[0]
  assert out.shape[2] == shape[3]


def test_grid_leaves_large_images_alone_and_has_no_empty_columns(rng):
  image = rng.integers(0, 256, (1, 10, 700, 3), np.uint8)
  np.testing.assert_array_equal(pictures.grid(image, columns=8, pad=0), image[0])


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_keeps_every_byte(tmp_path, rng, channels, mode):
  image = rng.integers(0, 256, (9, 7, channels), np.uint8)
  for name in ("a.png", "b.png"):
    pictures.save_png(tmp_path / name, image)
  assert Image.open(tmp_path / "a.png").mode == mode
  np.testing.assert_array_equal(read(tmp_path / "a.png").reshape(image.shape), image)
  assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch, rng):
  path = tmp_path / "a.png"
  pictures.save_png(path, np.zeros((4, 4, 1), np.uint8))
  before = path.read_bytes()

  def full(self, data):
    with open(self, "wb") as file:
      file.write(data[: len(data) // 2])
    raise OSError("disk full")

  monkeypatch.setattr("pathlib.Path.write_bytes", full)
  with pytest.raises(OSError, match="disk full"):
    pictures.save_png(path, rng.integers(0, 256, (40, 40, 3), np.uint8))
  assert path.read_bytes() == before


def test_no_temporary_file_is_left(tmp_path):
  pictures.save_png(tmp_path / "a.png", np.zeros((4, 4, 1), np.uint8))
  pictures.save_gif(tmp_path / "a.gif", np.zeros((1, 4, 4, 1), np.uint8), 20)
  assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gif", "a.png"]


def test_gif_frames_and_their_times(tmp_path):
  frames = np.zeros((5, 8, 6, 1), np.uint8) + np.arange(0, 250, 50, np.uint8)[:, None, None, None]
  pictures.save_gif(tmp_path / "a.gif", frames, 40)
  with Image.open(tmp_path / "a.gif") as gif:
    assert (gif.n_frames, gif.size, gif.info["loop"]) == (5, (6, 8), 0)
    for i, expected in enumerate(frames):
      gif.seek(i)
      np.testing.assert_array_equal(np.asarray(gif.convert("L")), expected[..., 0])
      assert gif.info["duration"] == (40 if i < 4 else 40 + pictures.HOLD_MS)


def test_gif_keeps_the_order_of_colours(tmp_path):
  frames = np.zeros((3, 8, 8, 3), np.uint8)
  for i in range(3):
    frames[i, ..., i] = 255
  pictures.save_gif(tmp_path / "a.gif", frames, 40)
  with Image.open(tmp_path / "a.gif") as gif:
    for i in range(3):
      gif.seek(i)
      np.testing.assert_array_equal(np.asarray(gif.convert("RGB")), frames[i])


def test_scatter_has_equal_axes(tmp_path):
  # A cross whose arms are of one length, in data that is offset in one direction only.
  arm = np.linspace(-1, 1, 400)
  zero = np.zeros_like(arm)
  points = np.concatenate([np.stack([arm, zero], 1), np.stack([zero, arm], 1)]) + [100, 0]
  pictures.scatter(tmp_path / "a.png", points)
  image = read(tmp_path / "a.png")
  blue = (image[..., 2] > 150) & (image[..., 0] < 100)
  rows, columns = np.nonzero(blue)
  assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=3)
  assert np.ptp(rows) > 200


def test_scatter_draws_the_reference_in_grey_and_below(tmp_path, rng):
  points = rng.standard_normal((50, 2))
  image = pictures.scatter(tmp_path / "a.png", points, points + [8, 0])
  half = image.shape[1] // 2
  coloured = np.ptp(image.astype(int), axis=-1) > 60
  assert coloured[:, :half].any() and not coloured[:, half:].any()
  assert ((image == 191).all(axis=-1))[:, half:].any()
  np.testing.assert_array_equal(image, read(tmp_path / "a.png"))


def test_curves(tmp_path):
  rows = [{"stage": 0, "step": s, "loss": 1 / s, "kl": "nan" if s == 3 else s} for s in range(1, 6)]
  pictures.curves(tmp_path / "one.png", rows, ["loss"])
  pictures.curves(tmp_path / "two.png", [*rows, {"step": 6, "loss": 0.1}], ["loss", "kl"])
  one, two = read(tmp_path / "one.png"), read(tmp_path / "two.png")
  assert two.shape == (one.shape[0], 2 * one.shape[1], 3)
  more = [dict(row, stage=1) for row in rows]
  pictures.curves(tmp_path / "stages.png", rows + more, ["loss"])
  orange = (read(tmp_path / "stages.png") == [255, 127, 14]).all(axis=-1)
  assert orange.any() and not (one == [255, 127, 14]).all(axis=-1).any()
  left, right = np.array_split(two, 2, axis=1)
  loss, kl = ((half == [31, 119, 180]).all(axis=-1) for half in (left, right))
  for line, direction in ((loss, 1), (kl, -1)):
    columns = np.nonzero(line.any(axis=0))[0]
    heights = line[:, columns].argmax(axis=0)
    assert (np.diff(heights) * direction >= 0).all() and np.ptp(heights) > 100
  gap = np.diff(np.nonzero(kl.any(axis=0))[0]).max()
  assert gap > 100 > np.diff(np.nonzero(loss.any(axis=0))[0]).max()


def test_show_chooses_the_picture(tmp_path, rng):
  images = rng.integers(0, 17, (6, 8, 8, 1))
  shown = pictures.show(tmp_path / "images.png", images, 17, columns=3)
  np.testing.assert_array_equal(read(tmp_path / "images.png"), shown[..., 0])
  np.testing.assert_array_equal(shown, pictures.grid(pictures.to_uint8(images, 17), 3))
  assert pictures.show(tmp_path / "points.png", rng.standard_normal((9, 2)), None).shape[2] == 3
  assert pictures.show(tmp_path / "tokens.png", rng.integers(0, 9, (6, 12)), 9) is None
  assert {p.name for p in tmp_path.iterdir()} == {"images.png", "points.png"}


def test_show_gif_chooses_the_picture(tmp_path, rng):
  assert pictures.show_gif(tmp_path / "images.gif", rng.integers(0, 17, (4, 6, 8, 8, 1)), 17)
  assert pictures.show_gif(tmp_path / "points.gif", rng.standard_normal((3, 9, 2)), None)
  assert not pictures.show_gif(tmp_path / "tokens.gif", rng.integers(0, 9, (3, 6, 12)), 9)
  assert {p.name: Image.open(p).n_frames for p in tmp_path.iterdir()} == {
    "images.gif": 4,
    "points.gif": 3,
  }


def test_points_of_an_animation_stay_on_one_scale(tmp_path):
  # The same two points stand still while a third goes away: they must not move in the picture.
  still = np.array([[0.0, 0], [1, 1]])
  frames = np.stack([np.vstack([still, [[x, 0.0]]]) for x in (0.5, 5.0)])
  pictures.show_gif(tmp_path / "a.gif", frames, None)
  with Image.open(tmp_path / "a.gif") as gif:
    spots = []
    for i in range(2):
      gif.seek(i)
      pixels = np.asarray(gif.convert("RGB")).astype(int)
      rows, columns = np.nonzero((pixels[..., 2] > 150) & (pixels[..., 0] < 100))
      spots.append((columns.min(), rows.min()))
  assert spots[0] == spots[1]


def test_heat_maps_keep_the_order_of_their_values(tmp_path):
  maps = np.stack([np.full((10, 10), v) for v in (0.0, 1.0, 5.0)])
  image = pictures.heat(tmp_path / "heat.png", maps, 1.0)
  np.testing.assert_array_equal(read(tmp_path / "heat.png"), image)
  third = image.shape[1] // 3
  dark, bright, above = (image[20, third // 2 + i * third].astype(int) for i in range(3))
  assert dark.sum() < bright.sum()
  np.testing.assert_array_equal(bright, above)  # what is over the top is clipped to it


def test_pictures_of_a_model_s_parameters_are_named_files(tmp_path):
  shown = {"components": np.full((3, 4, 4, 1), 16.0), "points": np.zeros((5, 2))}
  shown["code"] = np.ones(7)
  (tmp_path / "pictures").mkdir()
  training.save_pictures(tmp_path / "pictures", shown, 17)
  names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
  assert names == ["components.png", "points.png"]  # a vector has no picture
  assert read(tmp_path / "pictures" / "components.png").max() == 255


def test_clips_are_film_strips_a_row_each(tmp_path):
  x = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 8, 1)).astype(np.uint8)
  shown = pictures.show(tmp_path / "clips.png", x, 256, columns=2)
  same = pictures.show(tmp_path / "images.png", x.reshape(12, 8, 8, 1), 256, columns=4)
  np.testing.assert_array_equal(shown, same)


def test_transparent_pictures_are_laid_on_white_beside_others_only():
  opaque = np.full((2, 4, 4, 3), 100, np.uint8)
  alpha = np.zeros((2, 4, 4, 1), np.uint8)
  alpha[0], alpha[1, :2] = 255, 51
  clear = np.concatenate([opaque, alpha], -1)
  first, second = pictures.alike([clear, opaque])
  assert first.shape == second.shape == opaque.shape
  np.testing.assert_array_equal(first[0], opaque[0])
  assert (first[1, :2] == 100 // 5 + 255 * 4 // 5).all() and (first[1, 2:] == 255).all()
  grey = pictures.alike([clear[..., :1], clear[..., [0, 3]]])
  assert [x.shape[-1] for x in grey] == [1, 1]
  assert pictures.alike([clear, clear])[0] is not None
  np.testing.assert_array_equal(pictures.alike([clear, clear])[0], clear)
