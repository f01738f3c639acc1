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


def test_a_run_without_figures_is_refused(tmp_path):
  folder = run(tmp_path / "vae", 1.0)
  (folder / "evaluation.json").unlink()
  with pytest.raises(UserError, match="has not been measured"):
    results(tmp_path / "results.md", [folder])
