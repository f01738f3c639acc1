"""Whether single latents carry single factors: scores of codes beside the true factors.

  MIG        mean_k (I(z_(1); v_k) - I(z_(2); v_k)) / H(v_k), z_(i) the latent, in bins, that tells
             i-th most of factor k                                   (Chen et al. 2018, eq. 6)
  DCI        of how much each latent helps to predict each factor    (Eastwood & Williams 2018)
  beta-VAE   accuracy of a linear classifier of the factor that pairs share, from the mean absolute
             difference of their codes                               (Higgins et al. 2017, 3.1)
  FactorVAE  the same from the latent that varies least where one factor is held, by majority vote
                                                                     (Kim & Mnih 2018, section 3)

Shapes: codes [N, Z] real, factors [N, F] integer indices.
"""

from __future__ import annotations

import chex
import numpy as np
from scipy.special import entr

BINS = 20  # of a latent, as in Locatello et al. 2019
DEAD = 0.05  # standard deviation, over the largest, below which a latent says nothing (FactorVAE)


def mutual_information(a: np.ndarray, b: np.ndarray) -> float:
  """I(a; b) in nats of the joint histogram of two integer vectors [N]."""
  joint = np.zeros((a.max() + 1, b.max() + 1))
  np.add.at(joint, (a, b), 1 / len(a))
  return float(entr(joint.sum(0)).sum() + entr(joint.sum(1)).sum() - entr(joint).sum())


def in_bins(codes: np.ndarray, bins: int = BINS) -> np.ndarray:
  """Each latent's values as the number of one of `bins` equal intervals [N, Z]."""
  low, high = codes.min(0), codes.max(0)
  width = np.where(high > low, high - low, 1)
  return np.minimum((codes - low) / width * bins, bins - 1).astype(np.int64)


def mutual_information_gap(codes: np.ndarray, factors: np.ndarray) -> float:
  """MIG in [0, 1]; 0 for a single latent."""
  chex.assert_rank([codes, factors], 2)
  binned = in_bins(codes)
  gaps = []
  for v in factors.T:
    told = sorted(mutual_information(z, v) for z in binned.T)
    second = told[-2] if len(told) > 1 else told[-1]
    gaps.append((told[-1] - second) / entr(np.bincount(v) / len(v)).sum())
  return float(np.mean(gaps))


def dci(
  train: np.ndarray, factors: np.ndarray, test: np.ndarray, test_factors: np.ndarray
) -> dict[str, float]:
  """Disentanglement, completeness and informativeness, by the importances of random forests.

  With R[z, v] the importance of latent z for factor v: disentanglement is 1 - the entropy, in units
  of its maximum, of a latent's row, weighted by the row's sum; completeness 1 - that of a factor's
  column. Informativeness is the mean accuracy on the test codes.

  Args:
    train: codes [n, Z], with factors [n, F], F and Z at least 2.
    test: codes [m, Z], with test_factors [m, F].
  """
  from sklearn.ensemble import RandomForestClassifier

  importance, accuracy = [], []
  for v, test_v in zip(factors.T, test_factors.T, strict=True):
    forest = RandomForestClassifier(50, min_samples_leaf=4, max_features=None, random_state=0)
    forest.fit(train, v)
    importance.append(forest.feature_importances_)
    accuracy.append(forest.score(test, test_v))
  r = np.stack(importance, 1)
  rows, columns = r.sum(1), r.sum(0)
  of_latent = 1 - entr(r / np.maximum(rows, 1e-12)[:, None]).sum(1) / np.log(r.shape[1])
  of_factor = 1 - entr(r / columns).sum(0) / np.log(r.shape[0])
  return {
    "dci_disentanglement": float(of_latent @ rows / rows.sum()),
    "dci_completeness": float(of_factor.mean()),
    "dci_informativeness": float(np.mean(accuracy)),
  }


class Holder:
  """Draws examples that share the value of one factor."""

  def __init__(self, factors: np.ndarray, rng: np.random.Generator):
    self.rng, self.count = rng, factors.shape[1]
    self.order = [np.argsort(v, kind="stable") for v in factors.T]
    self.lengths = [np.unique(v, return_counts=True)[1] for v in factors.T]

  def groups(self, factor: int, n: int, size: int) -> np.ndarray:
    """Positions [n, size]; the value that a row shares is drawn anew for each."""
    lengths = self.lengths[factor]
    value = self.rng.integers(len(lengths), size=n)
    starts = np.cumsum(lengths) - lengths
    within = (self.rng.random((n, size)) * lengths[value][:, None]).astype(int)
    return self.order[factor][starts[value][:, None] + within]


def beta_vae_score(
  codes: np.ndarray,
  factors: np.ndarray,
  rng: np.random.Generator,
  *,
  points: int = 1000,
  pairs: int = 64,
) -> float:
  """Accuracy in [0, 1] on held-out points; 1/F by chance.

  Args:
    codes, factors: see above.
    rng: of the pairs; consumed.
    points: of the classifier's training, and half as many of its test.
    pairs: averaged for a point.
  """
  from sklearn.linear_model import LogisticRegression
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  holder = Holder(factors, rng)
  held = rng.integers(holder.count, size=points + points // 2)
  a, b = np.moveaxis(np.stack([holder.groups(k, pairs, 2) for k in held]), -1, 0)
  x = np.abs(codes[a] - codes[b]).mean(1)
  classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
  classifier.fit(x[:points], held[:points])
  return float(classifier.score(x[points:], held[points:]))


def factor_vae_score(
  codes: np.ndarray,
  factors: np.ndarray,
  rng: np.random.Generator,
  *,
  votes: int = 800,
  size: int = 64,
) -> float:
  """Accuracy in [0, 1] of the majority vote on held-out points; 0 where all latents are dead.

  Args:
    codes, factors: see above.
    rng: consumed.
    votes: points that vote, and half as many that are tested.
    size: of the group behind a point.
  """
  std = codes.std(0)
  alive = std > DEAD * std.max()
  if not std.max() > 0:
    return 0.0
  scaled, holder = codes[:, alive] / std[alive], Holder(factors, rng)
  held = rng.integers(holder.count, size=votes + votes // 2)
  steady = np.array([scaled[holder.groups(k, 1, size)[0]].var(0).argmin() for k in held])
  table = np.zeros((scaled.shape[1], holder.count))
  np.add.at(table, (steady[:votes], held[:votes]), 1)
  return float((table.argmax(1)[steady[votes:]] == held[votes:]).mean())
