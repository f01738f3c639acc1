"""Benchmarks: their tables, their refusals, and that they go on with what they began."""

import gzip
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from benchmarks import (
  devices,
  feeds,
  kills,
  limits,
  modes,
  pairs,
  processes,
  profiles,
  samplers,
  scaling,
  starts,
)
from gen_jax import data
from gen_jax.app.sweep import summary
from gen_jax.core import UserError
from gen_jax.data import shapes


def test_the_table_has_the_published_figures_beside():
  row = {"modes": 25, "steps": 9, "seeds": 2} | {
    "modes_covered": summary([20.0, 22.0]), "high_quality_share": summary([0.5, 0.5]),
    "reverse_kl": summary([0.25, 0.25]),
  }  # fmt: skip
  names = ("ns-packing4-grid25", "wgan_gp-grid25", "unrolled-grid25")
  lines = modes.markdown(dict.fromkeys(names, row)).splitlines()
  expected = "| ns-packing4-grid25 | 9 | 2 | 21 ± 1.4 of 25 | 0.5 ± 0 | 0.25 ± 0 | 24.8, 93.6% |"
  assert lines[2] == expected and lines[3].endswith("| 0.25 ± 0 |  |")
  assert lines[4].endswith("| 0.25 ± 0 | 23.6 |")


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
  assert (folder / "samples-1.png").exists() and (tmp_path / "modes.png").exists()


def test_kills_counts_what_differs():
  once = dict.fromkeys(kills.KINDS, 0) | {"saving": 2, "measuring": 1}
  same = {"kills": once, "compared": 3, "differences": []}
  other = {"kills": once, "compared": 3, "differences": ["weights.safetensors"]}
  lines = kills.markdown({"a": same, "b": other}).splitlines()
  assert lines[2:] == [
    "| a | 0 | 2 | 0 | 0 | 1 | 3 | 0 |",
    "| b | 0 | 2 | 0 | 0 | 1 | 3 | weights.safetensors |",
    "| all | 0 | 4 | 0 | 0 | 2 | 6 | 1 |",
  ]  # fmt: skip


def test_kills_names_what_differs(tmp_path):
  for name in ("a", "b"):
    (tmp_path / name / "samples").mkdir(parents=True)
    (tmp_path / name / "weights.safetensors").write_bytes(name.encode())
    (tmp_path / name / "samples" / "1.png").write_bytes(b"same")
    row = {"stage": 0, "step": 1, "loss": 2.0, "seconds": ord(name)}
    (tmp_path / name / "metrics.jsonl").write_text(json.dumps(row) + "\n")
  (tmp_path / "b" / "samples" / "2.png").write_bytes(b"more")
  found = kills.differences(*(kills.content(tmp_path / name) for name in ("a", "b")))
  assert found == ["samples/2.png", "weights.safetensors"]


@pytest.mark.slow
def test_one_system_killed_twice_has_no_differences(tmp_path):
  assert kills.main(["--only", "vae", "--workdir", str(tmp_path)]) == 0
  (row,) = json.loads((tmp_path / "kills.json").read_text()).values()
  killed = sum(row["kills"].values())
  assert row["kills"]["measuring"] == 1 and killed >= 2 and row["compared"] >= 5
  assert not row["differences"] and row["launches"] <= killed + 1  # one may end before it is noted


def test_devices_measures_how_far_apart_states_are():
  a = {"w": np.array([1.0, -3.0]), "n": np.int32(7)}
  b = {"w": np.array([1.0, -3.4]), "n": np.int32(7)}
  assert devices.apart(a, a) == 0
  np.testing.assert_allclose(devices.apart(a, b), 0.1)
  assert devices.markdown({"vae": (0.0, 1e-12, 3e-7)}).splitlines()[-1] == (
    "| vae | 0.0e+00 | 1.0e-12 | 3.0e-07 |"
  )


def test_processes_measures_how_far_apart_rows_are(tmp_path):
  for name, loss in (("one", 1.0), ("two", 1.2)):
    (tmp_path / name).mkdir()
    row = {"stage": 0, "step": 1, "loss": loss, "seconds": loss}
    (tmp_path / name / "metrics.jsonl").write_text(json.dumps(row) + "\n")
  assert processes.apart(tmp_path / "one", tmp_path / "one") == 0
  np.testing.assert_allclose(processes.apart(tmp_path / "one", tmp_path / "two"), 0.1)


