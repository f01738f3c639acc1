"""The picture that a stage leaves as it learns: samples, or examples, what is made of them, and
what was wanted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from gen_jax.colour import paint
from gen_jax.core import Model, PyTree, Spec, fold_each, permutation, stream
from gen_jax.data import Vocabulary, is_text
from gen_jax.run import pictures, processes, sample
from gen_jax.run.conditions import by_class, captions, conditions
from gen_jax.run.files import folder_in, write_text
from gen_jax.run.system import System

EXAMPLES, COLUMNS = 16, 8  # of a grid of examples


class Grid:
  """The picture of one stage of a system; what it compiles is kept."""

  def __init__(self, system: System, index: int):
    self.system, self.model = system, system.model(index)
    self.spec, self.source = system.seen(index)
    self.drawer = self.maker = None

  @property
  def possible(self) -> bool:
    """Whether the model makes anything that can be shown."""
    model, shape = self.model, self.spec.shape
    segments = model.predict is not None and "segmentation" in self.spec.fields
    shown = len(shape) == 3 or is_text(self.spec.x)
    return model.sample is not None or (shown and (model.transform is not None or segments))

  def save(self, path: Path, states: list[PyTree]) -> np.ndarray | None:
    """Writes the picture, of sentences a text, and the captions of samples as a text beside it;
    returns the picture [H, W, C] uint8, or None where there is none to draw."""
    said = ""
    if self.model.sample is not None:
      x, columns, said = self.samples(states)
      draw = lambda: pictures.show(path, x, self.spec.levels, columns)
    elif is_text(self.spec.x):
      batch, _, made, known = self.examples(states)
      text = sentences(self.spec, self.model.given, batch, made, known)
      draw = lambda: write_text(path.with_suffix(".txt"), text)
    else:
      examples = self.examples(states)
      if self.model.transform is None and examples[2].ndim == 1:
        return None  # one class for an example, and not for each of its pixels
      sets = shown(self.model, self.spec, *examples)
      columns = min(COLUMNS, len(sets[0]))
      grid = pictures.grid(pictures.in_turn(pictures.alike(sets), columns), columns)
      draw = lambda: pictures.save_png(path, grid)
    if not processes.is_first():
      return None
    folder_in(path.parent.parent, path.parent.name)
    if said:
      write_text(path.with_suffix(".txt"), said)
    return draw()

  def samples(self, states: list[PyTree]) -> tuple[np.ndarray, int, str]:
    """Samples in the order of the grid, its columns, and their captions, a line each."""
    system, model = self.system, self.model
    if self.drawer is None:
      self.drawer = sample.compiled(model.sample, system.mesh)
    n, order, columns = by_class(model, self.spec)
    cond = conditions(model, self.spec, n, split=self.source.splits["train"], spread=True)
    x = sample.draw(
      self.drawer, states, sample.sample_keys(system.config["seed"]), n, cond,
      chunk=sample.chunk_size(system.experiment.evaluate.batch_size, system.mesh),
      mesh=system.mesh,
    )  # fmt: skip
    return x[order], columns, captions(self.spec, {name: v[order] for name, v in cond.items()})

  def examples(self, states: list[PyTree]) -> tuple[dict, np.ndarray, np.ndarray, bool]:
    """Some examples that were not learnt from, the same at every step, what is given of them, what
    the model makes, and whether it is known what was wanted."""
    split = self.source.splits.get("validation", self.source.splits["train"])
    batch = split.take(permutation(len(split))[:EXAMPLES])
    if self.maker is None:
      self.maker = jax.jit(made_of(self.model))
    index = np.arange(len(batch["x"]))
    keys = fold_each(stream(self.system.root, "sample"), index)
    fields = {name: batch[name] for name in self.model.cond}
    given, made = self.maker(states, batch[self.model.given], keys, fields)
    known = self.model.observe is not None or has_wanted(self.spec, self.source)
    return batch, np.asarray(given), np.asarray(made), known


def sentences(spec: Spec, start: str, batch: Mapping, made: np.ndarray, known: bool) -> str:
  """Sentences of the field `start`, each above what the model made of it and, where it is known,
  what was wanted."""
  to = {"x": "y" if "y" in spec.fields else "x", "y": "x"}[start]
  source, target = (Vocabulary(spec.field(name).names) for name in (start, to))
  lines = []
  for i, (x, y) in enumerate(zip(batch[start], made, strict=True)):
    lines += [source.decode(x), f"  made    {target.decode(y)}"]
    lines += [f"  wanted  {target.decode(batch[to][i])}"] if known else []
  return "\n".join(lines) + "\n"


def translations(spec: Spec, start: str, made: np.ndarray) -> str:
  """What the model made of sentences of the field `start`, one a line."""
  to = {"x": "y" if "y" in spec.fields else "x", "y": "x"}[start]
  return "".join(f"{Vocabulary(spec.field(to).names).decode(row)}\n" for row in made)


def made_of(model: Model, observed: bool = False):
  """(states, x, keys, cond) -> (what is given, what the model makes of it).

  observed: x are such as `observe` gives them.
  """

  def make(states, x, keys, cond):
    cond = cond or None
    if model.transform is None:
      return x, model.predict(states, x).argmax(-1)
    given = x if model.observe is None or observed else model.observe(states, x, keys, cond)
    return given, model.transform(states, given, keys, cond)

  return make


def has_wanted(spec, source) -> bool:
  """Whether y of a held-out example is what its x should become."""
  paired = spec.fields.get("y")
  known = source is not None and source.notes.get("counterparts", False)
  return paired is not None and (paired.aligned or known)


def shown(
  model: Model, spec: Spec, batch: Mapping, given: np.ndarray, made: np.ndarray, known: bool
) -> list[np.ndarray]:
  """Given, made and, where it is known, wanted, as pictures [n, H, W, C] uint8.

  Wanted is x where the model restores what `observe` made of it, else the paired image, else the
  label image.
  """
  image = lambda x, levels: pictures.to_uint8(x, levels)
  sets = [image(given, spec.field(model.given).levels)]
  if model.transform is None:
    return [*sets, paint(made), paint(batch["segmentation"])]
  paired = spec.fields.get("y")
  if model.observe is not None:
    wanted = [image(batch["x"], spec.levels)] if known else []
    return [*sets, image(made, spec.levels), *wanted]
  if paired is not None:
    to = "x" if model.given == "y" else "y"
    levels = spec.field(to).levels
    wanted = [image(batch[to], levels)] if known else []
    return [*sets, image(made, levels), *wanted]
  return [*sets, image(made, spec.levels)]
