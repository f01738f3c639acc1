"""Whether an adversarial game looks healthy, in plain words.

From what the game logged over the last quarter of its training, and from samples beside data:

  diverging  a term is not finite, or the critic's scores pass 1000, or a player's gradient norm is
             30 times what it was in the second quarter, or samples lie 3 times as far from the
             data's mean as data do
  saturated  the critic is sure of more than 90% of the examples, real and fake
             (`critic_saturation`), so that its loss is flat there
  collapsed  samples fill less than half as many cells as data do
  healthy    none of these

in this order: each of the first two can bring about the next. Cells are those of 20 centres that
k-means finds in the data (the bins of Richardson & Weiss 2018); how many a set fills is the
exponential of the entropy of its shares. Healthy is not good: samples may still look like no data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import chex
import numpy as np

from gen_jax import core

SCORE, GROWTH, SPREAD, SATURATION, DIVERSITY = 1000.0, 30.0, 3.0, 0.9, 0.5
CELLS, FITTED = 20, 5000


class Health(NamedTuple):
  """verdict: healthy, collapsed, saturated or diverging. why: in words. figures: name -> value."""

  verdict: str
  why: str
  figures: dict[str, float]


def cell_perplexity_ratio(samples: np.ndarray, data: np.ndarray) -> float:
  """How many of the data's cells samples [n, D] fill, over how many data [m, D] do: 1 if evenly."""
  from sklearn.cluster import KMeans

  cells = KMeans(min(CELLS, len(data)), n_init=1, random_state=0).fit(data[:FITTED])

  def filled(x):
    share = np.bincount(cells.predict(x), minlength=cells.n_clusters) / len(x)
    return np.exp(-(share[share > 0] * np.log(share[share > 0])).sum())

  return float(filled(samples) / filled(data))


def spread_ratio(samples: np.ndarray, data: np.ndarray) -> float:
  """Root mean square distance of samples [n, D] from the mean of data [m, D], over that of data."""
  centre = data.mean(axis=0)
  reach = lambda x: np.sqrt(((x - centre) ** 2).sum(axis=1).mean())
  return float(reach(samples) / reach(data))


def quarter(rows: Sequence[Mapping], i: int) -> Sequence[Mapping]:
  """The i-th quarter of rows, never empty."""
  start = i * len(rows) // 4
  return rows[start : max((i + 1) * len(rows) // 4, start + 1)]


def game_health(rows: Sequence[Mapping], samples: np.ndarray, data: np.ndarray) -> Health:
  """The verdict on a game.

  Args:
    rows: of metrics.jsonl, in order. Read are critic_on_real, critic_on_fake, whatever ends in
      gradient_norm, and critic_accuracy and critic_saturation, which a game without logits lacks.
    samples: [n, ...].
    data: [m, ...], real examples.

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
    before = quarter(rows, 1)
    figures |= {
      "critic_saturation": mean("critic_saturation"),
      "largest_score": max(
        abs(float(row[f"critic_on_{side}"])) for row in last for side in ("real", "fake")
      ),
      "gradient_growth": max((mean(n) / max(mean(n, before), 1e-12) for n in norms), default=1.0),
      "spread_ratio": spread_ratio(samples, data),
      "cell_perplexity_ratio": cell_perplexity_ratio(samples, data),
    }
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
  stands = f"samples fill {cells:.0%} as many cells as data"
  if "critic_accuracy" in figures:
    right = f"{figures['critic_accuracy']:.0%} of pairs rightly"
    stands = f"the critic ranks {right} and is sure of {saturation:.0%}; {stands}"
  return "healthy", stands
