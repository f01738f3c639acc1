"""Errors of memory as the libraries raise them, and as they put it."""

import errno

import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.run.memory import out_of_memory, size


def raised(act):
  with pytest.raises(Exception) as caught:
    act()
  return caught.value


@pytest.mark.parametrize(
  "act,says",
  [
    (lambda: np.zeros((10**5, 10**6, 10**4), np.uint8), "TiB for an array with shape (100000, 10"),
    (lambda: jnp.zeros((2**20, 2**20), jnp.float32).block_until_ready(), "allocating 4.00 TiB"),
    (lambda: np.zeros((2**30, 2**20), np.uint8), "1.00 PiB for an array"),
    (lambda: np.empty(2**62), ""),
    (lambda: bytearray(2**62), ""),
    (lambda: np.empty((2**40, 2**40)), ""),
  ],
)  # fmt: skip
def test_errors_of_memory_are_told_with_what_was_to_be_allocated(act, says):
  said = out_of_memory(raised(act))
  assert said and "\n" not in said
  assert said.startswith("out of memory") and says in said and "--dry_run shows" in said


def test_an_error_of_memory_is_found_behind_those_that_wrap_it():
  def wrapped():
    try:
      raise OSError(errno.ENOMEM, "Cannot allocate memory")
    except OSError as error:
      raise RuntimeError("a thread could not be started") from error

  assert out_of_memory(raised(wrapped)).startswith("out of memory:")
  text = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 3.64TiB."
  assert "allocating 3.64 TiB:" in out_of_memory(RuntimeError(text))


@pytest.mark.parametrize(
  "error",
  [
    None,
    ValueError("shapes (3,) and (4,) do not go together"),
    OSError(errno.ENOSPC, "No space left on device"),
    RuntimeError("RESOURCE_EXHAUSTED: write [OS error 28: No space left on device]"),
    OverflowError("math range error"),
  ],
)
def test_other_errors_are_none_of_memory(error):
  assert out_of_memory(error) is None


def test_a_chain_that_bites_its_tail_ends():
  a, b = RuntimeError("a"), RuntimeError("b")
  a.__cause__, b.__cause__ = b, a
  assert out_of_memory(a) is None


def test_sizes_in_words():
  assert [size(n) for n in (2**20, 3 * 2**30, 2**41, 2**50, 2**61)] == [
    "1.0 MiB", "3.00 GiB", "2.00 TiB", "1.00 PiB", "2.00 EiB",
  ]  # fmt: skip
