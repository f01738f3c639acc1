"""What models make of the fields of a batch that they are conditioned on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax

from gen_jax.core import Array, Spec, UserError


def one_hot(spec: Spec, conditional: bool, dtype) -> Callable[[Mapping | None], Array | None]:
  """cond {"label": [B], ...} -> [B, K] of 0 and 1; or, where not `conditional`, anything -> None.

  Raises:
    UserError: if the data have no labels; and when it is used, if it is given none.
  """
  if not conditional:
    return lambda cond: None
  if spec.classes < 1:
    raise UserError("model.conditional=True needs labels, and these data have none: set it False")

  def of(cond):
    if cond is None or "label" not in cond:
      raise UserError("this model is conditioned on label: give cond={'label': ...}")
    return jax.nn.one_hot(cond["label"], spec.classes, dtype=dtype)

  return of
