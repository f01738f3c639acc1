"""A mode that shows what a translator of sentences makes of single words."""

from __future__ import annotations

from gen_jax.core import UserError
from gen_jax.data import SPECIAL, is_text
from gen_jax.report.lexicon import entries, first_of
from gen_jax.report.uses.use import Use
from gen_jax.run.files import write_text

SAID = 10  # lines that are printed


def dictionary(run: Use) -> str:
  """Each word of the language that is translated from, and its translation, a line each: by the
  first stage where that translates, as one that finds a dictionary does."""
  if "y" not in run.spec.fields or not is_text(run.spec.x):
    raise UserError("--mode=dictionary is of models that translate sentences")
  start = run.model.given
  first = first_of(run.trained.system.program)
  model = first if first.transform is not None else run.model
  source, target = (run.spec.field(name) for name in (start, {"x": "y", "y": "x"}[start]))
  made = entries(model, run.states, source)
  lines = [
    f"{word}\t{target.names[token]}" for word, token in zip(source.names, made, strict=True)
  ][len(SPECIAL) :]
  path = run.folder("dictionary") / "words.tsv"
  write_text(path, "\n".join(lines) + "\n")
  return "\n".join([*lines[:SAID], f"{path}: {len(lines)} words"])
