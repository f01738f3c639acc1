"""Tables of errors: means, and differences pair by pair; and what each arm learns from."""

import numpy as np
import pytest

from benchmarks import augment, few_labels, seeds
from gen_jax.core import UserError


def test_differences_are_paired():
  scratch, other = [0.10, 0.20, 0.30], [0.08, 0.19, 0.27]
  found = {2: {"scratch": scratch, "code": other}}
  lines = few_labels.markdown(found).splitlines()
  assert lines[0] == "| labels a class | scratch | code |"
  # differences -2, -1, -3: their mean, and deviation 1 over sqrt(3)
  assert lines[2] == "| 2 | 20.0 +- 8.2 | 18.0 +- 7.8 (-2.0 +- 0.6) |"
  arms = dict.fromkeys(augment.ARMS, scratch) | {"only": other, "nearest": [0.5, 0.7, 0.6]}
  line = augment.markdown({5: arms}).splitlines()[2]
  assert "(-2.0 +- 0.6)" in line and line.endswith("| 0.60 |") and "(+0.0 +- 0.0)" in line


def test_arms_are_half_images_and_half_samples():
  real = {"x": np.arange(7)[:, None], "label": np.arange(7)}
  made = {"x": -np.ones((augment.MADE, 1), int), "label": np.zeros(augment.MADE, int)}
  arms = {name: arrays for name, (arrays, _) in augment.sets(real, made, 0).items()}
  assert arms["real"] is real and arms["shift"] is real and arms["only"] is made
  for name in ("samples", "both"):
    assert (arms[name]["x"] == -1).mean() == 0.5
  x = arms["twice"]["x"][:, 0]
  np.testing.assert_array_equal(x, arms["twice"]["label"])
  assert np.bincount(x).min() > 0.8 * len(x) / 7
  moved = {name for name, (_, how) in augment.sets(real, made, 0).items() if how}
  assert moved == {"shift", "both"}


@pytest.mark.parametrize("module", [few_labels, augment])
def test_refusals(module, capsys):
  assert module.main(["--labels=a"]) == 2
  assert "whole numbers" in capsys.readouterr().err


def test_settings_and_rows_of_seeds():
  assert seeds.nested("model.alpha=2") == {"model": {"alpha": 2}}
  assert seeds.nested("data.path=a/b") == {"data": {"path": "a/b"}}
  with pytest.raises(UserError, match="write FIELD=VALUE"):
    seeds.nested("model.alpha")
  lines = seeds.markdown({"a": {"error": [0.1, 0.3]}, "b": {"gap": [1.0]}}).splitlines()
  assert lines[2] == "| a | 0.200 +- 0.100 |  |" and lines[3] == "| b |  | 1.000 +- 0.000 |"
