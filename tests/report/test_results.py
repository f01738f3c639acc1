"""The page of results, of run folders that are written by hand."""

import json

import pytest

from gen_jax.core import UserError
from gen_jax.report.results import results
from gen_jax.run.folder import digest_of


def run(folder, value, builder="gen_jax.models.vae.build"):
  folder.mkdir()
  config = {"builder": builder, "data": {"name": "digits"}}
  record = {"config": config, "spec": {}, "specs": [], "sizes": {}, "data": [], "fingerprint": "f"}
  record["digest"] = digest_of(record)
  (folder / "config.json").write_text(json.dumps(record))
  figure = {"value": value, "examples": 359, "split": "test", "standard_error": 0.25, "step": 8}
  (folder / "evaluation.json").write_text(json.dumps({"nll": figure}))
  return folder


def test_every_figure_stands_with_what_it_is_of(tmp_path):
  page = tmp_path / "docs" / "results.md"
  results(page, [run(tmp_path / "vae", 101.25)])
  assert "| nll | 101.2 | 0.25 | 359 of test | 8 |" in page.read_text()
  # A later page keeps the runs of an earlier one, and takes over what was measured again.
  results(page, [run(tmp_path / "ae", 3.0, "gen_jax.models.ae.build")])
  (tmp_path / "vae" / "evaluation.json").write_text(
    json.dumps({"nll": {"value": 99.0, "examples": 359, "split": "test"}})
  )
  said = results(page, [tmp_path / "vae"])
  text = page.read_text()
  assert said.endswith("2 runs") and "## ae" in text and "`ae` on digits" in text
  assert "| nll | 99 |  | 359 of test |  |" in text and "101.2" not in text


def test_a_figure_of_no_examples_says_what_it_is_and_one_that_is_missing_why(tmp_path):
  folder = run(tmp_path / "ddpm", 1.0)
  calls = {"value": 50.0, "says": "network calls a sample", "step": 8}
  none = {"value": None, "why": "labels of 1|0", "split": "test"}
  (folder / "evaluation.json").write_text(json.dumps({"function_evaluations": calls, "auc": none}))
  results(tmp_path / "results.md", [folder])
  text = (tmp_path / "results.md").read_text()
  assert "| function_evaluations | 50 |  | network calls a sample | 8 |" in text
  assert "| auc | - |  | missing: labels of 1/0 |  |" in text


def test_how_long_it_was_trained_and_on_what(tmp_path):
  folder, page = run(tmp_path / "vae", 1.0), tmp_path / "results.md"
  results(page, [folder])
  assert "`vae` on digits\n" in page.read_text()
  rows = [{"stage": 0, "step": i, "seconds": 60.0 * i} for i in (1, 2)]
  (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
  on = lambda kind, count: {"devices": {"kind": kind, "count": count}, "cpu_threads": 2}
  launches = [on("cpu", 1), on("cpu", 1), on("NVIDIA H200", 8)]
  (folder / "provenance.json").write_text(json.dumps(launches))
  results(page, [folder])
  expected = "`vae` on digits, 2.0 minutes of training on 2 threads of cpu and 8 x NVIDIA H200\n"
  assert expected in page.read_text()


def test_a_run_without_figures_is_refused(tmp_path):
  folder = run(tmp_path / "vae", 1.0)
  (folder / "evaluation.json").unlink()
  with pytest.raises(UserError, match="has not been measured"):
    results(tmp_path / "results.md", [folder])
