"""Whether an adversarial game looks healthy, in plain words.

From what the game logged over the last quarter of its training, and from samples beside data:

  diverging  a term is not finite, or the critic's scores pass 1000, or a player's gradient norm is
             30 times what it was in the second quarter, or samples lie 3 times as far from the
             data's mean as data do
  saturated  the critic is sure of more than 90% of the examples, real and fake
             (`critic_saturation`), so that its loss is flat there
  collapsed  samples fill less than half as many cells as data do, or a tenth of the data lies in
             lost cells, or more than a fiftieth is of lost classes: those with less than a tenth
             of the share of samples that they have of the data
  healthy    none of these

in this order: each of the first two can bring about the next. Cells are those of 20 centres that
k-means finds in the data (the bins of Richardson & Weiss 2018); how many a set fills is the
exponential of the entropy of its shares. Cells where fewer than 10 samples are to be expected, and
classes of which fewer than 3 are, are not judged. Healthy is not good: samples may still look like
no data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import numpy as np
from scipy.special import entr

from gen_jax import core

SCORE, GROWTH, SPREAD, SATURATION, DIVERSITY = 1000.0, 30.0, 3.0, 0.9, 0.5
CELLS, FITTED = 20, 5000
LOST, IN_CELL, OF_CLASS = 0.1, 10, 3
PARTS, CLASSES = 0.1, 0.02  # of the data, in lost cells and of lost classes


class Health(NamedTuple):
  """verdict: healthy, collapsed, saturated or diverging. why: in words. figures: name -> value."""

  verdict: str
  why: str
  figures: dict[str, float]


class Kinds(NamedTuple):
  """The kinds, cells or classes, of samples [n] and of data [m], as integers 0..K-1."""

  samples: np.ndarray
  data: np.ndarray

  def shares(self) -> tuple[np.ndarray, np.ndarray]:
    """Of the samples and of the data, of each kind [K]."""
    count = 1 + max(self.samples.max(), self.data.max())
    return tuple(np.bincount(kinds, minlength=count) / len(kinds) for kinds in self)

  def perplexity_ratio(self) -> float:
    """How many kinds samples fill, over how many data do: 1 if evenly."""
    samples, data = (np.exp(entr(share).sum()) for share in self.shares())
    return float(samples / data)

  def lost(self, expected: int) -> float:
    """The share of the data that is of lost kinds, of those of which at least `expected` samples
    are to be expected."""
    samples, data = self.shares()
    gone = (data * len(self.samples) >= expected) & (samples < LOST * data)
    return float(data[gone].sum())

  def unjudged(self, expected: int) -> int:
    """How many kinds of the data no sample is of, and fewer than `expected` were to be."""
    samples, data = self.shares()
    few = data * len(self.samples) < expected
    return int((few & (data > 0) & (samples == 0)).sum())


def cells_of(samples: np.ndarray, data: np.ndarray) -> Kinds:
  """The cells that samples [n, D] and data [m, D] fall in."""
  from sklearn.cluster import KMeans

  fitted = data[core.permutation(len(data))[:FITTED]]
  cells = KMeans(min(CELLS, len(fitted)), n_init=1, random_state=0).fit(fitted)
  return Kinds(cells.predict(samples), cells.predict(data))


def spread_ratio(samples: np.ndarray, data: np.ndarray) -> float:
  """Root mean square distance of samples [n, D] from the mean of data [m, D], over that of data."""
  centre = data.mean(axis=0)
  reach = lambda x: np.sqrt(((x - centre) ** 2).sum(axis=1).mean())
  return float(reach(samples) / max(reach(data), 1e-300))


def quarter(rows: Sequence[Mapping], i: int) -> Sequence[Mapping]:
  """The i-th quarter of rows, never empty."""
  start = i * len(rows) // 4
  return rows[start : max((i + 1) * len(rows) // 4, start + 1)]


def game_health(
  rows: Sequence[Mapping],
  samples: np.ndarray,
  data: np.ndarray,
  classes: Kinds | None = None,
) -> Health:
  """The verdict on a game.

  Args:
    rows: of metrics.jsonl, in order. Read are critic_on_real, critic_on_fake, whatever ends in
      gradient_norm, and critic_accuracy and critic_saturation, which a game without logits lacks.
    samples: [n, ...].
    data: [m, ...], real examples.
    classes: of samples and of real examples, where there are classes that can be read in them.

  Raises:
    core.UserError: where no row is of an adversarial game.
  """
  rows = [row for row in rows if "critic_on_real" in row]
  if not rows:
    raise core.UserError("the measure health is of adversarial games: no row has critic_on_real")
  chex.assert_equal_shape_suffix([samples, data], samples.ndim - 1)
  samples, data = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (samples, data))
  last = quarter(rows, 3)

  def mean(name, of=last):
    return float(np.mean([float(row[name]) for row in of if name in row] or [0.0]))

  terms = [float(v) for row in last for v in row.values()]
  finite = np.isfinite(terms).all() and np.isfinite(samples).all()
  figures = {}
  if finite:
    figures = {"critic_accuracy": mean("critic_accuracy")} if "critic_accuracy" in rows[0] else {}
    norms = [name for name in rows[0] if name.endswith("gradient_norm")]
    before, cells = quarter(rows, 1), cells_of(samples, data)
    figures |= {
      "critic_saturation": mean("critic_saturation"),
      "largest_score": max(
        abs(float(row[f"critic_on_{side}"])) for row in last for side in ("real", "fake")
      ),
      "gradient_growth": max((mean(n) / max(mean(n, before), 1e-12) for n in norms), default=1.0),
      "spread_ratio": spread_ratio(samples, data),
      "cell_perplexity_ratio": cells.perplexity_ratio(),
      "lost_in_cells": cells.lost(IN_CELL),
    }
    if classes is not None:
      figures["lost_in_classes"] = classes.lost(OF_CLASS)
      figures["unjudged_classes"] = classes.unjudged(OF_CLASS)
  verdict, why = judged(figures)
  return Health(verdict, why, figures)


def judged(figures: Mapping[str, float]) -> tuple[str, str]:
  """(verdict, why) from the figures."""
  if "spread_ratio" not in figures:
    return "diverging", "a term or a sample is not finite"
  score, growth, spread = (
    figures[name] for name in ("largest_score", "gradient_growth", "spread_ratio")
  )
  saturation, cells = figures["critic_saturation"], figures["cell_perplexity_ratio"]
  if score > SCORE:
    return "diverging", f"the critic's scores come to {score:.3g}, above {SCORE:g}"
  if growth > GROWTH:
    return "diverging", f"a gradient norm grew {growth:.3g} times, more than {GROWTH:g}"
  if spread > SPREAD:
    return "diverging", (
      f"samples lie {spread:.3g} times as far out as data, more than {SPREAD:g} times"
    )
  if saturation > SATURATION:
    return "saturated", (
      f"the critic is sure of {saturation:.0%} of the examples, more than {SATURATION:.0%}"
    )
  if cells < DIVERSITY:
    return "collapsed", (
      f"samples fill {cells:.0%} as many cells as data, less than {DIVERSITY:.0%}"
    )
  if (gone := figures["lost_in_cells"]) > PARTS:
    return "collapsed", f"{gone:.0%} of the data lie in cells that are lost, more than {PARTS:.0%}"
  gone = figures.get("lost_in_classes", 0)
  lost = f"{gone:.1%} of the data are of classes that are lost"
  if gone > CLASSES:
    return "collapsed", f"{lost}, more than {CLASSES:.0%}"
  stands = f"samples fill {cells:.0%} as many cells as data" + f"; {lost}" * bool(gone)
  if unjudged := figures.get("unjudged_classes"):
    stands += f"; they are too few to tell whether {unjudged} classes without a sample are lost"
  if "critic_accuracy" in figures:
    right = f"{figures['critic_accuracy']:.0%} of pairs rightly"
    stands = f"the critic ranks {right} and is sure of {saturation:.0%}; {stands}"
  return "healthy", stands
