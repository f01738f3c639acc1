"""Modes that show what a model makes of examples."""

from __future__ import annotations

import jax
import numpy as np

from gen_jax.colour import paint
from gen_jax.core import fold_each
from gen_jax.data import is_text
from gen_jax.report.tiles import tiled
from gen_jax.report.uses.use import Use, columns_of
from gen_jax.run import pictures
from gen_jax.run.conditions import conditions
from gen_jax.run.files import write_text
from gen_jax.run.grids import has_wanted, made_of, sentences, shown, translations


def reconstruct(run: Use) -> str:
  """Test examples above their reconstructions."""
  batch = run.examples(run.n)
  x = run.decode(run.encode(batch), run.cond(batch))
  scale = (run.levels or 2) - 1
  error = ((x.astype(np.float64) - batch["x"]) ** 2).reshape(len(x), -1).sum(1).mean() / scale**2
  path = run.folder("reconstruct") / f"n{len(x)}.png"
  columns = columns_of(len(x))
  pictures.show(path, pictures.in_turn([batch["x"], x], columns), run.levels, columns)
  run.save_each("reconstruct", x, run.levels)
  return f"{path}: squared error {error:.4f} an example, pixels in [0, 1]"


def transform(run: Use) -> str:
  """Examples, what the model makes of them, and what was wanted where that is known: translated,
  restored, coloured. The user's own are taken for such as `observe` gives them."""
  if run.inputs is not None and run.inputs.sizes:
    return transform_each(run)
  batch = run.examples(run.n)
  keys = fold_each(run.trained.key("evaluate"), np.arange(len(batch["x"])))
  cond = {name: batch[name] for name in run.model.cond}
  x = batch["x" if run.inputs is not None else run.model.given]
  given, made = jax.jit(made_of(run.model, run.inputs is not None))(run.states, x, keys, cond)
  known = run.model.observe is not None or has_wanted(run.spec, run.source)
  known &= run.inputs is None
  if is_text(run.spec.x):
    start, made = run.model.given, np.asarray(made)
    text = sentences(run.spec, start, {**batch, start: x}, made, known)
    path = run.folder("transform") / "sentences.txt"
    write_text(path, text)
    if run.inputs is not None:
      write_text(path.with_name("translations.txt"), translations(run.spec, start, made))
    return "\n".join([str(path), *text.splitlines()[:9]])
  sets = pictures.alike(
    shown(run.model, run.spec, batch, np.asarray(given), np.asarray(made), known)
  )
  columns = columns_of(len(batch["x"]))
  path = run.folder("transform") / f"n{len(batch['x'])}.png"
  pictures.save_png(path, pictures.grid(pictures.in_turn(sets, columns), columns))
  run.save_each("transform", sets[1], 256)
  return f"{path}: {', '.join(('given', 'made', 'wanted')[: len(sets)])}, row by row"


def transform_each(run: Use) -> str:
  """The user's images one by one, each at its own size."""
  compiled, names = jax.jit(made_of(run.model, True)), run.inputs.names
  context = run.model.context
  for i, (name, x, size) in enumerate(zip(names, run.inputs.x, run.inputs.sizes, strict=True)):
    keys = fold_each(run.trained.key("evaluate"), np.array([i]))
    cond = conditions(run.model, run.spec, 1, given=run.given)
    make = lambda x, how=(keys, cond): np.asarray(compiled(run.states, x[None], *how)[1][0])
    made = make(x) if context is None else tiled(make, x, context)
    sets = shown(run.model, run.spec, {"x": x[None]}, x[None], made[None], False)
    factor = sets[1].shape[1] // x.shape[0] or 1
    image = sets[1][0, : size[0] * factor, : size[1] * factor]
    pictures.save_png(run.folder("transform") / f"{name}.png", image)
  return f"{run.folder('transform')}: {', '.join(names)}"


def predict(run: Use) -> str:
  """The predicted class of each example, as a table; of each pixel, as label images."""
  if run.inputs is not None and run.inputs.sizes:
    return predict_each(run)
  batch = run.examples(run.n)
  classes = np.asarray(jax.jit(run.model.predict)(run.states, batch["x"]).argmax(-1))
  folder = run.folder("predict")
  if classes.ndim == 3:
    sets = [pictures.to_uint8(batch["x"], run.levels), paint(classes)]
    if "segmentation" in batch:
      sets.append(paint(batch["segmentation"]))
    columns = columns_of(len(classes))
    grid = pictures.grid(pictures.in_turn(pictures.alike(sets), columns), columns)
    pictures.save_png(folder / f"n{len(classes)}.png", grid)
    run.save_each("predict", sets[1], 256)
    return f"{folder}/n{len(classes)}.png: given, predicted and, where it is known, wanted"
  names = run.spec.fields["label"].names or tuple(map(str, range(run.spec.classes)))
  rows = run.inputs.names if run.inputs is not None else map(str, range(len(classes)))
  lines = [f"{row}\t{names[k]}" for row, k in zip(rows, classes, strict=True)]
  write_text(folder / "classes.tsv", "\n".join(lines) + "\n")
  return "\n".join([*lines[:10], f"{folder}/classes.tsv"])


def predict_each(run: Use) -> str:
  """The pixels' classes of the user's images one by one, each at its own size, in colours."""
  predict, folder = jax.jit(run.model.predict), run.folder("predict")
  make = lambda x: np.asarray(predict(run.states, x[None]).argmax(-1))[0]
  for name, x, (height, width) in zip(*run.inputs, strict=True):
    context = run.model.context
    classes = make(x) if context is None else tiled(make, x, context)
    classes = classes[:height, :width]
    pictures.save_png(folder / f"{name}.png", paint(classes))
  return f"{folder}: {', '.join(run.inputs.names)}"
