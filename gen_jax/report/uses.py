"""What a trained model is for: modes of the command line for every model with the capability.

Each writes a picture or a table into <workdir>/<mode>/ and knows a model by its capabilities only.
A code is a pytree of arrays [n, ...]; as one vector, its leaves are flattened and joined. It is
drawn without a key: the mean of q(z | x) where the model has one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from gen_jax import metrics
from gen_jax.core import Array, PyTree, UserError, fold_each, stream
from gen_jax.data import Split, passes
from gen_jax.run import pictures, sample
from gen_jax.run.folder import write_json
from gen_jax.run.states import root_key

CODES_AT_ONCE = 256


class Trained(NamedTuple):
  """A finished run with its data: what every mode starts from."""

  model: object
  states: list[PyTree]
  source: object
  experiment: object
  mesh: object
  workdir: Path

  @property
  def levels(self) -> int | None:
    return self.source.spec.levels

  def test(self, n: int) -> dict[str, np.ndarray]:
    """The first n examples of the evaluation split."""
    split = self.source.splits[self.experiment.evaluate.split]
    return split.take(np.arange(min(n, len(split))))

  def key(self, name: str) -> Array:
    return stream(root_key(self.experiment.config["seed"]), name)

  def cond(self, batch: Mapping) -> dict | None:
    return {name: batch[name] for name in self.model.cond} or None

  def encode(self, batch: Mapping) -> PyTree:
    """The codes of a batch, without randomness: the posterior's means where there is one."""
    return jax.jit(self.model.encode)(self.states, batch["x"], None, self.cond(batch))

  def decode(self, code: PyTree, cond: dict | None) -> np.ndarray:
    return np.asarray(jax.jit(self.model.decode)(self.states, code, cond))

  def folder(self, mode: str) -> Path:
    path = self.workdir / mode
    path.mkdir(exist_ok=True)
    return path


def unraveller(code: PyTree) -> Callable[[Array], PyTree]:
  """[n, Z] -> codes [n, ...] like those given.

  Raises:
    UserError: if codes are integers, between which nothing lies.
  """
  if any(jnp.issubdtype(leaf.dtype, jnp.integer) for leaf in jax.tree.leaves(code)):
    raise UserError("this mode moves between codes, and those of this model are discrete")
  return jax.vmap(ravel_pytree(jax.tree.map(lambda a: a[0], code))[1])


def vectors(code: PyTree) -> np.ndarray:
  """Codes [n, ...] as one float vector each: [n, Z]."""
  flat = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(code)]
  return np.concatenate(flat, axis=1).astype(np.float64)


def all_codes(run: Trained, split: Split) -> tuple[np.ndarray, np.ndarray | None]:
  """Codes [N, Z] and labels [N] of a whole split."""
  encode = jax.jit(run.model.encode)
  codes, labels = [], []
  for batch in passes(split, CODES_AT_ONCE):
    code = encode(run.states, batch["x"], None, run.cond(batch))
    codes.append(vectors(code)[batch["mask"]])
    if "label" in batch:
      labels.append(batch["label"][batch["mask"]])
  return np.concatenate(codes), np.concatenate(labels) if labels else None


def reconstruct(run: Trained, n: int) -> str:
  """Test examples above their reconstructions."""
  batch = run.test(n)
  x = run.decode(run.encode(batch), run.cond(batch))
  scale = (run.levels or 2) - 1
  error = ((x.astype(np.float64) - batch["x"]) ** 2).reshape(len(x), -1).sum(1).mean() / scale**2
  path = run.folder("reconstruct") / f"n{len(x)}.png"
  pictures.show(path, above(batch["x"], x), run.levels, columns_of(len(x)))
  return f"{path}: squared error {error:.4f} an example, pixels in [0, 1]"


def transform(run: Trained, n: int) -> str:
  """Test examples above what the model makes of them: translated, restored."""
  batch = run.test(n)
  keys = fold_each(run.key("evaluate"), np.arange(len(batch["x"])))
  x = jax.jit(run.model.transform)(run.states, batch["x"], keys, run.cond(batch))
  path = run.folder("transform") / f"n{len(batch['x'])}.png"
  pictures.show(path, above(batch["x"], np.asarray(x)), run.levels, columns_of(len(x)))
  return str(path)


def columns_of(n: int) -> int:
  return min(n, max(8, math.isqrt(n)))


