"""Digests of what data are, wherever they are: two that differ are not the same data."""

from __future__ import annotations

import hashlib
import posixpath
import unicodedata
from collections.abc import Mapping

import numpy as np


def of_bytes(content: bytes) -> bytes:
  """The SHA-256 of a file's content."""
  return hashlib.sha256(content).digest()


def of_files(contents: Mapping[str, bytes]) -> str:
  """Of the names and the contents of files, in 16 hexadecimal digits.

  The folders that all of them are in make no difference, nor does the normal form of Unicode that
  their names are in.

  Args:
    contents: name with "/" -> `of_bytes` of its content.
  """
  shared = posixpath.commonpath([posixpath.dirname(name) for name in contents] or [""])
  start = len(shared) + 1 if shared else 0
  named = {unicodedata.normalize("NFC", name[start:]): mark for name, mark in contents.items()}
  whole = hashlib.sha256()
  for name in sorted(named):
    # A name of fixed length before a content of fixed length: no two sets read alike.
    whole.update(of_bytes(name.encode("utf-8", "surrogateescape")) + named[name])
  return whole.hexdigest()[:16]


def of_texts(texts: Mapping[str, str]) -> str:
  """As `of_files`, of texts by name."""
  return of_files({name: of_bytes(text.encode()) for name, text in texts.items()})


def of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
  """As `of_files`, of arrays by name: their types, shapes and values."""

  def mark(array):
    array = np.ascontiguousarray(array.astype(str) if array.dtype.hasobject else array)
    whole = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    whole.update(array.reshape(-1).view(np.uint8) if array.size else b"")
    return whole.digest()

  return of_files({name: mark(np.asarray(array)) for name, array in arrays.items()})


def joined(*digests: str) -> str:
  """Of several digests in their order; "" where all of them are."""
  return of_bytes(" ".join(digests).encode()).hex()[:16] if any(digests) else ""
