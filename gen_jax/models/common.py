"""What the builders of all families share: labels, scaled pixels, grey levels and bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import chex
import jax

from gen_jax.core import Array, Field, Spec, UserError, count_dims, unit


def require_labels(spec: Spec, who: str = "model.conditional=True", classes: int = 1) -> None:
  """Refuses data with fewer classes than `who` needs.

  Raises:
    UserError: saying so.
  """
  if spec.classes < classes:
    some = f"labels of {classes} classes or more" if classes > 1 else "labels"
    has = f"{spec.classes} class" if spec.classes else "none"
    raise UserError(f"{who} needs {some}, and these data have {has}")


def require_captions(spec: Spec, who: str) -> Field:
  """The field of captions, tokens [T] of a vocabulary.

  Raises:
    UserError: if there is none.
  """
  field = spec.fields.get("caption", Field())
  if field.levels is None or len(field.shape) != 1:
    raise UserError(f"{who} needs captions, and these data have none")
  return field


def require_images(spec: Spec, who: str) -> None:
  """Refuses data that are not images [H, W, C] with integer levels.

  Raises:
    UserError: saying what they are.
  """
  if len(spec.shape) != 3 or spec.levels is None:
    kind = "real values" if spec.levels is None else "integers"
    raise UserError(
      f"{who} models images with integer grey levels, not data of shape {spec.shape} of {kind}"
    )


def require_multiples(spec: Spec, factor: int, because: str) -> None:
  """Refuses images whose height or width `factor` does not divide.

  Raises:
    UserError: that begins with `because`, a clause.
  """
  if any(size % factor for size in spec.shape[:2]):
    raise UserError(
      f"{because}, so the image's height and width must be multiples of {factor}, not"
      f" {spec.shape[0]}x{spec.shape[1]}: give another data.resolution or a smaller model"
    )


def field_of(cond: Mapping | None, name: str) -> Array:
  """That field [B, ...] of a condition.

  Raises:
    UserError: where there is none.
  """
  if cond is None or name not in cond:
    raise UserError(f"this model is conditioned on {name}: give cond={{{name!r}: ...}}")
  return cond[name]


def label_of(cond: Mapping | None) -> Array:
  """The labels [B] of a condition; see `field_of`."""
  return field_of(cond, "label")


def field(name: str) -> Callable[[Mapping | None], Array | None]:
  """cond -> that field of it, see `field_of`; or None where the name is ""."""
  return (lambda cond: field_of(cond, name)) if name else lambda cond: None


def one_hot(spec: Spec, conditional: bool, dtype) -> Callable[[Mapping | None], Array | None]:
  """cond -> labels as one-hot [B, K], or None where the model is not conditional.

  Raises:
    UserError: if the data have no labels; and when it is used, if it is given none.
  """
  if not conditional:
    return lambda cond: None
  require_labels(spec)
  return lambda cond: jax.nn.one_hot(label_of(cond), spec.classes, dtype=dtype)


def scaling(spec: Spec, dtype, scale: Callable = unit) -> Callable[[Array], Array]:
  """x [B, *spec.shape] as it is given -> as a network takes it: grey levels by `core.unit`, to
  [0, 1], or `core.centre`, to [-1, 1]; real values as they are."""

  def scaled(x):
    chex.assert_shape(x, (None, *spec.shape))
    return x.astype(dtype) if spec.levels is None else scale(x, spec.levels, dtype)

  return scaled


def in_levels(x: Array, spec: Spec) -> Array:
  """x in [0, 1], clipped to it, in grey levels, real-valued; data of real values as they are."""
  return x if spec.levels is None else (spec.levels - 1) * x.clip(0, 1)


def bits_per_dim(nats: Array, spec: Spec) -> Array:
  """Nats of an example in bits for each of its dimensions."""
  return nats / (count_dims(spec) * math.log(2))


def require_two_images(spec: Spec, who: str, where: str) -> None:
  """Refuses data without images x and y of one size; where: how they belong together, and a set
  that has such."""
  y = spec.fields.get("y")
  if y is None or len(spec.shape) != 3 or len(y.shape) != 3 or None in (spec.levels, y.levels):
    raise UserError(f"{who} needs images x and y of integer levels, {where}, or another set with y")
  if spec.shape[:2] != y.shape[:2]:
    raise UserError(f"x and y must be of one height and width, not {spec.shape} and {y.shape}")
