"""metrics.jsonl: what is no row is told and kept, and costs no other row."""

import json

import pytest

from gen_jax.run import rows

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
  assert rows.read_rows(path) == ROWS
  assert rows.read_rows(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize(
  "stage,step,kept,seconds",
  [(1, 5, 4, 4.0), (1, 0, 3, 2.5), (0, 10, 3, 2.5), (0, 9, 1, 1.0), (0, 0, 0, 0.0)],
)
def test_rows_behind_the_restored_step_are_dropped(tmp_path, stage, step, kept, seconds):
  path = write_rows(tmp_path / "metrics.jsonl", '{"stage": 1, "step"')
  assert rows.drop_rows_after(path, stage, step) == seconds
  text = path.read_text()
  assert [json.loads(line) for line in text.splitlines()] == ROWS[:kept]
  assert not text or text.endswith("\n")


def test_no_rows_are_no_file(tmp_path):
  assert rows.drop_rows_after(tmp_path / "metrics.jsonl", 0, 0) == 0
  assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize(
  "bad", [b"noise", b"\xff\x00", b"5", b'{"stage": 0}', b'{"stage": "0", "step": 1}', b"[" * 9999]
)
def test_a_line_that_is_no_row_is_kept_aside_and_costs_no_other(tmp_path, caplog, bad):
  path = write_rows(tmp_path / "metrics.jsonl")
  first, *rest = path.read_bytes().splitlines(keepends=True)
  path.write_bytes(first + bad + b"\n" + b"".join(rest))
  assert rows.read_rows(path) == ROWS
  assert rows.drop_rows_after(path, 1, 5) == 4.0
  assert rows.read_rows(path) == ROWS
  kept = (tmp_path / "metrics.jsonl.damaged").read_text()
  assert kept == bad.decode(errors="replace") + "\n"


def test_a_byte_order_mark_costs_nothing(tmp_path):
  path = write_rows(tmp_path / "metrics.jsonl")
  path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
  assert rows.read_rows(path) == ROWS


def test_a_log_that_is_a_link_is_not_written_through(tmp_path):
  (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "elsewhere")
  rows.drop_rows_after(tmp_path / "metrics.jsonl", 0, 0)
  assert not (tmp_path / "metrics.jsonl").is_symlink() and not (tmp_path / "elsewhere").exists()
