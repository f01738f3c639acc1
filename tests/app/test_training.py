"""Tasks of the command line that no run of it shows."""

import jax
import pytest

from gen_jax.app.training import Tracer


@pytest.mark.parametrize(
  ("steps", "every", "last", "told"),
  [
    (4, 1, 20, "profile of 4 steps from step 3 on"),
    (4, 10, 40, "profile of 10 steps from step 20 on"),
    (4, 1, 5, "profile of 2 steps from step 3 on"),  # the run ends first
    (4, 1, 2, ""),
    (0, 1, 20, ""),
  ],
)
def test_a_trace_begins_and_ends_once(steps, every, last, told, tmp_path, monkeypatch, capsys):
  calls = []
  monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append(folder))
  monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
  tracer = Tracer(tmp_path, steps)
  for step in range(every, last + 1, every):
    tracer(step)
  tracer.close()
  assert calls == ([str(tmp_path / "profile"), "stop"] if told else [])
  out = capsys.readouterr().out
  assert out.startswith(told) and bool(out) == bool(told)
