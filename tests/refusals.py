"""Runs many command lines cheaply: one process has everything imported and forks for each.

  python -m tests.refusals   reads one JSON list of arguments a line, writes {"code", "out", "err"}

Nothing may touch a device before the fork.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 120  # of one command


def serve() -> None:
  import gen_jax.app.tasks
  import gen_jax.main
  import gen_jax.models.classifier

  for line in sys.stdin:
    arguments = json.loads(line)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
      child = os.fork()
      if not child:
        signal.alarm(SECONDS)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["gen_jax", *arguments]
        code = 70
        try:
          gen_jax.main.run()
          code = 0
        except SystemExit as stop:
          code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
        except BaseException:  # what a user would see as a traceback
          import traceback

          traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
      _, status = os.waitpid(child, 0)
      reply = {"code": os.waitstatus_to_exitcode(status)}
      for name, file in (("out", out), ("err", err)):
        file.seek(0)
        reply[name] = file.read()
    print(json.dumps(reply), flush=True)


class Server:
  """The process above, as a function (arguments) -> {"code", "out", "err"}."""

  def __init__(self):
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    self.process = subprocess.Popen(
      [sys.executable, "-m", "tests.refusals"], cwd=ROOT, env=environment, text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip

  def __call__(self, *arguments) -> dict:
    self.process.stdin.write(json.dumps([str(a) for a in arguments]) + "\n")
    self.process.stdin.flush()
    return json.loads(self.process.stdout.readline())

  def close(self) -> None:
    self.process.stdin.close()
    self.process.wait(60)


if __name__ == "__main__":
  serve()
