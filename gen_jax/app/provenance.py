"""Where a run's numbers come from: code, versions, machine."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax

import gen_jax

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def provenance() -> dict[str, Any]:
  """What a launch ran on, for provenance.json.

  Returns:
    time: UTC, ISO 8601.
    command: the command line.
    versions: of python and PACKAGES; None for one that is not installed.
    git: {"commit", "dirty"} of the checkout that gen_jax lies in, or None outside one.
    hostname, platform.
    devices: {"kind", "count", "processes"}, count over all processes.
    cpu_threads: how many this process may use.
    environment: the XLA_* and JAX_* variables that are set.
  """
  devices = jax.devices()
  return {
    "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "command": shlex.join(sys.orig_argv),
    "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
    "git": _git(),
    "hostname": socket.gethostname(),
    "platform": platform.platform(),
    "devices": {
      "kind": devices[0].device_kind,
      "count": len(devices),
      "processes": jax.process_count(),
    },
    "cpu_threads": _cpu_threads(),
    "environment": {
      name: value for name, value in sorted(os.environ.items()) if name.startswith(("XLA_", "JAX_"))
    },
  }


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def _cpu_threads() -> int | None:
  if hasattr(os, "sched_getaffinity"):
    return len(os.sched_getaffinity(0))
  return os.cpu_count()


def _git() -> dict[str, Any] | None:
  """Commit and state of the checkout whose root gen_jax lies in; a package installed somewhere
  below another project's root is not of that project."""
  root = Path(gen_jax.__file__).resolve().parent.parent
  try:
    if Path(_run_git(root, "rev-parse", "--show-toplevel")).resolve() != root:
      return None
    commit = _run_git(root, "rev-parse", "HEAD")
    return {"commit": commit, "dirty": bool(_run_git(root, "status", "--porcelain"))}
  except (OSError, subprocess.SubprocessError):
    return None


def _run_git(root: Path, *arguments: str) -> str:
  # No optional locks: a launch must not disturb whoever works in the checkout.
  command = ["git", "--no-optional-locks", "-C", str(root), *arguments]
  done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
  return done.stdout.strip()
