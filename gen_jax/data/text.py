"""Sentences from text files, one a line: of one language, or of two."""

from __future__ import annotations

import gzip
import io
import posixpath
import re
import unicodedata
from collections.abc import Callable

import numpy as np
from absl import logging

from gen_jax import core, remote
from gen_jax.data import digest, images, source, vocabulary
from gen_jax.data import files as files_lib

LONGEST = 64  # tokens
MAX_BYTES = 2**30  # of one file, unpacked


def unpack(content: bytes, name: str) -> str:
  """What stands in a text file or in a gzip file of text, in Unicode's form NFC.

  Raises:
    UserError: if it is not text.
  """
  try:
    if content[:2] == b"\x1f\x8b":
      with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        content = stream.read(MAX_BYTES + 1)
      if len(content) > MAX_BYTES:
        raise core.UserError(f"{name} is more than {MAX_BYTES} bytes unpacked")
    return unicodedata.normalize("NFC", content.decode("utf-8-sig"))
  except (OSError, EOFError, UnicodeDecodeError) as error:
    raise core.UserError(f"{name} is not a text file: {source.reason(error)}") from error


def split_lines(text: str, name: str) -> list[str]:
  """The lines of a text.

  Raises:
    UserError: if there are none, or an empty one.
  """
  lines = text.split("\n")
  if not lines[-1].strip():
    lines.pop()
  lines = [line.strip() for line in lines]
  if not lines:
    raise core.UserError(f"{name} is empty")
  if "" in lines:
    raise core.UserError(
      f"{name}, line {lines.index('') + 1}: empty, where every line is a sentence"
    )
  return lines


def open_text(path: str) -> tuple[tuple[str, ...], Callable[[str], str]]:
  """Names and a reader of what stands in them, of a folder, a zip archive, or one file.

  Raises:
    UserError: if there is nothing to read.
  """
  root = remote.locate(path)
  if not path.endswith(".zip") and not root.is_dir():
    if not root.exists():
      raise core.UserError(f"no such file or folder: data.path={path}")

    return (root.name,), lambda name: unpack(files_lib.read_file(path, MAX_BYTES), path)
  files = files_lib.open_files(path)

  def read(name):
    try:
      return unpack(files.read(name), f"{name} of {path}")
    except images.BadImage as error:
      raise core.UserError(f"cannot read {name} of {path}: {error}") from error

  return files.names, read


def find(names: tuple[str, ...], languages: tuple[str, ...], path: str) -> dict:
  """split -> {language: file}; the language is "" where none is named.

  Raises:
    UserError: if files or languages are missing, or two files are of one split and language.
  """
  found: dict[str, dict[str, str]] = {}
  for name in names:
    parts = posixpath.basename(name).removesuffix(".gz").split(".")
    language = next((part for part in parts if part in languages), "")
    if languages and not language:
      continue
    heads = [re.split(r"[_-]", part)[0] for part in parts]
    known = filter(None, map(source.split_of, heads))
    split = next(known, "")
    if len(names) == 1:
      split = "train"
    if not split:
      continue
    other = found.setdefault(split, {}).setdefault(language, name)
    if other != name:
      raise core.UserError(
        f"{other} and {name} in {path} are of one split: set data.languages, such as ('en', 'fr')"
      )
  read = {name for files in found.values() for name in files.values()}
  if rest := [name for name in names if name not in read and not languages]:
    logging.warning("not read in %s, for want of a split's name: %s.", path, source.some(rest))
  for split, files in found.items():
    if missing := [language for language in languages if language not in files]:
      raise core.UserError(f"{path} has no {split} file of {missing[0]}, as {split}.{missing[0]}")
  if "train" not in found:
    wanted = " and ".join(f"train.{language}" for language in languages) or "train.txt"
    raise core.UserError(f"{path} has no {wanted}: files are named by split, as train, val, test")
  return found


