"""Sweeps: how fields are read, what is run, and the table."""

import json
import sys

import pytest

from gen_jax.app import sweep
from gen_jax.core import UserError


def test_fields_and_values():
  fields = sweep.parse(["model.beta=1,4", "model.hidden=(2,3),()", "variant=ns"])
  assert fields == {"model.beta": ["1", "4"], "model.hidden": ["(2,3)", "()"], "variant": ["ns"]}
  found = sweep.choices({"a": ["1", "2"], "seed": ["0", "1"]})
  assert found[1] == (("a", "1"), ("seed", "1")) and len(found) == 4
  assert sweep.folder_of((("model.hidden", "(2,3)"), ("seed", "0"))) == "model.hidden=_2_3_-seed=0"


@pytest.mark.parametrize("text", ["beta", "=1", "beta=", "beta=1,,2", "beta=1,1"])
def test_refusals(text):
  with pytest.raises(UserError, match="sweep"):
    sweep.parse([text])


def test_command():
  choice = (("variant", "ns"), ("model.latent", "4"))
  got = sweep.command("configs/gan.py:ls", choice, "w", ["--config.seed=3"])
  assert got[1:] == [
    "-m", "gen_jax.main", "--config", "configs/gan.py:ns", "--config.seed=3",
    "--config.model.latent=4", "--workdir", "w",
  ]  # fmt: skip


def test_shared_arguments():
  argv = [
    "main.py", "--config", "a.py", "--config.seed=3", "--workdir=x", "--sweep", "b=1,2",
    "--sweep=c=1", "--wandb", "p",
  ]  # fmt: skip
  assert sweep.shared_arguments(argv) == ["--config.seed=3", "--wandb", "p"]


def test_table_has_means_over_seeds(tmp_path):
  runs = {}
  for a, seed, value in (("1", "0", 1.0), ("1", "1", 3.0), ("2", "0", 5.0), ("2", "1", 5.0)):
    folder = tmp_path / f"{a}{seed}"
    folder.mkdir()
    record = {"kl": {"value": value, "examples": 3}}
    (folder / "evaluation.json").write_text(json.dumps(record))
    runs[(("a", a), ("seed", seed))] = folder
  rows = sweep.table(runs)
  assert [row["fields"] for row in rows] == [{"a": "1"}, {"a": "2"}]
  first = rows[0]["figures"]["kl"]
  assert first == {"mean": 2.0, "values": [1.0, 3.0], "deviation": pytest.approx(2**0.5)}
  lines = sweep.markdown(rows).splitlines()
  assert lines[0] == "| a | runs | kl |" and lines[2] == "| 1 | 2 | 2 ± 1.4 |"
  assert lines[-1] == "| mean | 4 | 3.5 ± 2.1 |"
  variants = [{**row, "fields": {"variant": row["fields"]["a"]}} for row in rows]
  assert len(sweep.markdown(variants).splitlines()) == len(lines) - 1


def test_status_of_the_first_failure_ends_it(tmp_path, monkeypatch, capfd):
  asked = []

  def command(file, choice, workdir, others):
    asked.append(dict(choice)["a"])
    return [sys.executable, "-c", f"raise SystemExit({7 * (asked[-1] == '2')})"]

  monkeypatch.setattr(sweep, "command", command)
  assert sweep.sweep("f.py", ["a=1,2,3"], tmp_path, []) == 7
  assert asked == ["1", "2"] and "same command goes on" in capfd.readouterr().err
