"""One side of a pair: makes ready, then does one piece of work for each line it is sent.

  python worker.py FILE.py FUNCTION

FUNCTION() returns ({"parameters": ..., "examples": of one piece, ...}, work), and work() does one
piece and returns its loss. Only the standard library is used here: a peer may run under an older
Python than this project.
"""

import importlib.util
import json
import os
import sys
import time


def main(file, function):
  sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
  told = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # what libraries print is not an answer
  spec = importlib.util.spec_from_file_location("side", file)
  side = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(side)

  def tell(answer):
    told.write(json.dumps(answer) + "\n")
    told.flush()

  from benchmarks.sides.setting import peak

  began = time.perf_counter()
  facts, work = getattr(side, function)()
  work()  # compiles
  tell({**facts, "ready": time.perf_counter() - began})
  for _ in sys.stdin:
    began = time.perf_counter()
    loss = float(work())
    tell({"seconds": time.perf_counter() - began, "loss": loss, "memory": peak()})


if __name__ == "__main__":
  main(*sys.argv[1:])
