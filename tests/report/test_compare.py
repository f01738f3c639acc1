"""Two made-up runs, side by side."""

import json

import pytest

from gen_jax.core import UserError
from gen_jax.report.compare import compare


def make(folder, width, bits, **launch):
  folder.mkdir(parents=True)
  config = {"model": {"width": width, "depth": 2}, "data": {"name": "digits"}}
  if width > 64:
    config["model"]["attention"] = [8, 16]
  evaluation = {
    "bits_per_dim": {"value": bits, "examples": 360, "split": "test"},
    "coverage": {"value": 0.97, "examples": 10},
  }
  launches = [{"hostname": "first"}, {"hostname": "same", "versions": {"jax": "1"}} | launch]
  rows = [
    {"stage": 0, "step": 10, "loss": 2.0},
    {"stage": 0, "step": 20, "loss": bits / 3},
    {"stage": 0, "step": 20, "split": "validation", "loss": 77.0},
  ]
  for name, value in (
    ("config.json", {"config": config, "spec": {"shape": [8, 8, 1]}, "fingerprint": str(width)}),
    ("evaluation.json", evaluation),
    ("provenance.json", launches),
  ):
    (folder / name).write_text(json.dumps(value))
  lines = "".join(json.dumps(row) + "\n" for row in rows)
  (folder / "metrics.jsonl").write_text(lines + '{"stage": 0, "st')
  return folder


def cells(text):
  """Rows of all tables as lists of cells: columns are two spaces or more apart."""
  lines = [line.split("  ") for line in text.splitlines() if line]
  return [[cell.strip() for cell in line if cell.strip()] for line in lines]


def test_two_runs(tmp_path):
  a = make(tmp_path / "small", 64, 1.5)
  b = make(tmp_path / "large", 128, 1.25, versions={"jax": "2"})
  text = compare([a, str(b)])
  assert cells(text) == [
    ["config", "small", "large"],
    ["model.width", "64", "128"],
    ["model.attention", "-", "[8, 16]"],
    ["evaluation", "small", "large"],
    ["bits_per_dim", "1.5", "1.25"],
    ["coverage", "0.97", "0.97"],
    ["last row of metrics", "small", "large"],
    ["stage", "0", "0"],
    ["step", "20", "20"],
    ["loss", "0.5", "0.416667"],
    ["provenance", "small", "large"],
    ["versions.jax", "1", "2"],
  ]
  table = text.split("\n\n")[0].splitlines()
  assert (
    len({line.index(cell) for line, cell in zip(table, ("small", "64", "-"), strict=True)}) == 1
  )


def test_facts_are_told_where_they_differ(tmp_path):
  a, b = make(tmp_path / "a", 64, 1.5), make(tmp_path / "b", 64, 1.5)
  of = lambda count: {"value": 1.5, "examples": count, "split": "test", "standard_error": 0.0123}
  for folder, count in ((a, 360), (b, 90)):
    (folder / "evaluation.json").write_text(json.dumps({"nll": of(count)}))
  table = cells(compare([a, b]))
  at = table.index(["evaluation", "a", "b"])
  assert table[at + 1 : at + 3] == [
    ["nll", "1.5 ± 0.012", "1.5 ± 0.012"], ["nll · examples", "360", "90"],
  ]  # fmt: skip
  assert not any("split" in row[0] for row in table)


def test_runs_that_have_only_begun_and_share_a_name(tmp_path):
  a, b = make(tmp_path / "a" / "run", 64, 1.5), make(tmp_path / "b" / "run", 32, 1.5)
  for folder in (a, b):
    for name in ("evaluation.json", "provenance.json", "metrics.jsonl"):
      (folder / name).unlink()
  assert cells(compare([a, b])) == [["config", str(a), str(b)], ["model.width", "64", "32"]]


@pytest.mark.parametrize("broken", ["config.json", "evaluation.json", "provenance.json"])
def test_damaged_folders_are_refused_in_one_line(tmp_path, broken):
  a, b = make(tmp_path / "a", 64, 1.5), make(tmp_path / "b", 64, 1.5)
  for content in ('{"config": ', "7"):
    (b / broken).write_text(content)
    with pytest.raises(UserError, match=f"b/{broken}") as error:
      compare([a, b])
    assert "\n" not in str(error.value)


def test_what_is_no_run_is_refused(tmp_path):
  a = make(tmp_path / "a", 64, 1.5)
  with pytest.raises(UserError, match="nowhere"):
    compare([a, tmp_path / "nowhere"])
  with pytest.raises(UserError, match="two run folders"):
    compare([a])
