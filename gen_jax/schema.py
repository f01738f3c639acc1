"""Signatures as schemas: what a value of an annotation may be, checked and completed.

Ranges stand in the annotations of builders and of their options (`Annotated`, in the vocabulary of
annotated-types), and are checked in one place, whether a value comes from a config or from Python.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import jax
from annotated_types import BaseMetadata, Ge, Gt, Interval, Le, Lt, MinLen

from gen_jax.core import Spec, UserError


@dataclasses.dataclass(frozen=True)
class Below(BaseMetadata):
  """A limit of the machine: steps, samples and sizes are counted by 32-bit integers, which wrap."""

  limit: int = 2**31


@dataclasses.dataclass(frozen=True)
class Computable(BaseMetadata):
  """A type of numbers that JAX computes with as it is set up."""


# Ranges of hyperparameters, as the annotations of builders and of their options say them.
Count = Annotated[int, Ge(1), Below()]
Natural = Annotated[int, Ge(0), Below()]
# Keys are made of 32 bits: a longer seed would be another one's.
Seed = Annotated[int, Ge(0), Below(2**32)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Interval(ge=0, le=1)]
Decay = Annotated[float, Interval(ge=0, lt=1)]
Dtype = Annotated[Literal["float32", "bfloat16", "float64"], Computable()]
Wide = Annotated[Literal["float32", "float64"], Computable()]


def in_words(ge=None, gt=None, le=None, lt=None) -> str:
  """A range: "1 or more", "positive", "in [0, 1)", ..."""
  low, high = gt if ge is None else ge, lt if le is None else le
  if high is None:
    more = "positive" if low == 0 else f"above {low}"
    return f"{low} or more" if ge is not None else more
  if low is None:
    return f"{high} or less" if le is not None else f"below {high}"
  return f"in {'(' if ge is None else '['}{low}, {high}{')' if le is None else ']'}"


def check_range(value: Any, constraints: tuple, where: str) -> None:
  """Refuses a value that the constraints of an `Annotated` type do not admit.

  Raises:
    UserError: naming `where`, the range and the value.
  """
  flat = [c for group in constraints for c in (group if isinstance(group, Interval) else (group,))]
  bounds = {}
  for c in flat:
    if isinstance(c, MinLen):
      if len(value) < c.min_length:
        raise UserError(f"{where} must have {c.min_length} or more entries, not {value!r}")
    if isinstance(c, Below) and value >= c.limit:
      raise UserError(f"{where} must be below {c.limit}, not {value!r}")
    for kind, name in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
      if isinstance(c, kind):
        bounds[name] = getattr(c, name)
  # Written so that NaN is in no range; nor are infinities.
  inside = (finite(value) if bounds else True) and (
    (bounds.get("ge") is None or value >= bounds["ge"])
    and (bounds.get("gt") is None or value > bounds["gt"])
    and (bounds.get("le") is None or value <= bounds["le"])
    and (bounds.get("lt") is None or value < bounds["lt"])
  )
  if not inside:
    raise UserError(f"{where} must be {in_words(**bounds)}, not {value!r}")


def finite(value: Any) -> bool:
  """Whether a number is; None and whole numbers of any length are."""
  return not isinstance(value, float) or math.isfinite(value)


def check_computable(value: str, where: str) -> None:
  """Refuses a type of numbers that JAX, as it is set up, would quietly take another one for.

  Raises:
    UserError: naming `where` and the setting.
  """
  if jax.dtypes.canonicalize_dtype(value) != value:
    raise UserError(
      f"{where}={value} needs JAX_ENABLE_X64=1 in the environment: without it JAX computes in"
      f" {jax.dtypes.canonicalize_dtype(value)}"
    )


def check(kind: Any, value: Any, where: str) -> None:
  """Refuses a value outside the ranges and choices of its annotation, all the way down.

  Raises:
    UserError: naming the field.
  """
  origin, args = typing.get_origin(kind), typing.get_args(kind)
  if origin is Annotated:
    check(args[0], value, where)
    check_range(value, args[1:], where)
    if any(isinstance(c, Computable) for c in args[1:]):
      check_computable(value, where)
  elif origin is Literal:
    if value not in args:
      raise UserError(f"{where} must be one of {', '.join(map(str, args))}, not {value!r}")
  elif origin is tuple:
    for i, each in enumerate(value):
      check(args[0], each, f"{where}[{i}]")
  elif origin in (typing.Union, types.UnionType):
    if value is not None:
      several = isinstance(value, tuple)
      options = [a for a in args if a is not type(None)]
      fits = (a for a in options if (typing.get_origin(bare(a)) is tuple) == several)
      check(next(fits, options[0]), value, where)
  elif dataclasses.is_dataclass(kind):
    if not isinstance(value, kind):
      raise UserError(f"{where} must be {kind.__name__}(...), not {value!r}")
    for name, hint in typing.get_type_hints(type(value), include_extras=True).items():
      check(hint, getattr(value, name), f"{where}.{name}")
  elif kind is float and not finite(value):
    raise UserError(f"{where} must be a finite number, not {value!r}")


# Config groups of their own: what a builder takes besides hyperparameters.
OPTIONS = ("sample", "likelihood")


BUILDER = "is_builder"  # the attribute by which a builder is known


def builder(build: Callable) -> Callable:
  """A builder that refuses what lies outside the ranges of its signature, also in a direct call."""

  @functools.wraps(build)
  def checked(spec: Spec, **given):
    hints = typing.get_type_hints(build, include_extras=True)
    for name in given.keys() & hints.keys():
      check(hints[name], given[name], name if name in OPTIONS else f"model.{name}")
    return build(spec, **given)

  setattr(checked, BUILDER, True)
  return checked


def nearest(name: str, names) -> str:
  """ "; did you mean a or b?", or the names where none is near."""
  names = [str(n) for n in names]
  close = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
  if close:
    return f"; did you mean {' or '.join(close)}?"
  return f"; one of {', '.join(names)}" if names else ""


def parameters(target: Callable) -> dict[str, tuple[Any, Any]]:
  """name -> (annotation, default) of the keyword parameters of a function or dataclass."""
  # Of a dataclass, not of its __init__: a field that it inherits is written in another module.
  stated = inspect.isfunction(target) or dataclasses.is_dataclass(target)
  target_ = target if stated else target.__init__
  hints = typing.get_type_hints(target_, include_extras=True)
  return {
    name: (hints.get(name, Any), p.default)
    for name, p in inspect.signature(target).parameters.items()
    if p.kind == p.KEYWORD_ONLY or inspect.isclass(target)
  }


def bare(kind: Any) -> Any:
  """The annotation without its own ranges and those of its items."""
  origin, args = typing.get_origin(kind), typing.get_args(kind)
  if origin is Annotated:
    return bare(args[0])
  return tuple[bare(args[0]), ...] if origin is tuple else kind


def convert(value: Any, kind: Any, where: str) -> Any:
  """value as the annotation `kind` wants it.

  Raises:
    UserError: naming the field `where`, what it takes and what it was given.
  """
  origin, args = typing.get_origin(kind), typing.get_args(kind)

  def refuse(what):
    raise UserError(f"config.{where} must be {what}, not {value!r}")

  if kind is Any:
    return value
  if origin is Annotated:
    value = convert(value, args[0], where)
    check_range(value, args[1:], f"config.{where}")
    return value
  if origin is Literal:
    if value not in args:
      refuse("one of " + ", ".join(map(str, args)))
    return value
  if origin in (typing.Union, types.UnionType):
    for option in args:
      try:
        convert(value, bare(option), where)
      except UserError:
        continue
      return convert(value, option, where)
    refuse(" or ".join(getattr(bare(a), "__name__", str(a)) for a in args))
  if dataclasses.is_dataclass(kind):
    if isinstance(value, kind):
      return value
    if not isinstance(value, Mapping):
      refuse(f"a group of {', '.join(f.name for f in dataclasses.fields(kind))}")
    return kind(**complete(parameters(kind), value, where))
  if origin is tuple:
    if not isinstance(value, list | tuple):
      refuse("a tuple, such as " + ("('a', 'b')" if args[0] is str else "(1, 2)"))
    return tuple(convert(v, args[0], f"{where}[{i}]") for i, v in enumerate(value))
  if kind is float and isinstance(value, int) and not isinstance(value, bool):
    return float(value) if abs(value) < 2**1023 else refuse("a finite number")
  if kind is type(None):
    return value if value is None else refuse("None")
  if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
    names = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}
    refuse(names.get(kind, "a group of fields"))
  if kind is float and not finite(value):
    refuse("a finite number")
  return value


def complete(fields: dict[str, tuple[Any, Any]], given: Mapping, where: str) -> dict[str, Any]:
  """The given fields of the group `where` ("" for the config itself) checked and converted, with
  defaults for the others; a group that is given in part is completed from its own default.

  Raises:
    UserError: for a field that does not exist, a missing one, or a value of the wrong type.
  """
  prefix = f"{where}." if where else ""
  for name in given:
    if name not in fields:
      raise UserError(f"config.{prefix}{name} does not exist{nearest(name, fields)}")
  out = {}
  for name, (kind, default) in fields.items():
    if name not in given and default is inspect.Parameter.empty:
      raise UserError(f"config.{prefix}{name} is missing: it has no default")
    value = given.get(name, default)
    if dataclasses.is_dataclass(default) and isinstance(value, Mapping):
      value = merge(as_dict(default), value)
    out[name] = convert(value, kind, f"{prefix}{name}")
  return out


def as_dict(value: Any) -> Any:
  """Dataclasses and mappings to plain dicts, all the way down."""
  if dataclasses.is_dataclass(value):
    return {f.name: as_dict(getattr(value, f.name)) for f in dataclasses.fields(value)}
  if isinstance(value, Mapping):
    return {k: as_dict(v) for k, v in value.items()}
  return value


def merge(base: Mapping, *changes: Mapping) -> dict:
  """base with the changes written over it, group by group."""
  out = dict(base)
  for change in changes:
    for key, value in change.items():
      both = isinstance(value, Mapping) and isinstance(out.get(key), Mapping)
      out[key] = merge(out[key], value) if both else value
  return out
