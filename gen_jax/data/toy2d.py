"""Points in the plane from known densities.

The first six have the scalings of FFJORD's toy data (Grathwohl et al. 2019, lib/toy_data.py),
with angles drawn uniformly instead of from a grid, so that there is a density. ring8 and grid25
are the mixtures on which VEEGAN (Srivastava et al. 2017) and PacGAN (Lin et al. 2018) count modes.
"""

from __future__ import annotations

import functools
import math
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import i0e, logsumexp

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


def _log_mixture(x: np.ndarray, centres: np.ndarray, deviation: float) -> np.ndarray:
  """log of the mean over centres [K, 2] of N(x; centre, deviation^2 I), of x [n, 2]."""
  squares = ((x[:, None] - centres) ** 2).sum(-1) / deviation**2
  return logsumexp(-squares / 2, axis=1) - math.log(2 * math.pi * deviation**2 * len(centres))


def _log_rings(x: np.ndarray, radii: list[float], deviation: float) -> np.ndarray:
  """Of noisy circles: the angle of a Gaussian's centre integrates to a Bessel function."""
  radius, a = np.linalg.norm(x, axis=1)[:, None], np.array(radii)
  log_bessel = np.log(i0e(radius * a / deviation**2))
  each = -((radius - a) ** 2) / (2 * deviation**2) + log_bessel
  return logsumexp(each, axis=1) - math.log(2 * math.pi * deviation**2 * len(radii))


def _log_checkerboard(x: np.ndarray) -> np.ndarray:
  column, row = np.floor(x.T / 2).astype(int)
  inside = (abs(x) <= 4).all(1) & ((column + row) % 2 == 0)
  return np.where(inside, -math.log(32), -np.inf)


def _middles(first: float, last: float, count: int) -> np.ndarray:
  """The middles of `count` equal parts, for a quadrature over an angle."""
  return first + (last - first) * (np.arange(count) + 0.5) / count


_ARC, _SPIRAL = _circle(_middles(0, np.pi, 400)), _middles(1.5 * np.pi, 4.5 * np.pi, 1000)
# Centres of the Gaussian noise along the two curves: their spacing is a tenth of its deviation.
_CURVES = {
  "moons": np.concatenate([2 * _ARC, 2 * ([1, 0.5] - _ARC)]) + [-1, -0.2],
  "swissroll": _SPIRAL[:, None] * _circle(_SPIRAL) / 5,
}


def log_density(name: str, x: np.ndarray) -> np.ndarray:
  """log p(x) in nats of x [n, 2] -> float64 [n], exact; of moons and swissroll by a quadrature.

  Args:
    name: one of NAMES.
    x: points.
  """
  x = np.asarray(x, np.float64)
  if name == "checkerboard":
    return _log_checkerboard(x)
  if name in ("rings", "circles"):
    radii, deviation = ([0.75, 1.5, 2.25, 3], 0.08) if name == "rings" else ([1.5, 3], 0.24)
    return _log_rings(x, radii, deviation)
  centres, deviation = MODES[name] if name in MODES else (_CURVES[name], 0.2)
  parts = np.array_split(x, max(len(x) // 1000, 1))
  return np.concatenate([_log_mixture(part, centres, deviation) for part in parts])


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
  notes["log_density"] = functools.partial(log_density, name)
  spec = core.Spec.of((2,), classes=_TOYS[name].classes)
  return source.Source(f"toy2d:{name}", spec, splits, notes)
