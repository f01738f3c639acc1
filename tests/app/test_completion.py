"""A run is complete when everything that it leaves behind is there, of the last step."""

import json
import os

import pytest

from gen_jax import remote
from gen_jax.app import completion
from gen_jax.core import UserError
from gen_jax.run.files import read_json, write_json
from gen_jax.run.folder import note_launch
from tests.run import toy


@pytest.fixture
def run(tmp_path):
  """A system, and a folder as its finished run leaves it, without checkpoints."""
  parsed = toy.experiment(measures=("likelihood",))
  toy.claim(tmp_path, parsed)
  for name in ("curves.png", "weights.safetensors", "samples/000012.png", "pictures/a.png"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(name)
  figure = {"value": 1.0, "step": 12, "checkpoint": "newest"}
  write_json(tmp_path / "evaluation.json", {"nll": figure})
  system = toy.system(parsed)
  completion.mark_complete(system, tmp_path)
  return system, tmp_path


def test_a_finished_run_is_complete(run):
  system, workdir = run
  assert completion.missing(system, workdir) == ""
  (workdir / "samples" / "seed0-n4.png").write_text("drawn later")
  assert completion.missing(system, workdir) == ""


@pytest.mark.parametrize(
  "name", ["curves.png", "weights.safetensors", "samples/000012.png", "pictures/a.png"]
)
@pytest.mark.parametrize("damage", ["emptied", "gone", "changed", "a folder"])
def test_a_file_that_is_not_what_was_made_is_made_again(run, name, damage):
  system, workdir = run
  path = workdir / name
  path.unlink()
  if damage == "a folder":
    path.mkdir()
  elif damage != "gone":
    path.write_text("" if damage == "emptied" else name.upper())
  assert completion.missing(system, workdir)


@pytest.mark.parametrize(
  "text",
  ["", "{", "noise", "5", "[]", "null", '{"nll": 5}', '{"nll": {"value": 1.0}}',
   '{"nll": {"value": 1.0, "step": 6}}'],
)  # fmt: skip
def test_figures_that_are_damaged_or_of_another_step_are_taken_again(run, text):
  system, workdir = run
  (workdir / "evaluation.json").write_text(text)
  assert completion.missing(system, workdir)
  assert completion.figures_of_step(workdir / "evaluation.json", 12) == {}


@pytest.mark.parametrize("name", ["evaluation.json", "complete.json"])
def test_a_run_without_its_marker_or_figures_is_not_complete(run, name):
  system, workdir = run
  (workdir / name).unlink()
  assert completion.missing(system, workdir)
  os.mkfifo(workdir / name)
  assert completion.missing(system, workdir)  # and it is not waited for


def test_a_run_that_was_extended_is_not_complete_by_what_it_left_before(run):
  _, workdir = run
  longer = toy.system(toy.experiment(measures=("likelihood",), train={"steps": 24}))
  assert completion.missing(longer, workdir) == "what it left behind is of step 12"
  other = toy.system(toy.experiment(measures=("likelihood", "memorisation")))
  assert completion.missing(other, workdir) == "other figures are asked for"


def test_figures_of_another_step_do_not_stay_beside_new_ones(tmp_path):
  path = tmp_path / "evaluation.json"
  write_json(
    path,
    {
      "a": {"value": 1, "step": 6},
      "b": {"value": 2, "step": 12},
      "c": {"value": None, "why": "too few", "step": 12},
    },
  )
  assert set(completion.figures_of_step(path, 12)) == {"b"}


def test_the_marker_is_the_last_file_that_reaches_a_remote_folder(tmp_path, monkeypatch):
  there, copied = tmp_path / "there", []
  with remote.opened(f"file://{there}") as here:
    for name in ("complete.json", "evaluation.json", "weights.safetensors", "pictures/a.png"):
      (here / name).parent.mkdir(exist_ok=True)
      (here / name).write_text(name)
    real = remote.locate
    monkeypatch.setattr(remote, "locate", lambda url: copied.append(str(url)) or real(url))
  assert copied[-1].endswith("/complete.json") and len(copied) == 4


@pytest.mark.parametrize("text", ["", "{", "5", "null", '{"a": 1}'])
def test_a_diary_that_is_damaged_is_kept_and_begun_anew(tmp_path, text):
  (tmp_path / "provenance.json").write_text(text)
  note_launch(tmp_path, {"from_step": 0})
  assert read_json(tmp_path / "provenance.json") == [{"from_step": 0}]
  assert (tmp_path / "provenance.json.damaged").read_text() == text


def test_a_run_inside_of_its_data_is_refused(tmp_path):
  from gen_jax.app.training import check_apart

  system = toy.system(toy.experiment(data={"data_dir": str(tmp_path)}))
  with pytest.raises(UserError, match="lies inside config.data.data_dir"):
    check_apart(tmp_path / "runs" / "x", system)
  check_apart(tmp_path.parent / "runs", system)


def test_the_marker_is_json_that_says_what_was_asked_for(run):
  marker = json.loads((run[1] / "complete.json").read_text())
  assert marker["step"] == 12 and marker["asked"]["measures"] == ["likelihood"]
