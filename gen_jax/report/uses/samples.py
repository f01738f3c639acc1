"""Modes that show where a model puts its probability."""

from __future__ import annotations

import jax
import numpy as np

from gen_jax import metrics
from gen_jax.core import UserError, fold_each
from gen_jax.report.uses.use import Use
from gen_jax.run import pictures, sample
from gen_jax.run.conditions import conditions


def neighbours(run: Use) -> str:
  """Samples, each before its five nearest training examples: are they copies?"""
  k, n = 5, min(run.n, 40)
  model, spec = run.model, run.spec
  train = run.source.splits["train"]
  cond = conditions(model, spec, n, split=train, given=run.given, spread=True)
  chunk = sample.chunk_size(run.settings.batch_size, run.mesh)
  key = sample.sample_keys(run.trained.system.config["seed"])
  drawer = sample.compiled(model.sample, run.mesh)
  x = sample.draw(drawer, run.states, key, n, cond, chunk=chunk, mesh=run.mesh)
  data = train.arrays()["x"]
  flat = lambda a: a.reshape(len(a), -1).astype(np.float64)
  nearest = metrics.nearest_indices(flat(x), flat(data), k)
  rows = np.concatenate([x[:, None], data[nearest]], axis=1).reshape(-1, *x.shape[1:])
  path = run.folder("neighbours") / f"n{n}.png"
  pictures.show(path, rows, run.levels, 2 * (k + 1))
  return f"{path}: each sample, then its {k} nearest training examples"


def density(run: Use) -> str:
  """p(x) = exp log_prob over the plane, beside a histogram of the evaluation split."""
  if run.spec.shape != (2,) or run.spec.levels is not None or run.model.cond:
    raise UserError("--mode=density is for unconditional models of real data of 2 dimensions")
  data = run.split.arrays()["x"]
  centre, reach = (data.max(0) + data.min(0)) / 2, 1.05 * np.ptp(data, axis=0).max() / 2
  side, bin_size = 300, 3
  edges = [np.linspace(c - reach, c + reach, side + 1) for c in centre]
  middle = [(e[1:] + e[:-1]) / 2 for e in edges]
  points = np.stack(np.meshgrid(middle[0], middle[1][::-1]), -1).reshape(-1, 2)
  bins = [e[::bin_size] for e in edges]
  log_prob = jax.jit(run.model.log_prob)
  key, pieces = run.trained.key("evaluate"), []
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
