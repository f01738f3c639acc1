"""What stands beside a figure wherever one is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def of_what(record: Mapping[str, Any]) -> str:
  """The examples and the split that a figure is of, or what it says of itself where it is of none,
  and options that are not the run's own; of one that is missing, why."""
  if record["value"] is None:
    return f"missing: {record.get('why', '')}"
  of = f"{record['examples']} of {record['split']}" if "examples" in record else ""
  others = [f"{name} {shown(value)}" for name, value in record.get("options", {}).items()]
  return ", ".join(part for part in (of or record.get("says", ""), *others) if part)


def shown(value: Any) -> str:
  """The value of an option; of a long list, how many it has."""
  return f"of {len(value)}" if isinstance(value, list | tuple) and len(value) > 4 else str(value)