def test_scaling_counts_the_bytes_of_collectives():
  text = """
  %all-reduce.1 = (f32[8,4]{1,0}, f32[]) all-reduce(%a, %b), replica_groups={{0,1}}
  %ag = bf16[16,2]{1,0} all-gather(%c), dimensions={0}
  %fusion = f32[100]{0} fusion(%all-reduce.1), kind=kLoop
  """
  found = scaling.collectives(text)
  assert found["all-reduce"] == 4 * 33 and found["all-gather"] == 2 * 32
  assert found["reduce-scatter"] == 0


def test_the_sides_of_a_pair_work_in_turns(tmp_path, monkeypatch):
  side = "def {}():\n  return {{'version': '{}', 'parameters': {}}}, lambda: 1.5\n"
  source = side.format("ours", "a 1", 7) + side.format("peer", "b 2", 7)
  (tmp_path / "sides").mkdir()
  (tmp_path / "sides" / "x.py").write_text(source + side.format("other", "c 3", 8))
  monkeypatch.setattr(pairs, "SIDES", tmp_path / "sides")
  monkeypatch.setattr(pairs, "PAIRS", {"x": pairs.Pair("x", "ours", ("peer",), "nothing")})
  found = pairs.measure(pairs.PAIRS["x"], sys.executable, rounds=3, env={})
  assert found["ours"]["loss"] == found["peer"]["loss"] == 1.5
  assert found["peer"]["fastest"] <= found["peer"]["seconds"] <= found["peer"]["slowest"]
  row = pairs.markdown({"x": found}).splitlines()[-1]
  assert row.startswith("| nothing | 7 |") and "| b 2 |" in row
  with pytest.raises(UserError, match="differ in their parameters: ours 7, other 8"):
    pairs.measure(pairs.Pair("x", "ours", ("other",), "nothing"), sys.executable, rounds=1, env={})


def test_a_profile_has_the_share_of_each_kind_of_operation(tmp_path):
  def f(image, kernel, a):
    for _ in range(2):
      a = jax.lax.fori_loop(0, 3, lambda i, a: jnp.tanh(a @ a), a)
    return jax.lax.conv(image, kernel, (1, 1), "SAME"), a

  sizes = (2, 8, 16, 16), (8, 8, 3, 3), (128, 128)
  hlo = jax.jit(f).lower(*map(jnp.zeros, sizes)).compile().as_text()
  found = profiles.kinds(hlo)
  a_kind = {which: next(k for k, v in found.items() if v == which) for which in found.values()}
  assert {"convolutions", "products", "rest"} <= set(a_kind)
  assert not any(name.startswith("while") for name in found)

  (tmp_path / "module_0007.jit_f.cpu_after_optimizations.txt").write_text(hlo)
  spent = {a_kind["convolutions"]: 3.0, a_kind["products"]: 1.0, "while.1": 9.0}
  seen = [
    {"ph": "X", "dur": dur, "args": {"hlo_module": "jit_f", "hlo_op": name}}
    for name, dur in spent.items()
  ]
  trace = gzip.compress(json.dumps({"traceEvents": [{"ph": "M"}, *seen]}).encode())
  (tmp_path / "vm.trace.json.gz").write_bytes(trace)
  found = profiles.shares(tmp_path)
  assert found["convolutions"] == 0.75 and found["products"] == 0.25 and sum(found.values()) == 1
  assert profiles.markdown({"pca": found}).splitlines()[-1].count("| 75% | 25% | 0% |") == 1
  with pytest.raises(UserError, match="is of no operation that is known"):
    profiles.shares(tmp_path / "nowhere")


def test_every_way_of_feeding_is_timed(tmp_path, monkeypatch):
  monkeypatch.setattr(feeds, "IMAGES", 200)
  assert feeds.main(["--seconds", "0.01", "--workdir", str(tmp_path)]) == 0
  rows = (tmp_path / "feeds.md").read_text().splitlines()[2:]
  assert len(rows) == 5 and all(int(row.split("|")[2].replace(",", "")) > 0 for row in rows)


