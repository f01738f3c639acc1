"""Transformer that sees all positions of a sequence, some of them hidden."""

from __future__ import annotations

import jax.numpy as jnp

from gen_jax.core import Array
from gen_jax.nets.transformer import Trunk


class MaskedTransformer(Trunk):
  """Integers x [B, T] in 0..K, K where they are hidden, label [B] or None -> logits [B, T, K].

  The label's vector is added to all positions; its value `classes` stands for none.

  Fields: those of `Trunk`; `levels` is K, `classes` 0 where there are no labels.
  """

  @property
  def tables(self) -> tuple[int, int]:
    return self.levels + 1, self.classes + 1

  @property
  def sees(self) -> Array:
    return jnp.ones((1, 1), bool)

  def embed(self, x: Array, label: Array | None) -> Array:
    h = self.token(x)
    return h + self.first(label)[:, None] if self.classes else h
