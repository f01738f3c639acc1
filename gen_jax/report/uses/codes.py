"""Modes that show what a code holds."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax import metrics
from gen_jax.core import UserError
from gen_jax.report.uses.use import Use, all_codes, unraveller, vectors
from gen_jax.run import pictures
from gen_jax.run.files import write_arrays, write_json


def interpolate(run: Use) -> str:
  """Between the codes of pairs of test examples, or of draws where a model does not encode, in a
  line and on the sphere, and in a line between their styles where they have such: one pair a row.
  """
  pairs, frames = max(run.n // 10, 1), 10
  batch = run.examples(2 * pairs)
  pairs = len(batch["x"]) // 2
  cond = {name: batch[name][: 2 * pairs] for name in run.model.cond} or None
  code = run.encode(batch) if run.model.encode is not None else run.draw_codes(2 * pairs, cond)
  paths = {"linear": (code, metrics.lerp), "spherical": (code, metrics.slerp)}
  if run.model.styles is not None:
    paths["styles"] = run.styles(code, cond), metrics.lerp
  t = jnp.linspace(0, 1, frames)
  cond = {name: np.repeat(batch[name][:pairs], frames, 0) for name in run.model.cond} or None
  for name, (ends, path) in paths.items():
    back, z = unraveller(ends), jnp.asarray(vectors(ends), jnp.float32)
    between = jax.vmap(lambda a, b, path=path: jax.vmap(lambda s: path(a, b, s))(t))
    points = between(z[:pairs], z[pairs : 2 * pairs]).reshape(pairs * frames, -1)
    x = run.decode(back(points), cond)
    pictures.show(run.folder("interpolate") / f"{name}.png", x, run.levels, frames)
  return f"{run.folder('interpolate')}/{{{','.join(paths)}}}.png: {pairs} pairs"


def traverse(run: Use) -> str:
  """One latent at a time from -3 to 3 standard deviations of the codes, from one example's code.

  Rows are latents, those that vary most over the test split first.
  """
  frames = 11
  codes, _ = all_codes(run, run.split)
  batch = run.examples(1)
  code = run.encode(batch)
  back, base, std = unraveller(code), vectors(code)[0], codes.std(0)
  latents = np.argsort(-std)[: max(run.n // frames, 1)]
  rows = np.tile(base, (len(latents), frames, 1))
  for row, i in zip(rows, latents, strict=True):
    row[:, i] = codes[:, i].mean() + std[i] * np.linspace(-3, 3, frames)
  count = len(latents) * frames
  cond = {name: np.repeat(batch[name], count, 0) for name in run.model.cond} or None
  x = run.decode(back(jnp.asarray(rows.reshape(count, -1), jnp.float32)), cond)
  path = run.folder("traverse") / "latents.png"
  pictures.show(path, x, run.levels, frames)
  spread = ", ".join(f"{i}: {std[i]:.2f}" for i in latents[:10])
  return f"{path}: rows are latents {latents.tolist()}; standard deviations {spread}"


def encode(run: Use) -> str:
  """The codes of every split, with labels, as codes.npz."""
  out = {}
  for name, split in run.source.splits.items():
    codes, labels = all_codes(run, split)
    out[name] = codes.astype(np.float32)
    if labels is not None:
      out[f"{name}_label"] = labels
  path = run.folder("encode") / "codes.npz"
  write_arrays(path, out)
  return f"{path}: " + ", ".join(f"{name} {array.shape}" for name, array in out.items())


def latent_map(run: Use) -> str:
  """Two latent dimensions: the test codes by class, and what a grid of codes decodes to."""
  codes, labels = all_codes(run, run.split)
  if codes.shape[1] != 2:
    raise UserError(f"--mode=map is for codes of 2 dimensions, and these have {codes.shape[1]}")
  folder = run.folder("map")
  pictures.scatter(folder / "codes.png", codes, labels=labels)
  side = max(math.isqrt(run.n), 2)
  low, high = np.quantile(codes, 0.02, axis=0), np.quantile(codes, 0.98, axis=0)
  grid = np.meshgrid(np.linspace(low[0], high[0], side), np.linspace(high[1], low[1], side))
  points = jnp.asarray(np.stack(grid, -1).reshape(-1, 2), jnp.float32)
  batch = run.examples(1)
  cond = {name: np.repeat(batch[name], side**2, 0) for name in run.model.cond} or None
  x = run.decode(unraveller(run.encode(batch))(points), cond)
  pictures.show(folder / "decoded.png", x, run.levels, side)
  return f"{folder}/{{codes,decoded}}.png"


def use_of_codes(run: Use) -> str:
  """How often each discrete code is used over the evaluation split, the most used first."""
  kinds = [leaf.dtype for leaf in jax.tree.leaves(run.encode(run.examples(1)))]
  if not all(jnp.issubdtype(kind, jnp.integer) for kind in kinds):
    raise UserError("--mode=codes is for models with discrete codes, and these are real-valued")
  codes, _ = all_codes(run, run.split)
  count = np.sort(np.unique(codes, return_counts=True)[1])[::-1]
  path = run.folder("codes") / "use.png"
  pictures.shares(path, count / codes.size, "codes in use, the most used first")
  return f"{path}: {len(count)} codes in use, the first {count[0] / codes.size:.1%} of the time"


def probe(run: Use) -> str:
  """Error on the test split of a linear and an RBF-SVM classifier of the codes, by labels used:
  100, 1000 and all, in equal numbers of each class."""
  if run.spec.classes < 2:
    raise UserError("--mode=probe needs data with labels")
  if "test" not in run.source.splits:
    raise UserError("--mode=probe needs a test split, and there is none: set data.test")
  train, test = (all_codes(run, run.source.splits[s]) for s in ("train", "test"))
  table = {}
  for count in sorted({min(c, len(train[0])) for c in (100, 1000, len(train[0]))}):
    chosen = metrics.balanced(train[1], count)
    errors = metrics.probe_errors(train[0][chosen], train[1][chosen], *test)
    for name, error in errors.items():
      facts = {"examples": len(test[0]), "split": "test", "labels": count}
      table[f"{name}_probe_error_{count}"] = {"value": error, **facts}
  write_json(run.folder("probe") / "probe.json", table)
  lines = [f"{name:30s} {record['value']:8.4f}" for name, record in table.items()]
  return "\n".join([*lines, f"{run.workdir}/probe/probe.json"])
