"""Mixtures of Gaussians in many dimensions, whose density is known: sources with a right answer.

Twenty components with weights, centres and full covariances drawn once for each number of
dimensions: weights ~ Dirichlet(5), centres ~ N(0, 4 I), covariances with axes turned at random and
standard deviations between e^-2 and 1, log-uniform. So components overlap little, and no axis of
the data is one of theirs. Coordinates are not independent, nor of one scale.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from gen_jax import core
from gen_jax.data import source

SIZES = {"train": 100_000, "validation": 10_000, "test": 20_000}
COMPONENTS = 20


class Mixture(NamedTuple):
  """weight [K], mean [K, D], and axes [K, D, D], A of x = mean + A z, z ~ N(0, I)."""

  weight: np.ndarray
  mean: np.ndarray
  axes: np.ndarray


def mixture(dims: int) -> Mixture:
  """The one of that many dimensions D."""
  rng = np.random.default_rng([20, dims])
  weight = rng.dirichlet(np.full(COMPONENTS, 5.0))
  mean = 2 * rng.standard_normal((COMPONENTS, dims))
  turned, _ = np.linalg.qr(rng.standard_normal((COMPONENTS, dims, dims)))
  deviation = np.exp(rng.uniform(-2, 0, (COMPONENTS, 1, dims)))
  return Mixture(weight, mean, turned * deviation)


def log_density(dims: int, x: np.ndarray) -> np.ndarray:
  """log p(x) in nats [N] of x [N, D]."""
  weight, mean, axes = mixture(dims)
  joint = []
  for w, m, a in zip(weight, mean, axes, strict=True):
    z = np.linalg.solve(a, (x.astype(np.float64) - m).T)
    volume = np.linalg.slogdet(a)[1]
    joint.append(np.log(w) - (z**2).sum(0) / 2 - dims / 2 * np.log(2 * np.pi) - volume)
  return np.logaddexp.reduce(joint, axis=0)


def draw(dims: int, n: int, rng: np.random.Generator) -> source.Example:
  """n points: x float32 [n, D], and label int32 [n], the component."""
  weight, mean, axes = mixture(dims)
  label = rng.choice(COMPONENTS, n, p=weight).astype(np.int32)
  z = rng.standard_normal((n, dims))
  x = np.empty((n, dims), np.float32)
  for k in range(COMPONENTS):
    x[label == k] = mean[k] + z[label == k] @ axes[k].T
  return {"x": x, "label": label}


def load(dims: int, *, validation: float, test: float, split_seed: int) -> source.Source:
  """100k train, 10k validation and 20k test points, each split from its own stream.

  Args:
    dims: D.
    validation, test: a split with fraction 0 is left out; the sizes are otherwise fixed.
    split_seed: of the three streams; the mixture is always the same.
  """
  wanted = {"train": 1, "validation": validation, "test": test}
  splits = {
    split: source.ArraySplit(draw(dims, size, np.random.default_rng([split_seed, stream, dims])))
    for stream, (split, size) in enumerate(SIZES.items())
    if wanted[split]
  }
  spec = core.Spec.of((dims,), classes=COMPONENTS)
  notes = {"log_density": functools.partial(log_density, dims)}
  return source.Source(f"mixture:{dims}", spec, splits, notes)
