"""The rows of a run's metrics.jsonl, as two runs must have them in common."""

import json


def rows(workdir):
  """Every row without its clocks; a line that is not whole is an error."""
  lines = (workdir / "metrics.jsonl").read_text().splitlines()
  clocks = ("seconds", "examples_per_second")
  return [{k: v for k, v in json.loads(line).items() if k not in clocks} for line in lines]