def load(
  *,
  path: str,
  languages: tuple[str, ...],
  unpaired: bool,
  tokens: str,
  minimum: int,
  length: int,
  validation: float,
  test: float,
  split_seed: int,
) -> source.Source:
  """Sentences as tokens: x int32 [T] of the only or first language, y int32 [T] of the second.

  Each language has a vocabulary of its own, built on the training split; T is one for both. See
  `gen_jax.data.load` for the arguments.

  Raises:
    UserError: if files are missing, are not text, have empty lines or different numbers of them.
  """
  if not path:
    raise core.UserError("data.name=text reads sentences from data.path, which is not given")
  if len(languages) > 2 or len(set(languages)) < len(languages):
    raise core.UserError(f"data.languages={languages}: one or two of them")
  if unpaired and len(languages) != 2:
    raise core.UserError("data.unpaired=True needs two data.languages, such as ('en', 'fr')")
  if length in (1, 2):
    raise core.UserError(f"data.length={length}: <bos> and <eos> leave no place for a word")
  names, read = open_text(path)
  keys = languages or ("",)
  lines = {
    split: [split_lines(read(files[language]), f"{files[language]} of {path}") for language in keys]
    for split, files in find(names, languages, path).items()
  }
  for split, columns in lines.items():
    counts = [len(column) for column in columns]
    if len(set(counts)) > 1 and not (unpaired and split == "train"):
      raise core.UserError(
        f"the {split} files of {path} have {counts[0]} and {counts[1]} lines:"
        " they are translations line by line"
      )
  split_words = str.split if tokens == "spaces" else vocabulary.split_words
  sizes = {split: min(map(len, columns)) for split, columns in lines.items()}
  chosen = source.hold_out(sizes, validation=validation, test=test, seed=split_seed)
  rows = {split: [index] * len(keys) for split, (_, index) in chosen.items()}
  if unpaired:
    where = rows["train"][0]
    half = len(where) // 2
    rows["train"] = [where[:half], where[half:]]
    if len(sizes) == 3:  # nothing is held out of it: every line counts
      counts = [len(column) for column in lines["train"]]
      rows["train"] = [np.arange(counts[0] // 2), np.arange(counts[1] // 2, counts[1])]
    if not half:
      raise core.UserError(f"{path} has too few sentences to train on")

  words = {
    split: [
      [split_words(lines[origin][i][row]) for row in rows[split][i]] for i in range(len(keys))
    ]
    for split, (origin, _) in chosen.items()
  }
  longest = 2 + max(len(sentence) for column in words["train"] for sentence in column)
  length = length or min(LONGEST, longest)
  cut = sum(len(s) > length - 2 for columns in words.values() for c in columns for s in c)
  if cut:
    logging.warning("%d sentences of %s are cut after %d words.", cut, path, length - 2)
  known = [vocabulary.build_words(column, minimum) for column in words["train"]]
  columns = {
    split: [
      np.stack([known[i].encode_words(sentence, length) for sentence in column])
      for i, column in enumerate(every)
    ]
    for split, every in words.items()
  }
  splits: dict[str, source.Split] = {}
  for split, arrays in columns.items():
    named = dict(zip("xy", arrays))
    if unpaired and split == "train":
      splits[split] = source.Unpaired(
        *(source.ArraySplit({name: array}) for name, array in named.items())
      )
    else:
      splits[split] = source.ArraySplit(named)
  x, *others = (core.Field((length,), len(v), v.words) for v in known)
  mark = digest.of_texts(
    {
      f"{split}/{key}": "\n".join(column)
      for split, columns in lines.items()
      for key, column in zip(keys, columns, strict=True)
    }
  )
  held_out = {
    split: {name: tuple(map(" ".join, column)) for name, column in zip("xy", every)}
    for split, every in words.items()
    if split != "train"
  }
  notes = {"texts": held_out} | ({"counterparts": True} if others else {})
  return source.Source("text", core.Spec(x, dict(zip("y", others))), splits, notes, digest=mark)
