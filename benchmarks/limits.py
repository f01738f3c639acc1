"""The best that can be done on pairs:segmentation: every sprite weighed by Bayes' rule.

  python -m benchmarks.limits [--images 400]

A picture is one of all sprites under noise that is cut to 0..255 and rounded, so that what each
pixel is has a known probability. The most probable class of each pixel makes the fewest mistakes
there can be; a network that has learnt from some of the sprites can at best come close.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

from benchmarks.common import refusing, table
from gen_jax import data, metrics
from gen_jax.core import UserError, permutation
from gen_jax.data import rules, shapes


def log_table(clean: np.ndarray, noise: float = rules.NOISE) -> np.ndarray:
  """log p(v | c) of a grey level v = 0..255 that was c: [256, len(clean)]."""
  edges = np.concatenate([[-np.inf], np.arange(0.5, 255), [np.inf]])[:, None]
  low, high = (edges[i : i + 256] - clean for i in (0, 1))
  # By symmetry in the lower tail, where differences of small numbers are exact.
  upper = low > 0
  low, high = np.where(upper, -high, low), np.where(upper, -low, high)
  cdf = lambda v: norm.cdf(v / (255 * noise))
  return np.log(cdf(high) - cdf(low))


class Posterior:
  """p(class of each pixel | noisy picture), over all sprites alike probable."""

  def __init__(self, resolution: int):
    index = np.arange(shapes.SIZE).reshape(shapes.GRID)[:, :1].reshape(-1)  # of one colour, red
    drawn = shapes.render(index, resolution)
    self.kind, masks = drawn["label"], drawn["x"][..., 0].reshape(len(index), -1)
    self.inside = drawn["segmentation"].reshape(len(index), -1).astype(np.float64)
    self.levels, code = np.unique(masks, return_inverse=True)
    code = code.reshape(masks.shape)
    self.table = log_table(self.levels.astype(np.float64))
    self.colours = np.array(list(shapes.COLOURS.values())) // 255
    # Of each sprite, its pixels as positions in [pixels, levels]; the first, black, adds nothing.
    most = (masks > 0).sum(1).max()
    self.at = np.zeros((len(index), most), np.int64)
    for row, mask, levels in zip(self.at, masks, code, strict=True):
      where = np.flatnonzero(mask)
      row[: len(where)] = where * len(self.levels) + levels[where]

  def __call__(self, x: np.ndarray) -> np.ndarray:
    """x uint8 [H, W, 3] -> [H, W, 1 + shapes]."""
    ratio = self.table[x.reshape(-1, 3)]  # [pixels, 3, levels]
    ratio = ratio - ratio[..., :1]
    lit = np.stack([ratio[:, c].ravel()[self.at].sum(1) for c in range(3)], axis=1)
    of_mask = logsumexp(lit @ self.colours.T, axis=1)
    weight = np.exp(of_mask - logsumexp(of_mask))
    kinds = np.eye(shapes.GRID[0])[self.kind] * weight[:, None]
    classes = self.inside.T @ kinds
    whole = np.concatenate([1 - classes.sum(1, keepdims=True), classes], axis=1)
    return whole.reshape(*x.shape[:2], -1)


@refusing
def main(argv: Sequence[str] | None = None) -> int:
  """The command line; returns the exit status."""
  parser = argparse.ArgumentParser(prog="python -m benchmarks.limits", description=__doc__)
  parser.add_argument("--images", type=int, default=400)
  options = parser.parse_args(argv)
  source = data.load("pairs:segmentation")
  split, classes = source.splits["test"], source.spec.fields["segmentation"].levels
  if not 0 < options.images <= len(split):
    raise UserError(f"--images must be 1 to {len(split)}, not {options.images}")
  batch = split.take(permutation(len(split))[: options.images])
  posterior = Posterior(source.spec.shape[0])
  predicted = np.stack([posterior(x).argmax(-1) for x in batch["x"]])
  found = metrics.agreement(metrics.confusion_matrix(batch["segmentation"], predicted, classes))
  row = (found.mean_iou, found.foreground_iou, found.pixel_accuracy)
  print(table(["mean IoU", "foreground IoU", "pixel accuracy"], [[f"{v:.4f}" for v in row]]))
  return 0


if __name__ == "__main__":
  sys.exit(main())
