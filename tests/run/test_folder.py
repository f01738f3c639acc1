"""A run folder: one process, one config, and files that a crash leaves readable."""

import errno
import json
import subprocess
import sys
import threading

import pytest

from gen_jax.core import Field, Spec, UserError
from gen_jax.run import folder
from tests.run import toy

HOLD = """
import fcntl, sys
handle = open(sys.argv[1], "w")
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_is_kept_out_until_the_first_is_gone(tmp_path):
  command = [sys.executable, "-c", HOLD, tmp_path / ".lock"]
  holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
  try:
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(UserError, match="another process is running in .*: wait for it"):
      with folder.locked(tmp_path):
        pass
  finally:
    holder.kill()  # however it ends
    holder.communicate()
  with folder.locked(tmp_path):
    with pytest.raises(UserError, match="another process"):
      with folder.locked(tmp_path):
        pass
  with folder.locked(tmp_path / "new" / "folder"):
    assert (tmp_path / "new" / "folder").is_dir()


def test_a_process_that_waits_comes_next(tmp_path):
  order, trying = [], threading.Event()

  def wait():
    trying.set()
    with folder.locked(tmp_path, wait=True):
      order.append("second")

  second = threading.Thread(target=wait)
  with folder.locked(tmp_path):
    second.start()
    trying.wait()
    second.join(timeout=0.05)
    order.append("first")
  second.join(timeout=10)
  assert order == ["first", "second"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="cannot be written: "):
    with folder.locked(tmp_path / "file" / "run"):
      pass


SIZES = {"train": 24}


def claim(workdir, sizes=SIZES, spec=toy.SPEC, **groups):
  return folder.claim(workdir, toy.experiment(**groups).config, spec, [spec], sizes)


def test_a_folder_is_told_by_its_config(tmp_path):
  mark = claim(tmp_path)
  record = folder.read_record(tmp_path)
  assert record["fingerprint"] == mark
  assert folder.specs_of(record) == [toy.SPEC, toy.SPEC]
  assert claim(tmp_path, train={"steps": 99}) == mark
  assert folder.read_record(tmp_path)["config"]["train"]["steps"] == 99  # as it was last run
  with pytest.raises(UserError) as refused:
    claim(tmp_path, model={"noise": 0.5}, data={"batch_size": 4}, seed=3)
  message = str(refused.value)
  assert "data.batch_size 8 there, 4 here" in message
  assert "model.noise 0.0 there, 0.5 here" in message
  assert "seed 0 there, 3 here" in message and "train" not in message
  assert "give another --workdir" in message
  with pytest.raises(UserError, match="data.batch_size .* and 1 more"):
    claim(tmp_path, model={"noise": 0.5, "ema": 0.1, "stages": 2}, data={"batch_size": 4})
  assert claim(tmp_path) == mark


@pytest.mark.parametrize("change", [{"sizes": {"train": 25}}, {"spec": Spec.of((4,))}])
def test_other_data_of_the_same_name_are_refused(tmp_path, change):
  claim(tmp_path)
  with pytest.raises(UserError, match="its data differ"):
    claim(tmp_path, **change)


def test_a_field_that_is_new_since_makes_no_difference_at_its_default(tmp_path):
  mark = claim(tmp_path)
  path = tmp_path / "config.json"
  record = json.loads(path.read_text())
  del record["config"]["model"]["noise"]
  path.write_text(json.dumps(record | {"fingerprint": "of other fields"}))
  assert claim(tmp_path) == mark
  with pytest.raises(UserError, match="model.noise 0.0 there, 0.5 here"):
    claim(tmp_path, model={"noise": 0.5})


def test_specs_survive_json(tmp_path):
  spec = Spec.of(
    (8, 8, 1), 17, 2, ("a", "b"), caption=Field((7,), 5), y=Field((4, 4, 3), aligned=True)
  )
  claim(tmp_path, spec=spec)
  assert folder.specs_of(folder.read_record(tmp_path)) == [spec, spec]


@pytest.mark.parametrize("text", ["{", "[]", '{"config": {}}', "\x00"])
def test_a_damaged_record_is_refused(tmp_path, text):
  (tmp_path / "config.json").write_text(text)
  with pytest.raises(UserError, match="config.json"):
    claim(tmp_path)
  assert (tmp_path / "config.json").read_text() == text


def test_what_is_no_run_folder_is_named(tmp_path):
  with pytest.raises(UserError, match=f"{tmp_path} is not a run folder"):
    folder.read_json(tmp_path / "config.json")
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="is not a run folder"):
    folder.read_json(tmp_path / "file" / "config.json")


def test_json_is_written_whole_or_not_at_all(tmp_path):
  path = tmp_path / "a.json"
  folder.write_json(path, {"a": (1, 2)})
  with pytest.raises(TypeError):
    folder.write_json(path, {"a": 1, "b": object()})
  assert folder.read_json(path) == {"a": [1, 2]}


ROWS = [
  {"stage": 0, "step": 5, "seconds": 1.0},
  {"stage": 0, "step": 10, "seconds": 2.0},
  {"stage": 0, "step": 10, "split": "validation", "seconds": 2.5},
  {"stage": 1, "step": 5, "seconds": 4.0},
]


def write_rows(path, tail=""):
  path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + tail)
  return path


@pytest.mark.parametrize("tail", ["", '{"stage": 1, "st', "\x00\x00\x00"])
def test_a_last_line_that_was_cut_off_is_left_out(tmp_path, tail):
  path = write_rows(tmp_path / "metrics.jsonl", tail)
  assert folder.read_rows(path) == ROWS
  assert folder.read_rows(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
  "stage,step,kept,seconds",
  [(1, 5, 4, 4.0), (1, 0, 3, 2.5), (0, 10, 3, 2.5), (0, 9, 1, 1.0), (0, 0, 0, 0.0)],
)
def test_rows_behind_the_restored_step_are_dropped(tmp_path, stage, step, kept, seconds):
  path = write_rows(tmp_path / "metrics.jsonl", '{"stage": 1, "step"')
  assert folder.drop_rows_after(path, stage, step) == seconds
  text = path.read_text()
  assert [json.loads(line) for line in text.splitlines()] == ROWS[:kept]
  assert not text or text.endswith("\n")


def test_no_rows_are_no_file(tmp_path):
  assert folder.drop_rows_after(tmp_path / "metrics.jsonl", 0, 0) == 0
  assert not (tmp_path / "metrics.jsonl").exists()


def test_every_launch_is_noted(tmp_path):
  for step in (0, 7):
    folder.note_launch(tmp_path, {"from_step": step})
  assert folder.read_json(tmp_path / "provenance.json") == [{"from_step": 0}, {"from_step": 7}]


def test_what_json_cannot_hold_goes_by_name():
  values = [folder.jsonable(v) for v in (1.5, float("nan"), float("inf"), -float("inf"))]
  assert values == [1.5, "nan", "inf", "-inf"]
  assert [str(float(v)) for v in values] == ["1.5", "nan", "inf", "-inf"]


def test_why_something_could_not_be_written_is_found_behind_other_errors():
  full = OSError(errno.ENOSPC, "No space left on device")
  wrapped = ValueError("saving failed")
  wrapped.__cause__ = full
  said = RuntimeError("RESOURCE_EXHAUSTED: write [OS error 28: No space left on device]")
  for error in (full, wrapped, said):
    assert folder.unwritable(error) == "No space left on device"
  for other in (None, ValueError("x"), OSError(errno.ENOENT, "No such file or directory")):
    assert folder.unwritable(other) is None


def test_a_run_of_an_earlier_version_is_refused_in_one_line(tmp_path):
  spec = {"shape": [8, 8, 1], "levels": 17, "classes": 10, "names": []}
  record = {"config": {}, "spec": spec, "sizes": {}, "fingerprint": "f"}
  (tmp_path / "config.json").write_text(json.dumps(record))
  with pytest.raises(UserError, match="was made by an earlier version of gen_jax"):
    folder.read_record(tmp_path)
