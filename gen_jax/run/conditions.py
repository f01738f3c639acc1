"""What samples are conditioned on: by name, or as the data are."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import numpy as np

from gen_jax.core import Field, Model, Spec, UserError, permutation
from gen_jax.data import SPECIAL, Split, Vocabulary, is_text, split_words
from gen_jax.schema import nearest


def conditions(
  model: Model,
  spec: Spec,
  n: int,
  *,
  split: Split | None = None,
  given: Mapping[str, np.ndarray] | None = None,
  spread: bool = False,
) -> dict[str, np.ndarray]:
  """What each of n samples is conditioned on, {} for an unconditional model.

  Entry i depends on i and the split only: the fields of example i % N of a fixed permutation of the
  split, whose order may be that of its classes; except that fields that are `given` have that value
  everywhere, and with `spread` (or without a split) label i is i % classes.

  Args:
    model: whose `cond` it is.
    spec: of its data.
    n: how many.
    split: where the fields are read from.
    given: field -> value, of the field's shape.
    spread: take the labels in turn.

  Raises:
    UserError: if fields other than the label are needed, and neither given nor in a split.
  """
  rows, given = np.arange(n), given or {}
  out = {name: np.repeat(np.asarray(value)[None], n, axis=0) for name, value in given.items()}
  if "label" in model.cond and "label" not in out and (spread or split is None):
    out["label"] = (rows % spec.classes).astype(np.int32)
  rest = [name for name in model.cond if name not in out]
  if rest and split is None:
    wanted = " ".join(f"--cond.{name}=..." for name in rest)
    raise UserError(f"this model is conditioned on {', '.join(rest)}: give {wanted}")
  if rest:
    fields = split.take(permutation(len(split))[rows % len(split)])
    out |= {name: fields[name] for name in rest}
  return out


def captions(spec: Spec, cond: Mapping[str, np.ndarray]) -> str:
  """The conditions [n, T] that are sentences, a line for each of n samples; "" where none are."""
  decode = {name: Vocabulary(spec.fields[name].names).decode for name in cond
            if is_text(spec.field(name))}  # fmt: skip
  rows = zip(*([decode[name](row) for row in cond[name]] for name in decode))
  return "".join("\t".join(row) + "\n" for row in rows)


def parse_given(model: Model, spec: Spec, texts: Mapping[str, str]) -> dict[str, np.ndarray]:
  """Conditions given as text: {field: text} -> {field: value of the field's shape}.

  A label is a name or a number; a caption is a sentence; a sequence, such as of actions, is names
  or numbers with commas between them.

  Raises:
    UserError: for a field that the model does not take, or a text that is no value of it.
  """
  out = {}
  for name, text in texts.items():
    if name not in model.cond:
      takes = f"takes {', '.join(model.cond)}" if model.cond else "takes no condition"
      raise UserError(f"--cond.{name}: this model {takes}")
    out[name] = parse_field(spec.field(name), text, f"--cond.{name}")
  return out


def parse_field(field: Field, text: str, where: str) -> np.ndarray:
  """One value of a field, of its shape, from text.

  Raises:
    UserError: naming `where` and what would be right.
  """
  if field.names[: len(SPECIAL)] == SPECIAL:
    vocabulary, (length,) = Vocabulary(field.names), field.shape
    words = split_words(text)
    unknown = [word for word in words if word not in field.names]
    if unknown:
      raise UserError(f"{where}: no word {unknown[0]!r} here{nearest(unknown[0], field.names[4:])}")
    if len(words) > length - 2:
      raise UserError(f"{where} has {len(words)} words, and at most {length - 2} are read")
    return vocabulary.encode(text, length)
  parts = text.split(",") if field.shape else [text]
  if len(field.shape) > 1 or (field.shape and len(parts) != field.shape[0]):
    wanted = f"{field.shape[0]} values with commas between them" if len(field.shape) == 1 else None
    raise UserError(f"{where} takes {wanted or 'no text: it is an image'}, not {text!r}")
  values = [parse_level(field, part.strip(), where) for part in parts]
  return np.asarray(values if field.shape else values[0], field.dtype)


def parse_level(field: Field, text: str, where: str) -> float:
  """A name, or a number, as the value it stands for."""
  names = [unicodedata.normalize("NFC", name) for name in field.names]
  if (named := unicodedata.normalize("NFC", text)) in names:
    return names.index(named)
  try:
    value = float(text) if field.levels is None else int(text)
  except ValueError:
    if field.names:
      raise UserError(f"{where}: no {text!r} here{nearest(text, field.names)}") from None
    raise UserError(f"{where} takes a number, not {text!r}") from None
  if field.levels is not None and not 0 <= value < field.levels:
    raise UserError(f"{where} must lie in 0..{field.levels - 1}, not {value}")
  return value


def by_class(model: Model, spec: Spec, per_class: int = 10) -> tuple[int, np.ndarray, int]:
  """How to lay samples out in a grid: (how many, their order, columns).

  With labels i % classes, one row shows one class; else the grid is square.
  """
  if model.cond == ("label",) and spec.classes <= 20:
    n = per_class * spec.classes
    return n, np.arange(n).reshape(per_class, spec.classes).T.reshape(-1), per_class
  return 64, np.arange(64), 8
