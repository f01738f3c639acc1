"""Several processes as one program: how they meet, what only the first does, what all agree on."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

import jax
import numpy as np

from gen_jax.core import UserError

ADDRESS = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
# What errors of collectives say where another process is gone; they come as various exceptions.
LOST = ("Gloo", "NCCL", "heartbeat", "Barrier", "Connection closed", "UNAVAILABLE", "another task")
HEARTBEAT = 30  # seconds of silence after which a process counts as gone


def join() -> None:
  """Meets the other processes of this job; before anything else of JAX is used.

  Where they are is read from the environment: JAX_COORDINATOR_ADDRESS (host:port of process 0),
  JAX_NUM_PROCESSES and JAX_PROCESS_ID; where none of them is set, JAX asks the cluster (Cloud TPU,
  Slurm, Open MPI, Kubernetes).

  Raises:
    UserError: if some of the three are missing, are not what they should be, or there is no cluster
      to ask; or if the others do not come.
  """
  given = {name: os.environ[name] for name in ADDRESS if os.environ.get(name)}
  missing = [name for name in ADDRESS if name not in given]
  if given and missing:
    raise UserError(f"--distributed: {' and '.join(missing)} must be set too")
  where = {}
  if given:
    try:
      count, index = int(given[ADDRESS[1]]), int(given[ADDRESS[2]])
    except ValueError:
      raise UserError(f"--distributed: {ADDRESS[1]} and {ADDRESS[2]} must be numbers") from None
    if not 0 <= index < count:
      raise UserError(f"--distributed: {ADDRESS[2]}={index} must lie in 0..{count - 1}")
    where = {"coordinator_address": given[ADDRESS[0]], "num_processes": count, "process_id": index}
  try:
    jax.distributed.initialize(**where, heartbeat_timeout_seconds=HEARTBEAT)
  except (ValueError, RuntimeError) as error:
    line = " ".join(str(error).split())[:300]
    raise UserError(
      f"--distributed: the processes did not meet ({line}): launch/ has scripts that start them, or"
      f" set {', '.join(ADDRESS)}"
    ) from error


def leave(error: Exception) -> NoReturn:
  """Says why the job has fallen apart, and ends this process at once: a clean exit would wait for
  the others. Status 75 where another process is gone, 1 where the fault is here."""
  cause: BaseException | None = error
  while cause is not None and not any(sign in str(cause) for sign in LOST):
    cause = cause.__cause__ or cause.__context__
  if cause is None:
    traceback.print_exception(error)
    end(1)
  line = " ".join(str(cause).split())[:300]
  print(
    f"gen_jax: process {jax.process_index()} of {jax.process_count()} stopped, because another one"
    f" is gone ({line}); the same command goes on from the last checkpoint",
    file=sys.stderr,
  )
  end(75)


def end(status: int) -> NoReturn:
  """Ends this process without waiting for its threads or for other processes."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(status)


def is_first() -> bool:
  """Whether this is process 0, the one that writes and talks."""
  return jax.process_index() == 0


def agree(check: Callable[[], object]) -> None:
  """Calls check() on the first process; what it refuses, every process refuses.

  Raises:
    UserError: of the first process, on all of them.
  """
  if jax.process_count() == 1:
    check()
    return
  message = ""
  if is_first():
    try:
      check()
    except UserError as error:
      message = str(error)
  if message := shared(message):
    raise UserError(message)


def shared(text: str, size: int = 2000) -> str:
  """The first process's text, of which `size` bytes at most, on all of them."""
  if jax.process_count() == 1:
    return text
  from jax.experimental import multihost_utils

  data = np.zeros(size, np.uint8)
  encoded = np.frombuffer(text.encode()[:size], np.uint8)
  data[: len(encoded)] = encoded
  told = np.asarray(multihost_utils.broadcast_one_to_all(data))
  return told.tobytes().rstrip(b"\0").decode(errors="ignore")


def any_of(number: int | None) -> int | None:
  """The largest number that any process has; None where none has one."""
  if jax.process_count() == 1:
    return number
  from jax.experimental import multihost_utils

  most = int(np.max(multihost_utils.process_allgather(np.int32(-1 if number is None else number))))
  return None if most < 0 else most
