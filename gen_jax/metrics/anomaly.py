"""Whether a score tells what a model knows from what it does not."""

from __future__ import annotations

import chex
import numpy as np

from gen_jax import core


def auroc(scores_in: np.ndarray, scores_out: np.ndarray) -> float:
  """Area under the ROC curve: the chance that a known example scores higher than a foreign one.

  Args:
    scores_in: [n], such as log p(x), of what is known; -inf is the lowest of all.
    scores_out: [m], of what is not.

  Returns:
    1 for a perfect score, 1/2 for one that says nothing; a tie counts half.

  Raises:
    core.UserError: where a set is empty, or a score is NaN.
  """
  from scipy.stats import rankdata
  from sklearn.metrics import roc_auc_score

  chex.assert_rank([scores_in, scores_out], 1)
  if not len(scores_in) or not len(scores_out):
    raise core.UserError("an AUROC needs scores of both sets, and one is empty")
  scores = np.concatenate([scores_in, scores_out])
  if np.isnan(scores).any():
    raise core.UserError(f"{int(np.isnan(scores).sum())} of {len(scores)} scores are NaN")
  known = np.concatenate([np.ones(len(scores_in)), np.zeros(len(scores_out))])
  return float(roc_auc_score(known, rankdata(scores)))


def noise_like(
  x: np.ndarray, levels: int | None, rng: np.random.Generator
) -> dict[str, np.ndarray]:
  """Two kinds of noise of the shape and type of x [n, ...].

  Args:
    x: examples.
    levels: number of grey levels, or None for real values.
    rng: consumed.

  Returns:
    uniform_noise: every entry uniform over the grey levels, or between the least and the largest
      real value of its position. mixed_examples: every entry that of another example at its
      position, so that all marginals are those of x and nothing else is.
  """
  if levels is None:
    low, high = x.min(axis=0), x.max(axis=0)
    uniform = (low + (high - low) * rng.random(x.shape)).astype(x.dtype)
  else:
    uniform = rng.integers(levels, size=x.shape).astype(x.dtype)
  mixed = rng.permuted(x.reshape(len(x), -1), axis=0).reshape(x.shape)
  return {"uniform_noise": uniform, "mixed_examples": mixed}
