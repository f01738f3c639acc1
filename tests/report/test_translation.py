"""The measure of translations, of digits black on white for white on black, by networks whose
errors follow from the digits alone."""

import types

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as configs
from gen_jax.core import UserError
from gen_jax.data import load
from gen_jax.models import cyclegan
from gen_jax.report import measures
from gen_jax.report.measures import translation
from gen_jax.report.scene import Scene
from gen_jax.run.setup import set_up
from gen_jax.run.system import Trained

NAMES = ("generator_x", "generator_y", "critic_x", "critic_y")


def measured(monkeypatch, mesh, network, direction="x_to_y"):
  """The records, and the white digits [N, 8, 8, 1] in [0, 1] of the test split."""
  monkeypatch.setattr(cyclegan.Translator, "apply", lambda self, variables, x: network(x))
  config = configs.experiment(
    "gen_jax.models.cyclegan.build",
    model=dict(generator=dict(widths=(4,)), critic=dict(widths=(4,))),
    data=dict(name="domains:inverted"),
    sample=dict(direction=direction),
  )
  system = set_up(config.to_dict(), mesh)
  state = {"params": dict.fromkeys(NAMES, {}), "ema": {}}
  seen = Scene(Trained(system, [state], None))
  records = measures.take(("translation", "cycle"), seen)
  return records, seen.real["x"] / (system.spec.levels - 1)


@pytest.mark.parametrize("direction", ["x_to_y", "y_to_x"])
def test_networks_that_change_nothing_err_as_much_as_doing_nothing(monkeypatch, mesh, direction):
  records, x = measured(monkeypatch, mesh, lambda x: x, direction)
  apart = ((2 * x - 1) ** 2).mean()  # the counterpart of x is 1 - x
  found = records["counterpart_error"]
  assert found["value"] == pytest.approx(apart, rel=1e-5)
  assert found["of_input"] == pytest.approx(found["value"], rel=1e-6)
  assert found["psnr"] == pytest.approx(-10 * np.log10(apart), rel=1e-4)
  assert found["direction"] == direction and found["examples"] == len(x)
  assert found["other_way"]["direction"] != direction
  assert records["cycle_error_rounded"]["value"] == records["identity_error"]["value"] == 0


def test_the_right_translation_errs_nowhere_but_on_its_own_target(monkeypatch, mesh):
  records, x = measured(monkeypatch, mesh, lambda x: -x)  # in [-1, 1]
  apart = ((2 * x - 1) ** 2).mean()
  assert records["counterpart_error"]["value"] == 0
  assert records["counterpart_error"]["of_input"] == pytest.approx(apart, rel=1e-5)
  assert records["identity_error"]["value"] == pytest.approx(apart, rel=1e-5)
  assert records["cycle_error_rounded"]["value"] == 0


def test_a_cycle_is_measured_after_rounding(monkeypatch, mesh):
  """Two changes, each of less than half a level, would be one of a level if they added up."""
  records, _ = measured(monkeypatch, mesh, lambda x: jnp.where(x > 0, x - 0.9 / 16, x))
  assert records["cycle_error_rounded"]["value"] == 0


def nearest(source, name):
  """A judge by the nearest of pictures it was trained on."""
  train = source.splits["train"].arrays()
  flat = lambda x: np.asarray(x, np.float32).reshape(len(x), -1)
  known = flat(train["x"])

  def predict(x):
    apart = ((flat(x)[:, None] - known[None, :400]) ** 2).sum(-1)
    return train["label"][:400][apart.argmin(1)]

  return types.SimpleNamespace(predict=predict, accuracy=0.5, name=name)


@pytest.mark.parametrize("direction", ["x_to_y", "y_to_x"])
def test_translations_are_read_by_a_judge_of_the_other_domain(monkeypatch, mesh, direction):
  asked = []

  def judge(self, source, name):
    asked.append((name, source.splits["train"].arrays()["x"].mean()))
    return nearest(source, name)

  monkeypatch.setattr(Scene, "train_judge", judge)
  right = read(monkeypatch, mesh, lambda x: -x, direction)
  nothing = read(monkeypatch, mesh, lambda x: x, direction)
  assert right["value"] > 0.9 and right["of_input"] == nothing["value"] < 0.4
  to = direction[-1]
  assert asked[0][0] == f"real {to}" and (asked[0][1] > 8) == (to == "y")  # y is black on white
  assert right["other_way"]["value"] > 0.9 and asked[1][0] != asked[0][0]


def read(monkeypatch, mesh, network, direction):
  monkeypatch.setattr(cyclegan.Translator, "apply", lambda self, variables, x: network(x))
  config = configs.experiment(
    "gen_jax.models.cyclegan.build",
    model=dict(generator=dict(widths=(4,)), critic=dict(widths=(4,))),
    data=dict(name="domains:inverted"), sample=dict(direction=direction),
  )  # fmt: skip
  system = set_up(config.to_dict(), mesh)
  state = {"params": dict.fromkeys(NAMES, {}), "ema": {}}
  return measures.take(("translated_accuracy",), Scene(Trained(system, [state], None)))[
    "translated_accuracy"
  ]


def test_domains_of_unequal_number_are_measured_whole(tmp_path, mesh):
  """y has more test examples than x, and a label of its own."""
  rng = np.random.default_rng(0)
  path = tmp_path / "other.npz"
  label = rng.integers(10, size=50)
  x = rng.integers(17, size=(50, 8, 8, 1)).astype(np.int32)
  np.savez(path, train_x=x[:10], train_label=label[:10], test_x=x[10:], test_label=label[10:],
           levels=17, classes=10)  # fmt: skip
  source = load("digits", other=str(path), test=0.01)
  assert source.spec.fields["label_y"].levels == 10 and len(source.splits["test"]) == 18
  test = translation.of_domain(source.splits["test"], "y").arrays()
  np.testing.assert_array_equal(test["label_y"], label[10:])
  with pytest.raises(UserError, match="data.other='nowhere.npz': there is no such file"):
    load("digits", other="nowhere.npz")
  one = translation.domain(source, "y")
  np.testing.assert_array_equal(one.splits["test"].arrays()["x"], x[10:])
  assert one.spec.levels == 17 and one.spec.classes == 10


def test_the_measure_of_sprites_reads_what_is_kept(monkeypatch, mesh):
  config = configs.experiment(
    "gen_jax.models.cyclegan.build",
    model=dict(generator=dict(widths=(4,)), critic=dict(widths=(4,))),
    data=dict(name="domains:colour", resolution=16),
  )
  system = set_up(config.to_dict(), mesh)
  state = {"params": dict.fromkeys(NAMES, {}), "ema": {}}

  def by(network):
    monkeypatch.setattr(cyclegan.Translator, "apply", lambda self, variables, x: network(x))
    return measures.take(("sprite_counterparts",), Scene(Trained(system, [state], None)))[
      "counterpart_iou"
    ]

  right = by(lambda x: x[..., ::-1])
  assert right["value"] == right["area_ratio"] == right["of_input"] == 1
  assert right["shift"] == right["colour_difference"] == right["missing"] == 0
  red = by(lambda x: x)
  assert red["value"] == 1 and red["colour_difference"] == pytest.approx(
    0.6, abs=0.07
  )  # of 2/3: rims are darker
  moved = by(lambda x: jnp.roll(x[..., ::-1], 2, axis=1))
  assert moved["shift"] == pytest.approx(2, abs=0.2) and 0 < moved["value"] < 1
  assert by(lambda x: 0 * x - 1)["missing"] == 1
