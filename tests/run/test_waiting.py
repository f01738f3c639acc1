"""What takes long is told, and what does not is not."""

import threading

import pytest

from gen_jax.run import processes
from gen_jax.run.waiting import waiting


def test_what_takes_long_is_told_with_its_time(capsys, monkeypatch):
  told = threading.Event()
  monkeypatch.setattr("gen_jax.run.waiting.tqdm.write", lambda text: (print(text), told.set()))
  with waiting("reading digits", after=0.0):
    assert told.wait(10)
  first, last = capsys.readouterr().out.splitlines()
  assert first == "reading digits ..." and last == "reading digits: 0 s"
  with waiting("nothing", after=100.0):
    pass
  with pytest.raises(ZeroDivisionError), waiting("nothing", after=100.0):
    1 / 0  # noqa: B018
  assert capsys.readouterr().out == ""


def test_of_several_processes_the_first_one_tells(capsys, monkeypatch):
  monkeypatch.setattr("gen_jax.run.waiting.is_first", lambda: False)
  assert processes.is_first()
  with waiting("reading", after=0.0):
    threading.Event().wait(0.05)
  assert capsys.readouterr().out == ""
