"""A run folder: one process, one config, and files that a crash leaves readable."""

import errno
import json
import os
import random
import subprocess
import sys
import threading

import pytest

from gen_jax.core import Field, Spec, UserError
from gen_jax.run import folder
from gen_jax.run.files import read_json
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


def claim(workdir, sizes=SIZES, spec=toy.SPEC, digest="", **groups):
  config = toy.experiment(**groups).config
  return folder.claim(workdir, config, [spec, spec], sizes, [digest, digest])


def recorded(workdir):
  return folder.recorded(workdir, allow=[toy.BUILDER])


def change(path, **fields):
  """Changes config.json as someone might who knows how it is sealed."""
  record = json.loads(path.read_text()) | fields
  path.write_text(json.dumps(record | {"digest": folder.digest_of(record)}))


def test_a_folder_is_told_by_its_config(tmp_path):
  mark = claim(tmp_path)
  record = folder.read_record(tmp_path)
  assert record["fingerprint"] == mark
  assert folder.specs_of(record) == [toy.SPEC, toy.SPEC]
  assert claim(tmp_path, train={"steps": 99}) == mark
  assert folder.read_record(tmp_path)["config"]["train"]["steps"] == 99  # as it was last run
  with pytest.raises(UserError) as refused:
    claim(tmp_path, model={"noise": 0.5}, data={"validation": 0.3}, seed=3)
  message = str(refused.value)
  assert "data.validation 0.1 there, 0.3 here" in message
  assert "model.noise 0.0 there, 0.5 here" in message
  assert "seed 0 there, 3 here" in message and "train" not in message
  assert f"give another --workdir, with --init_from={tmp_path}" in message
  with pytest.raises(UserError, match="data.validation .* and 1 more"):
    claim(tmp_path, model={"noise": 0.5, "ema": 0.1, "stages": 2}, data={"validation": 0.3})
  assert claim(tmp_path) == mark


@pytest.mark.parametrize(
  "change", [{"sizes": {"train": 25}}, {"spec": Spec.of((4,))}, {"digest": "b"}]
)
def test_other_data_of_the_same_name_are_refused(tmp_path, change):
  claim(tmp_path)
  with pytest.raises(UserError, match="belongs to other data"):
    claim(tmp_path, **change)


def test_a_field_that_is_new_since_makes_no_difference_at_its_default(tmp_path):
  mark = claim(tmp_path)
  path = tmp_path / "config.json"
  record = json.loads(path.read_text())
  del record["config"]["model"]["noise"]
  change(path, config=record["config"], fingerprint="of other fields")
  assert claim(tmp_path) == "of other fields" != mark  # which its checkpoints bear
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


def test_every_launch_is_noted(tmp_path):
  for step in (0, 7):
    folder.note_launch(tmp_path, {"from_step": step})
  assert read_json(tmp_path / "provenance.json") == [{"from_step": 0}, {"from_step": 7}]


def test_a_run_of_an_earlier_version_is_refused_in_one_line(tmp_path):
  spec = {"shape": [8, 8, 1], "levels": 17, "classes": 10, "names": []}
  record = {"config": {}, "spec": spec, "sizes": {}, "fingerprint": "f"}
  (tmp_path / "config.json").write_text(json.dumps(record))
  with pytest.raises(UserError, match="was made by an earlier version of gen_jax"):
    folder.read_record(tmp_path)


def test_a_run_may_go_on_with_batches_of_another_size_unless_it_learns_from_passes(
  tmp_path, caplog
):
  mark = claim(tmp_path)
  assert claim(tmp_path, data={"batch_size": 4}) == mark
  assert "had batches of 8, and goes on with batches of 4" in caplog.text
  config = toy.experiment().config
  with pytest.raises(UserError, match="whole passes .* go on with config.data.batch_size=4"):
    folder.claim(tmp_path, config, [toy.SPEC] * 2, SIZES, ["", ""], passes=True)
  assert folder.read_record(tmp_path)["config"]["data"]["batch_size"] == 4


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told_with_the_way_on(tmp_path, monkeypatch, number):
  def flock(handle, how):
    raise OSError(number, os.strerror(number))

  monkeypatch.setattr(folder.fcntl, "flock", flock)
  with pytest.raises(UserError, match=f"cannot lock files .*--workdir=file://{tmp_path}"):
    with folder.locked(tmp_path):
      pass


def test_a_lock_that_is_a_link_or_a_pipe_is_refused(tmp_path):
  (tmp_path / "mine").write_text("mine")
  (tmp_path / ".lock").symlink_to(tmp_path / "mine")
  for _ in range(2):
    with pytest.raises(UserError, match=".lock is not a file: remove it"):
      with folder.locked(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "mine"
    (tmp_path / ".lock").unlink()
    os.mkfifo(tmp_path / ".lock")


SPECS = [
  5, None, [], {}, {"x": 5, "fields": {}}, {"x": {"shape": [3]}, "fields": {}},
  {"x": {"shape": "/bin/sh", "levels": None, "names": [], "aligned": False}, "fields": {}},
  {"x": {"shape": [3.5], "levels": None, "names": [], "aligned": False}, "fields": {}},
  {"x": {"shape": [3], "levels": "id", "names": [], "aligned": False}, "fields": {}},
  {"x": {"shape": [3], "levels": 2, "names": [1], "aligned": False}, "fields": {}},
  {"x": {"shape": [3], "levels": 2, "names": [], "aligned": False, "y": 1}, "fields": {}},
  {"x": {"shape": [3], "levels": 2, "names": [], "aligned": False}, "fields": 5},
]  # fmt: skip


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_that_is_none_is_refused_in_one_line(tmp_path, spec):
  claim(tmp_path)
  change(tmp_path / "config.json", spec=spec)
  with pytest.raises(UserError, match="the run folder is damaged"):
    folder.specs_of(folder.read_record(tmp_path))


@pytest.mark.parametrize("config", [5, None, [], {}, {"builder": 5}, {"builder": toy.BUILDER}])
def test_a_config_that_is_none_is_refused_in_one_line(tmp_path, config):
  claim(tmp_path)
  change(tmp_path / "config.json", config=config)
  with pytest.raises(UserError):
    recorded(tmp_path)


def test_every_bit_of_a_record_counts(tmp_path):
  claim(tmp_path)
  path = tmp_path / "config.json"
  good, rng = path.read_bytes(), random.Random(0)
  for _ in range(400):
    data = bytearray(good)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    try:
      same = recorded(tmp_path)[0] == json.loads(good)
    except UserError:
      continue
    assert same, data  # white space, at most
