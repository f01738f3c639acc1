"""Files of a run folder: whole or not at all, and read as what a stranger may have left there."""

import errno
import json
import os

import numpy as np
import pytest

from gen_jax.core import UserError
from gen_jax.run import files


def test_what_is_no_run_folder_is_named(tmp_path):
  with pytest.raises(UserError, match=f"{tmp_path} is not a run folder"):
    files.read_json(tmp_path / "config.json")
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match="is not a run folder"):
    files.read_json(tmp_path / "file" / "config.json")


def test_json_is_written_whole_or_not_at_all(tmp_path):
  path = tmp_path / "a.json"
  files.write_json(path, {"a": (1, 2)})
  with pytest.raises(TypeError):
    files.write_json(path, {"a": 1, "b": object()})
  assert files.read_json(path) == {"a": [1, 2]}


def test_what_json_cannot_hold_goes_by_name():
  values = [files.jsonable(v) for v in (1.5, float("nan"), float("inf"), -float("inf"))]
  assert values == [1.5, "nan", "inf", "-inf"]
  assert [str(float(v)) for v in values] == ["1.5", "nan", "inf", "-inf"]


def test_why_something_could_not_be_written_is_found_behind_other_errors():
  full = OSError(errno.ENOSPC, "No space left on device")
  wrapped = ValueError("saving failed")
  wrapped.__cause__ = full
  said = RuntimeError("RESOURCE_EXHAUSTED: write [OS error 28: No space left on device]")
  for error in (full, wrapped, said):
    assert files.unwritable(error) == "No space left on device"
  for other in (None, ValueError("x"), OSError(errno.ENOENT, "No such file or directory")):
    assert files.unwritable(other) is None


def test_numbers_that_json_lacks_never_make_a_file_that_is_none(tmp_path):
  path = tmp_path / "a.json"
  files.write_json(path, {"value": np.float32("nan"), "of": [np.inf, np.arange(2), np.int64(3)]})
  strict = json.loads(path.read_text(), parse_constant=pytest.fail)
  assert strict == {"value": "nan", "of": ["inf", [0, 1], 3]}


def test_arrays_are_written_whole_or_not_at_all_and_not_through_a_link(tmp_path, monkeypatch):
  elsewhere, path = tmp_path / "elsewhere", tmp_path / "a.npz"
  elsewhere.write_text("mine")
  path.symlink_to(elsewhere)
  (tmp_path / ".a.npz.tmp").symlink_to(elsewhere)
  files.write_arrays(path, {"x": np.arange(3)})
  assert elsewhere.read_text() == "mine" and not path.is_symlink()
  before = path.read_bytes()

  def half(file, **arrays):
    file.write(b"half")
    raise OSError(errno.ENOSPC, "No space left on device")

  monkeypatch.setattr(np, "savez", half)
  with pytest.raises(OSError, match="No space"):
    files.write_arrays(path, {"x": np.arange(4)})
  assert path.read_bytes() == before
  assert sorted(os.listdir(tmp_path)) == ["a.npz", "elsewhere"]


def test_what_is_no_file_is_not_waited_for(tmp_path):
  os.mkfifo(tmp_path / "pipe")
  (tmp_path / "folder").mkdir()
  for name in ("pipe", "folder"):
    with pytest.raises(UserError, match=f"{name} is not a file: the run folder is damaged"):
      files.read_json(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"5", b"null", b"[]"])
def test_a_small_file_of_another_kind_is_refused_in_one_line(tmp_path, content):
  path = tmp_path / "a.json"
  path.write_bytes(content)
  with pytest.raises(UserError, match="the run folder is damaged"):
    files.read_json(path, dict)


def test_nothing_is_written_through_a_folder_that_is_a_link(tmp_path):
  (tmp_path / "elsewhere").mkdir()
  (tmp_path / "run").mkdir()
  (tmp_path / "run" / "samples").symlink_to(tmp_path / "elsewhere")
  (tmp_path / "run" / "pictures").write_text("a file")
  with pytest.raises(UserError, match="samples is a link"):
    files.folder_in(tmp_path / "run", "samples")
  with pytest.raises(UserError, match="pictures is not a folder"):
    files.folder_in(tmp_path / "run", "pictures")
  assert files.folder_in(tmp_path / "run", "map").is_dir()


def test_a_folder_is_not_taken_for_the_file_of_its_name(tmp_path):
  (tmp_path / "a.json").mkdir()
  with pytest.raises(UserError, match="a.json is a folder, where a file is to be written"):
    files.write_json(tmp_path / "a.json", {})
  assert os.listdir(tmp_path) == ["a.json"]


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, monkeypatch):
  files.check_writable(tmp_path, "samples")
  assert os.listdir(tmp_path) == ["samples"] and not os.listdir(tmp_path / "samples")
  monkeypatch.setattr(files, "writable", lambda folder: folder == tmp_path)
  with pytest.raises(UserError, match="samples cannot be written: copy it"):
    files.check_writable(tmp_path, "samples")