def above(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Rows of a and of b in turn, for a grid of `columns_of(n)` columns."""
  columns = columns_of(len(a))
  rows = [part[i : i + columns] for i in range(0, len(a), columns) for part in (a, b)]
  if len(a) % columns:
    blank = np.zeros((columns - len(a) % columns, *a.shape[1:]), a.dtype)
    rows[-2:] = [np.concatenate([row, blank]) for row in rows[-2:]]
  return np.concatenate(rows)


def slerp(a: Array, b: Array, t: Array) -> Array:
  """Spherical interpolation (Shoemake 1985; White 2016) of vectors a, b [Z] at t in [0, 1].

  The norm goes linearly from one to the other; parallel vectors are interpolated linearly.
  """
  na, nb = jnp.linalg.norm(a), jnp.linalg.norm(b)
  cosine = jnp.clip(a @ b / jnp.maximum(na * nb, 1e-12), -1, 1)
  angle = jnp.arccos(cosine)
  sine = jnp.sin(angle)
  along = (jnp.sin((1 - t) * angle) * a / na + jnp.sin(t * angle) * b / nb) / sine
  return jnp.where(sine < 1e-6, (1 - t) * a + t * b, along * ((1 - t) * na + t * nb))


def interpolate(run: Trained, n: int) -> str:
  """Between the codes of pairs of test examples, in a line and on the sphere: one pair a row."""
  pairs, frames = max(n // 10, 1), 10
  batch = run.test(2 * pairs)
  pairs = len(batch["x"]) // 2
  code = run.encode(batch)
  back, z = unraveller(code), jnp.asarray(vectors(code), jnp.float32)
  t = jnp.linspace(0, 1, frames)
  cond = {name: np.repeat(batch[name][:pairs], frames, 0) for name in run.model.cond} or None
  paths = {
    "linear": lambda a, b: jax.vmap(lambda s: (1 - s) * a + s * b)(t),
    "spherical": lambda a, b: jax.vmap(lambda s: slerp(a, b, s))(t),
  }
  for name, path in paths.items():
    points = jax.vmap(path)(z[:pairs], z[pairs : 2 * pairs]).reshape(pairs * frames, -1)
    x = run.decode(back(points), cond)
    pictures.show(run.folder("interpolate") / f"{name}.png", x, run.levels, frames)
  return f"{run.folder('interpolate')}/{{linear,spherical}}.png: {pairs} pairs"


def traverse(run: Trained, n: int) -> str:
  """One latent at a time from -3 to 3 standard deviations of the codes, from one example's code.

  Rows are latents, those that vary most over the test split first.
  """
  frames = 11
  codes, _ = all_codes(run, run.source.splits[run.experiment.evaluate.split])
  batch = run.test(1)
  code = run.encode(batch)
  back, base, std = unraveller(code), vectors(code)[0], codes.std(0)
  latents = np.argsort(-std)[: max(n // frames, 1)]
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


def encode(run: Trained, n: int) -> str:
  """The codes of every split, with labels, as codes.npz."""
  del n
  out = {}
  for name, split in run.source.splits.items():
    codes, labels = all_codes(run, split)
    out[name] = codes.astype(np.float32)
    if labels is not None:
      out[f"{name}_label"] = labels
  path = run.folder("encode") / "codes.npz"
  np.savez(path, **out)
  return f"{path}: " + ", ".join(f"{name} {array.shape}" for name, array in out.items())


def latent_map(run: Trained, n: int) -> str:
  """Two latent dimensions: the test codes by class, and what a grid of codes decodes to."""
  codes, labels = all_codes(run, run.source.splits[run.experiment.evaluate.split])
  if codes.shape[1] != 2:
    raise UserError(f"--mode=map is for codes of 2 dimensions, and these have {codes.shape[1]}")
  folder = run.folder("map")
  pictures.scatter(folder / "codes.png", codes, labels=labels)
  side = max(math.isqrt(n), 2)
  low, high = np.quantile(codes, 0.02, axis=0), np.quantile(codes, 0.98, axis=0)
  grid = np.meshgrid(np.linspace(low[0], high[0], side), np.linspace(high[1], low[1], side))
  points = jnp.asarray(np.stack(grid, -1).reshape(-1, 2), jnp.float32)
  batch = run.test(1)
  cond = {name: np.repeat(batch[name], side**2, 0) for name in run.model.cond} or None
  x = run.decode(unraveller(run.encode(batch))(points), cond)
  pictures.show(folder / "decoded.png", x, run.levels, side)
  return f"{folder}/{{codes,decoded}}.png"


def use_of_codes(run: Trained, n: int) -> str:
  """How often each discrete code is used over the evaluation split, the most used first."""
  del n
  kinds = [leaf.dtype for leaf in jax.tree.leaves(run.encode(run.test(1)))]
  if not all(jnp.issubdtype(kind, jnp.integer) for kind in kinds):
    raise UserError("--mode=codes is for models with discrete codes, and these are real-valued")
  codes, _ = all_codes(run, run.source.splits[run.experiment.evaluate.split])
  count = np.sort(np.unique(codes, return_counts=True)[1])[::-1]
  path = run.folder("codes") / "use.png"
  pictures.shares(path, count / codes.size, "codes in use, the most used first")
  return f"{path}: {len(count)} codes in use, the first {count[0] / codes.size:.1%} of the time"


def probe(run: Trained, n: int) -> str:
  """Error on the test split of a linear and an RBF-SVM classifier of the codes, by labels used."""
  del n
  if run.source.spec.classes < 2:
    raise UserError("--mode=probe needs data with labels")
  train, test = (all_codes(run, run.source.splits[s]) for s in ("train", "test"))
  table = {}
  for count in sorted({min(c, len(train[0])) for c in (100, 1000, len(train[0]))}):
    errors = metrics.probe_errors(train[0][:count], train[1][:count], *test)
    for name, error in errors.items():
      facts = {"examples": len(test[0]), "split": "test", "labels": count}
      table[f"{name}_probe_error_{count}"] = {"value": error, **facts}
  write_json(run.folder("probe") / "probe.json", table)
  lines = [f"{name:30s} {record['value']:8.4f}" for name, record in table.items()]
  return "\n".join([*lines, f"{run.workdir}/probe/probe.json"])


def neighbours(run: Trained, n: int) -> str:
  """Samples, each before its five nearest training examples: are they copies?"""
  k, n = 5, min(n, 40)
  model, spec = run.model, run.source.spec
  train = run.source.splits["train"]
  cond = sample.conditions(model, spec, n, split=train, spread=True)
  chunk = sample.chunk_size(run.experiment.evaluate.batch_size, run.mesh)
  key = sample.sample_keys(run.experiment.config["seed"])
  drawer = sample.compiled(model.sample, run.mesh)
  x = sample.draw(drawer, run.states, key, n, cond, chunk=chunk, mesh=run.mesh)
  data = train.arrays()["x"]
  flat = lambda a: a.reshape(len(a), -1).astype(np.float64)
  nearest = metrics.nearest_indices(flat(x), flat(data), k)
  rows = np.concatenate([x[:, None], data[nearest]], axis=1).reshape(-1, *x.shape[1:])
  path = run.folder("neighbours") / f"n{n}.png"
  pictures.show(path, rows, run.levels, 2 * (k + 1))
  return f"{path}: each sample, then its {k} nearest training examples"


def density(run: Trained, n: int) -> str:
  """p(x) = exp log_prob over the plane, beside a histogram of the evaluation split."""
  del n
  if run.source.spec.shape != (2,) or run.source.spec.levels is not None or run.model.cond:
    raise UserError("--mode=density is for unconditional models of real data of 2 dimensions")
  data = run.source.splits[run.experiment.evaluate.split].arrays()["x"]
  centre, reach = (data.max(0) + data.min(0)) / 2, 1.05 * np.ptp(data, axis=0).max() / 2
  side, bin_size = 300, 3
  edges = [np.linspace(c - reach, c + reach, side + 1) for c in centre]
  middle = [(e[1:] + e[:-1]) / 2 for e in edges]
  points = np.stack(np.meshgrid(middle[0], middle[1][::-1]), -1).reshape(-1, 2)
  bins = [e[::bin_size] for e in edges]
  log_prob = jax.jit(run.model.log_prob)
  key, pieces = run.key("evaluate"), []
  for rows in np.split(np.arange(side**2), side):
    x = points[rows].astype(np.float32)
    pieces.append(np.asarray(log_prob(run.states, x, fold_each(key, rows), None)))
  p = np.exp(np.stack(pieces))
  histogram = np.histogram2d(*data.T, bins=bins, density=True)[0].T[::-1]
  histogram = histogram.repeat(bin_size, axis=0).repeat(bin_size, axis=1)
  path = run.folder("density") / "density.png"
  pictures.heat(path, np.stack([histogram, p]), p.max())
  mass = p.sum() * (2 * reach / side) ** 2
  return f"{path}: the data, and the model's density, of which {mass:.4f} lies in the picture"


class Mode(NamedTuple):
  """needs: capabilities of the model. run: (trained, n) -> what to print."""

  run: Callable[[Trained, int], str]
  needs: tuple[str, ...]


MODES: Mapping[str, Mode] = {
  "reconstruct": Mode(reconstruct, ("encode", "decode")),
  "transform": Mode(transform, ("transform",)),
  "interpolate": Mode(interpolate, ("encode", "decode")),
  "traverse": Mode(traverse, ("encode", "decode")),
  "encode": Mode(encode, ("encode",)),
  "map": Mode(latent_map, ("encode", "decode")),
  "codes": Mode(use_of_codes, ("encode",)),
  "probe": Mode(probe, ("encode",)),
  "neighbours": Mode(neighbours, ("sample",)),
  "density": Mode(density, ("log_prob",)),
}
