"""Translations of sentences, where the right ones are known."""

from __future__ import annotations

import numpy as np

from gen_jax.data import SPECIAL
from gen_jax.report.measures.table import measure
from gen_jax.report.scene import Record, Scene


@measure("word_accuracy", "sentence_accuracy", needs=("transform",), fields=("y",))
def words(scene: Scene) -> dict[str, Record]:
  """Share of the words of the known translations y that stand in their places in the model's: a
  ratio over the split. Besides, the share of sentences that are right as a whole."""
  made, wanted = scene.transformed, scene.real["y"]
  word = wanted >= len(SPECIAL)
  right, count = (made == wanted) & word, int(word.sum())
  missing = {} if count else {"why": "the translations hold no word"}
  return {
    "word_accuracy": scene.of_split(
      right.sum() / count if count else np.nan, words=count, **missing
    ),
    "sentence_accuracy": scene.of_split(np.mean((made == wanted).all(1))),
  }
