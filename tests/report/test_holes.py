"""The measure of what is in holes, of models that leave a known one."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Model, Spec
from gen_jax.data import ArraySplit, Source
from gen_jax.report import measures
from gen_jax.report.judge import Judge
from gen_jax.report.measures import holes as measured
from tests.report import made

SPEC = Spec.of((12, 10, 3), 256)
HOLE = np.zeros((12, 10), bool)
HOLE[3:7, 4:8] = True


def observe(states, x, keys, cond):
  alpha = jnp.broadcast_to(jnp.where(HOLE, 0, 255)[..., None], (*x.shape[:3], 1))
  return jnp.where(HOLE[..., None], 0, jnp.concatenate([x, alpha.astype(x.dtype)], -1))


def smooth(n=40):
  """Ramps, which their harmonic extension continues exactly but for rounding."""
  i, j = np.meshgrid(np.arange(12), np.arange(10), indexing="ij")
  slopes = np.random.default_rng(0).integers(-5, 6, size=(2, n, 1, 1, 3))
  return (100 + slopes[0] * i[..., None] + slopes[1] * j[..., None]).astype(np.uint8)


def taken(transform, x, observe=observe, train=None):
  splits = {"train": ArraySplit({"x": x if train is None else train}), "test": ArraySplit({"x": x})}
  source = Source("made", SPEC, splits, {})
  model = Model(init=None, update=None, evaluate=None, transform=transform, observe=observe)
  return measures.take(("hole_psnr",), made.scene(model, source))


def test_a_hole_that_is_off_by_ten_levels_whatever_is_around_it():
  x = smooth()
  filled = lambda states, given, keys, cond: jnp.where(
    HOLE[..., None], x_of(given, x) + 10, given[..., :3] + 50
  )
  record = taken(filled, x)["hole_psnr"]
  assert record["value"] == pytest.approx(20 * np.log10(255 / 10), rel=1e-5)
  assert record["share_hidden"] == pytest.approx(16 / 120)
  assert record["of_harmonic"] > 80  # of ramps


def x_of(given, x):
  """The pictures that these were, by their first rows."""
  rows = jnp.asarray(x[:, :3].reshape(len(x), -1), jnp.int32)
  seen = given[:, :3, :, :3].reshape(len(given), -1).astype(jnp.int32)
  index = (rows[None] != seen[:, None]).sum(-1).argmin(1)
  return jnp.asarray(x)[index].astype(jnp.int32)


def test_the_mean_colour_has_the_variance_of_what_is_in_the_holes():
  x = np.random.default_rng(1).integers(0, 256, size=(200, 12, 10, 3)).astype(np.uint8)
  mean = x.mean((0, 1, 2))
  filled = lambda states, given, keys, cond: jnp.broadcast_to(jnp.round(mean), given[..., :3].shape)
  record = taken(filled, x)["hole_psnr"]
  variance = ((x[:, HOLE] - mean) ** 2).mean() / 255**2
  assert record["of_mean"] == pytest.approx(-10 * np.log10(variance), rel=1e-4)
  assert record["value"] == pytest.approx(record["of_mean"], rel=1e-3)


def test_a_linear_world_is_filled_by_the_gaussian():
  rng = np.random.default_rng(2)
  directions = rng.standard_normal((3, 12, 10, 3))
  x = 128 + 15 * np.tensordot(rng.standard_normal((400, 3)), directions, 1)
  x = np.rint(x.clip(0, 255)).astype(np.uint8)
  record = taken(lambda states, given, keys, cond: given[..., :3], x[:100], train=x[100:])
  assert record["hole_psnr"]["of_linear"] > 30 > record["hole_psnr"]["of_harmonic"] + 5


def test_what_a_judge_reads_in_completed_pictures():
  """Pictures of one level, told from their holes alone; of class 3 the holes are filled wrong."""
  label = np.arange(40) % 4
  x = np.broadcast_to(60 * label[:, None, None, None], (40, 12, 10, 3)).astype(np.uint8)
  split = ArraySplit({"x": x, "label": label.astype(np.int32)})
  source = Source("made", Spec.of((12, 10, 3), 256, 4), {"train": split, "test": split}, {})
  read = lambda x: np.rint(x[:, HOLE].mean((1, 2)) / 60).astype(int)
  judge = lambda source, name: Judge(read, None, 0.75)

  def record_of(observe):
    level = lambda given: given[:, :1, :1, :3] % 180
    fill = lambda states, given, keys, cond: jnp.where(
      HOLE[..., None], level(given), given[..., :3]
    )
    model = Model(None, None, None, transform=fill, observe=observe, cond=("label",))
    scene = made.scene(model, source, judges=judge)
    return measures.take(("completion_accuracy",), scene)["completion_accuracy"]

  record = record_of(observe)
  assert record["value"] == 0.75 and record["of_given"] == 0.25 and record["of_real"] == 1
  assert record["told"] == ["label"] and record["extractor_accuracy"] == 0.75
  assert record["share_hidden"] == pytest.approx(16 / 120) and record["examples"] == 40
  assert "needs pictures with an alpha" in record_of(lambda states, x, keys, cond: x)["why"]


def test_how_rough_what_is_filled_in_is():
  x = np.random.default_rng(3).integers(0, 256, size=(30, 12, 10, 3)).astype(np.uint8)
  flat = lambda states, given, keys, cond: jnp.where(HOLE[..., None], 128, given[..., :3])
  copied = lambda states, given, keys, cond: x_of(given, x)
  assert taken(copied, x)["hole_gradient"]["value"] == pytest.approx(1, rel=1e-6)
  record = taken(flat, x)["hole_gradient"]
  assert 0.1 < record["value"] < 0.4  # at its border only
  black = taken(flat, np.zeros_like(x))["hole_gradient"]
  assert black["value"] is None and "flat" in black["why"]


@pytest.mark.parametrize(
  "observe,words",
  [
    (lambda states, x, keys, cond: x, "alpha"),
    (
      lambda states, x, keys, cond: jnp.pad(x, [(0, 0)] * 3 + [(0, 1)], constant_values=255),
      "no hole",
    ),
  ],
)
def test_pictures_without_a_hole_have_no_figure(observe, words):
  record = taken(lambda states, given, keys, cond: given[..., :3], smooth(), observe)
  assert record["hole_psnr"]["value"] is None and words in record["hole_psnr"]["why"]


@pytest.mark.parametrize(
  "spec,words",
  [
    (Spec.of((2,)), "images with grey levels"),
    (Spec.of((8, 8, 3), 256, y=Field((8, 8, 3), 256)), "translates"),
  ],
)
def test_what_it_cannot_be_taken_of(spec, words):
  model = Model(init=None, update=None, evaluate=None, observe=observe, transform=observe)
  assert words in measured.unfit(made.trained(model, spec=spec).system)
