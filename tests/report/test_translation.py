"""The measure of translations, of digits black on white for white on black, by networks whose
errors follow from the digits alone."""

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax import config as configs
from gen_jax.models import cyclegan
from gen_jax.report import measures
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
  records = measures.take(("translation",), seen)
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