@pytest.mark.parametrize(
  ("benchmark", "argv"),
  [
    (modes, ["--only", "ns-ring9"]), (modes, ["--seeds", "0"]), (modes, ["--steps", "30"]),
    (kills, ["--only", "dpm"]), (kills, ["--kills", "0"]), (kills, ["--steps", "30"]),
    (devices, ["--only", "vea"]), (processes, ["--only", "vea"]), (scaling, ["--only", "vea"]),
    (pairs, ["--only", "vea"]), (pairs, ["--rounds", "0"]), (pairs, ["--peers", "nowhere"]),
    (profiles, ["--only", "vea"]), (starts, ["--only", "vea"]), (feeds, ["--seconds", "0"]),
  ],
)  # fmt: skip
def test_refusals_in_one_line(benchmark, argv, tmp_path, capsys):
  if benchmark is pairs and "--peers" not in argv:
    argv = [*argv, "--peers", sys.executable]
  assert benchmark.main([*argv, "--workdir", str(tmp_path)]) == 2
  assert capsys.readouterr().err.count("\n") == 1


def test_limits_weighs_every_sprite():
  """Beside the probabilities of all sprites, each of its whole picture."""
  x = data.load("pairs:segmentation", resolution=8, validation=0.0, test=0.0).splits["train"][7][
    "x"
  ]
  every = shapes.render(np.arange(shapes.SIZE), 8)
  low = np.where(x == 0, -np.inf, x - 0.5)
  high = np.where(x == 255, np.inf, x + 0.5)
  cdf = lambda edge: stats.norm.cdf(edge, every["x"].astype(float), 127.5)
  weight = np.log(cdf(high) - cdf(low)).sum((1, 2, 3))
  weight = np.exp(weight - weight.max())
  weight /= weight.sum()
  kinds = np.eye(4)[every["label"]] * weight[:, None]
  wanted = np.einsum("nk,nhw->hwk", kinds, every["segmentation"])
  found = limits.Posterior(8)(x)
  np.testing.assert_allclose(found[..., 1:], wanted, rtol=1e-6, atol=1e-9)
  np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-9)


def test_limits_levels_are_as_probable_as_they_are_frequent():
  clean = np.array([0.0, 100.0, 255.0])
  table = np.exp(limits.log_table(clean))
  np.testing.assert_allclose(table.sum(0), 1, rtol=1e-9)
  np.testing.assert_allclose(table[::-1, 0], table[:, 2], rtol=1e-9)


def test_the_table_of_samplers():
  cell = samplers.Cell
  found = {
    "ddim, uniform": {4: cell(0.2, 0.0269, 4), 8: cell(0.1, 0.006, 8)},
    "ancestral, rho": {4: "needs 3 steps or more", 8: cell(None, 0.01, 8)},
  }
  lines = samplers.markdown(found, [4, 8], 0.001).splitlines()
  assert lines[0] == "| solver, grid (training data 0.001) | 4 calls | 8 calls |"
  assert lines[2] == "| ddim, uniform | 0.2000 / 0.0269 (4) | 0.1000 / 0.006 (8) |"
  assert lines[3] == "| ancestral, rho | - | 0.01 (8) |"


def test_samplers_are_asked_for_by_what_there_is(tmp_path, capsys):
  assert samplers.main([str(tmp_path), "--calls", "4,x"]) == 2
  assert "--calls takes whole numbers" in capsys.readouterr().err
  assert samplers.main([str(tmp_path)]) == 2
  assert "config.json" in capsys.readouterr().err


@pytest.mark.slow
def test_solvers_come_nearer_to_the_fine_solution(tmp_path):
  config, run = "configs/flow_matching.py:tiny", str(tmp_path / "run")
  longer = ["--config.train.steps=200", "--config.train.validate_every=0"]
  command = [sys.executable, "-m", "gen_jax.main", "--config", config, "--workdir", run, *longer]
  subprocess.run(command, check=True, capture_output=True)
  only = ["--samples", "100", "--calls", "8,32", "--only", "ddim,heun", "--grids", "uniform"]
  assert samplers.main([run, *only]) == 0
  rows = json.loads((tmp_path / "run/samplers/samplers.json").read_text())["rows"]
  assert rows["ddim, uniform"]["32"]["rms"] < rows["ddim, uniform"]["8"]["rms"] / 2
  assert rows["heun, uniform"]["8"]["calls"] == 7
  assert (tmp_path / "run/samplers/samplers.png").exists()
