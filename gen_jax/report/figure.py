"""What stands beside a figure wherever one is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def of_what(record: Mapping[str, Any]) -> str:
  """The examples and the split that a figure is of, or what it says of itself where it is of none;
  of one that is missing, why."""
  if record["value"] is None:
    return f"missing: {record.get('why', '')}"
  if "examples" in record:
    return f"{record['examples']} of {record['split']}"
  return record.get("says", "")
