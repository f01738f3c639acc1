"""SIGINT and SIGTERM in every phase: asked for by the trainer, an exception elsewhere."""

import os
import signal
import subprocess
import sys
import time

import pytest

from gen_jax.run.signals import Interrupted, handled, interrupt, received


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_outside_of_training_a_signal_ends_what_is_going_on(number, code):
  before = signal.getsignal(number)
  with handled(interrupt):
    with pytest.raises(Interrupted) as stop:
      os.kill(os.getpid(), number)
      time.sleep(1)
  assert stop.value.code == code and signal.getsignal(number) is before


def test_in_training_it_is_a_question_and_a_second_sigint_ends_it():
  with handled(interrupt), received() as stopping:
    assert stopping() is None
    os.kill(os.getpid(), signal.SIGTERM)
    assert stopping() == signal.SIGTERM
    with pytest.raises(Interrupted):
      os.kill(os.getpid(), signal.SIGINT)
      time.sleep(1)


PROGRAM = """
import sys, time
from absl import app
from gen_jax import main

def dispatch(argv):
  try:
    print("begun", flush=True)
    time.sleep(60)
  finally:
    print("left", flush=True)

main.dispatch = dispatch
sys.argv = ["main"]
main.run()
"""


@pytest.mark.parametrize("number,code", [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_the_command_line_says_so_in_one_line(number, code):
  process = subprocess.Popen(
    [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )
  assert process.stdout.readline() == "begun\n"
  process.send_signal(number)
  out, err = process.communicate(timeout=60)
  assert (process.returncode, out) == (code, "left\n")
  assert err.count("\n") == 1 and "what was saved before is whole: the same command goes on" in err


def test_while_it_is_being_imported_too():
  process = subprocess.Popen([sys.executable, "-X", "importtime", "-m", "gen_jax.main", "--list"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # fmt: skip
  for line in process.stderr:
    if "gen_jax.early" in line:
      break
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=60)
  assert process.returncode == 75 and "stopped before anything was begun" in err and not out


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_take_nothing_of_the_files_that_are_opened(closed):
  command = f"exec {sys.executable} -m gen_jax.main --list {closed}"
  assert subprocess.run(["bash", "-c", command], capture_output=True).returncode == 0
