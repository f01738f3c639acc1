"""Points in the plane from known densities.

The first six have the scalings of FFJORD's toy data (Grathwohl et al. 2019, lib/toy_data.py),
with angles drawn uniformly instead of from a grid, so that there is a density. ring8 and grid25
are the mixtures on which VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018) count modes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gen_jax import core
from gen_jax.data import source

SIZES = {"train": 100_000, "validation": 10_000, "test": 100_000}


def _circle(angle: np.ndarray) -> np.ndarray:
  return np.stack([np.cos(angle), np.sin(angle)], -1)


_EIGHT = _circle(np.arange(8) * np.pi / 4)
_FIVE = np.arange(-4.0, 5.0, 2.0)

# Mixtures of equally likely round Gaussians: centres [K, 2] and standard deviation.
MODES = {
  "8gaussians": (4 * _EIGHT / 1.414, 0.5 / 1.414),
  "ring8": (_EIGHT, 0.01),
  "grid25": (np.stack(np.meshgrid(_FIVE, _FIVE, indexing="ij"), -1).reshape(25, 2), 0.05),
}

# Differential entropies in nats, the least mean negative log-likelihood that a model can have.
# By quadrature, but for checkerboard (uniform on an area of 32), ring8 and grid25 (modes that
# do not touch), which are exact.
ENTROPY = {
  "8gaussians": 2.832,
  "moons": 2.394,
  "checkerboard": math.log(32),
  "rings": 2.623,
  "circles": 3.268,
  "swissroll": 2.670,
  "ring8": math.log(8) + 1 + math.log(2 * math.pi) + 2 * math.log(0.01),
  "grid25": math.log(25) + 1 + math.log(2 * math.pi) + 2 * math.log(0.05),
}


def _mixture(name):
  centres, deviation = MODES[name]

  def draw(rng, n):
    label = rng.integers(len(centres), size=n)
    return centres[label] + deviation * rng.standard_normal((n, 2)), label

  return draw


def _moons(rng, n):
  label = rng.integers(2, size=n)
  upper = _circle(rng.uniform(0, np.pi, n))
  x = np.where(label[:, None] == 0, upper, [1, 0.5] - upper)
  return 2 * (x + 0.1 * rng.standard_normal((n, 2))) + [-1, -0.2], label


def _checkerboard(rng, n):
  label = rng.integers(8, size=n)
  column, row = label // 2, label % 2
  corner = np.stack([column - 2, 2 * row - 2 + column % 2], -1)
  return 2 * (corner + rng.uniform(size=(n, 2))), label


def _rings(rng, n):
  label = rng.integers(4, size=n)
  radius = 0.75 * (1 + label)
  x = radius[:, None] * _circle(rng.uniform(0, 2 * np.pi, n))
  return x + 0.08 * rng.standard_normal((n, 2)), label


def _circles(rng, n):
  label = rng.integers(2, size=n)
  radius = np.where(label == 0, 1, 0.5)
  x = radius[:, None] * _circle(rng.uniform(0, 2 * np.pi, n))
  return 3 * (x + 0.08 * rng.standard_normal((n, 2))), label


def _swissroll(rng, n):
  angle = rng.uniform(1.5 * np.pi, 4.5 * np.pi, n)
  x = angle[:, None] * _circle(angle)
  return (x + rng.standard_normal((n, 2))) / 5, None


class _Toy(NamedTuple):
  draw: Callable
  classes: int


_TOYS = {
  "8gaussians": _Toy(_mixture("8gaussians"), 8),
  "moons": _Toy(_moons, 2),
  "checkerboard": _Toy(_checkerboard, 8),
  "rings": _Toy(_rings, 4),
  "circles": _Toy(_circles, 2),
  "swissroll": _Toy(_swissroll, 0),
  "ring8": _Toy(_mixture("ring8"), 8),
  "grid25": _Toy(_mixture("grid25"), 25),
}

NAMES = tuple(_TOYS)


def draw(name: str, n: int, rng: np.random.Generator) -> source.Example:
  """n points: x float32 [n, 2], and label int32 [n], the component, where there are components.

  Args:
    name: one of NAMES.
    n: how many.
    rng: consumed.
  """
  x, label = _TOYS[name].draw(rng, n)
  out = {"x": x.astype(np.float32)}
  if label is not None:
    out["label"] = label.astype(np.int32)
  return out


def load(name: str, *, validation: float, test: float, split_seed: int) -> source.Source:
  """100k train, 10k validation and 100k test points, each split from its own stream.

  Args:
    name: one of NAMES.
    validation, test: a split with fraction 0 is left out; the sizes are otherwise fixed.
    split_seed: of the three streams.
  """
  wanted = {"train": 1, "validation": validation, "test": test}
  splits = {}
  for stream, (split, size) in enumerate(SIZES.items()):
    if wanted[split]:
      rng = np.random.default_rng([split_seed, stream, zlib.crc32(name.encode())])
      splits[split] = source.ArraySplit(draw(name, size, rng))
  centres, deviation = MODES.get(name, (None, None))
  notes = {} if centres is None else {"modes": centres, "mode_deviation": deviation}
  spec = core.Spec.of((2,), classes=_TOYS[name].classes)
  return source.Source(f"toy2d:{name}", spec, splits, notes)
