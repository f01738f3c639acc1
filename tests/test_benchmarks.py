"""The benchmark of modes: its table, its refusals, and that it goes on with what it began."""

import json

import pytest

from benchmarks import modes
from gen_jax.sweep import summary


def test_the_table_has_the_published_figures_beside():
  row = {"modes": 25, "steps": 9, "seeds": 2} | {
    "modes_covered": summary([20.0, 22.0]), "high_quality_share": summary([0.5, 0.5]),
    "reverse_kl": summary([0.25, 0.25]),
  }  # fmt: skip
  lines = modes.markdown({"ns-packing4-grid25": row, "wgan_gp-grid25": row}).splitlines()
  expected = "| ns-packing4-grid25 | 9 | 2 | 21 ± 1.4 of 25 | 0.5 ± 0 | 0.25 ± 0 | 24.8, 93.6% |"
  assert lines[2] == expected and lines[3].endswith("| 0.25 ± 0 |  |")


@pytest.mark.parametrize("argv", [["--only", "ns-ring9"], ["--seeds", "0"], ["--steps", "30"]])
def test_refusals_in_one_line(argv, tmp_path, capsys):
  assert modes.main([*argv, "--workdir", str(tmp_path)]) == 2
  assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_two_seeds_and_then_more_steps(tmp_path):
  argv = ["--only", "ns-ring8", "--seeds", "2", "--workdir", str(tmp_path)]
  for steps in ("500", "1000"):
    assert modes.main([*argv, "--steps", steps]) == 0
    (row,) = json.loads((tmp_path / "modes.json").read_text()).values()
    assert row["steps"] == int(steps) and len(row["modes_covered"]["values"]) == 2
  (folder,) = tmp_path.glob("ns-ring8-*")
  rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
  assert [row["step"] for row in rows] == [500, 1000]
