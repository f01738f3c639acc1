"""The shares of classes among samples, for a judge whose reading is known."""

import types

import numpy as np
import pytest

from gen_jax.core import Spec
from gen_jax.report.judge import Judge
from gen_jax.report.measures import coverage


def scene_of(samples, real, classes):
  judge = Judge(lambda x: x[:, 0], None, 0.9)
  record = lambda value, **facts: {"value": float(value), **facts}
  return types.SimpleNamespace(
    spec=Spec.of((1,), classes=classes), judge=judge, record=record,
    samples={"x": np.array(samples)[:, None]}, real={"x": np.array(real)[:, None]},
    extractor=lambda: {},
  )  # fmt: skip


@pytest.mark.parametrize(
  "samples,smallest,entropy",
  [
    ([0, 1, 2, 3], 0.25, np.log(4)),
    ([0, 0, 1, 1, 2, 2], 0, np.log(3)),  # class 3 is lost
    ([2, 2, 2], 0, 0),
    ([0, 0, 0, 0, 0, 1, 2, 3], 0.125, 5 / 8 * np.log(8 / 5) + 3 / 8 * np.log(8)),
  ],
)
def test_class_shares(samples, smallest, entropy):
  found = coverage.class_shares(scene_of(samples, [0, 1, 2, 3, 3, 3, 3, 3], 4))
  assert found["smallest_class_share"]["value"] == smallest
  np.testing.assert_allclose(found["class_share_entropy"]["value"], entropy, atol=1e-12)
  assert found["smallest_class_share"]["of_real_data"] == 0.125


def test_channel_modes_are_read_channel_by_channel():
  # Pixels are their own classes, of three; two channels have nine modes.
  judge = Judge(lambda x: x[:, 0, 0, 0], None, 0.9)
  single = types.SimpleNamespace(spec=Spec.of((1, 1, 1), classes=3))
  real = np.indices((3, 3)).reshape(2, 9).T[:, None, None, :]
  drawn = np.array([[0, 0], [0, 0], [0, 1], [2, 1]])[:, None, None, :]
  asked = []
  scene = types.SimpleNamespace(
    spec=Spec.of((1, 1, 2)), source=types.SimpleNamespace(notes={"channels": single}),
    train_judge=lambda source, name: asked.append((source, name)) or judge,
    record=lambda value, **facts: {"value": float(value), **facts},
    samples={"x": drawn}, real={"x": real},
  )  # fmt: skip
  found = coverage.channel_modes(scene)
  assert asked == [(single, "real")]
  assert found["channel_modes"]["value"] == 3 and found["channel_modes"]["of_real_data"] == 9
  # Shares 1/2, 1/4, 1/4: the entropy is 1.5 log 2.
  np.testing.assert_allclose(found["channel_reverse_kl"]["value"], np.log(9) - 1.5 * np.log(2))
  np.testing.assert_allclose(found["channel_reverse_kl"]["of_real_data"], 0, atol=1e-12)


def test_modes_and_health_are_records_of_what_the_metrics_say():
  notes = {"modes": np.array([[0.0, 0.0], [9.0, 0.0]]), "mode_deviation": 1.0}
  rng = np.random.default_rng(0)
  real = notes["modes"][np.arange(400) % 2] + rng.normal(size=(400, 2))
  rows = [{"critic_on_real": 0.0, "critic_on_fake": 0.0, "critic_gradient_norm": 1.0}] * 8
  scene = types.SimpleNamespace(
    source=types.SimpleNamespace(notes=notes), rows=rows, real={"x": real}, train={"x": real},
    samples={"x": real[::2]}, record=lambda value, **facts: {"value": float(value), **facts},
  )  # fmt: skip
  found = coverage.modes(scene)
  assert found["modes_covered"]["value"] == 1 and found["modes_covered"]["of_real_data"] == 2
  np.testing.assert_allclose(found["reverse_kl"]["value"], np.log(2))
  (health,) = coverage.health(scene).values()
  scene.samples = {"x": real[::2][:1].repeat(50, axis=0)}
  (collapsed,) = coverage.health(scene).values()
  assert collapsed["value"] == 0 and collapsed["verdict"] == "collapsed"
  assert collapsed["says"].startswith("collapsed: samples fill") and "spread_ratio" in health
