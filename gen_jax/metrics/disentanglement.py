"""Whether single latents carry single factors: scores of codes beside the true factors.

  MIG        mean_k (I(z_(1); v_k) - I(z_(2); v_k)) / H(v_k), z_(i) the latent, in bins, that tells
             i-th most of factor k                                   (Chen et al. 2018, eq. 6)
  DCI        of how much each latent helps to predict each factor    (Eastwood & Williams 2018)
  beta-VAE   accuracy of a linear classifier of the factor that pairs share, from the mean absolute
             difference of their codes                               (Higgins et al. 2017, 3.1)
  FactorVAE  the same from the latent that varies least where one factor is held, by majority vote
                                                                     (Kim & Mnih 2018, section 3)

None depends on the unit of a latent. Factors that do not vary say nothing of a code and are left
out; latents that do not vary tell nothing, so that constant codes have the scores of a guess.

Shapes: codes [N, Z] real, factors [N, F] integer indices.
"""

from __future__ import annotations

import chex
import numpy as np
from scipy.special import entr

from gen_jax.core import UserError
from gen_jax.metrics.finite import finite

BINS = 20  # of a latent, as in Locatello et al. 2019
ROUNDING = 1e-6  # standard deviation, over the largest magnitude, of a constant in float32


def checked(codes: np.ndarray, factors: np.ndarray, least: int) -> tuple[np.ndarray, np.ndarray]:
  """The codes, and of the factors those that vary.

  Raises:
    UserError: for codes that are not finite, or fewer than `least` factors that vary.
  """
  chex.assert_rank([codes, factors], 2)
  chex.assert_equal_shape_prefix([codes, factors], 1)
  varies = (factors != factors[:1]).any(axis=0)
  if varies.sum() < least:
    raise UserError(
      f"this score needs {least} factors that vary, and {varies.sum()} of {len(varies)} do"
    )
  return finite(codes, "the codes"), factors[:, varies]


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
  """MIG in [0, 1]; 0 for a single latent.

  Raises:
    UserError: see `checked`; one factor is enough.
  """
  codes, factors = checked(codes, factors, 1)
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
  column, 1 for a single latent. Both are 0 where no latent helps (as in Locatello et al. 2019).
  Informativeness is the mean accuracy on the test codes.

  Args:
    train: codes [n, Z], with factors [n, F].
    test: codes [m, Z], with test_factors [m, F].

  Raises:
    UserError: for codes that are not finite, or fewer than 2 factors that vary in `factors`.
  """
  from sklearn.ensemble import RandomForestClassifier

  test_factors = test_factors[:, (factors != factors[:1]).any(axis=0)]
  train, factors = checked(train, factors, 2)
  test = finite(test, "the codes")
  importance, accuracy = [], []
  for v, test_v in zip(factors.T, test_factors.T, strict=True):
    forest = RandomForestClassifier(50, min_samples_leaf=4, max_features=None, random_state=0)
    forest.fit(train, v)
    importance.append(forest.feature_importances_)
    accuracy.append(forest.score(test, test_v))
  r = np.stack(importance, 1) + 1e-11  # what is of no importance at all is spread evenly
  rows, columns = r.sum(1, keepdims=True), r.sum(0)
  of_latent = 1 - entr(r / rows).sum(1) / np.log(r.shape[1])
  of_factor = 1 - entr(r / columns).sum(0) / np.log(max(r.shape[0], 2))
  return {
    "dci_disentanglement": float(np.average(of_latent, weights=rows[:, 0])),
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

  Raises:
    UserError: see `checked`; two factors are needed.
  """
  from sklearn.linear_model import LogisticRegression
  from sklearn.pipeline import make_pipeline
  from sklearn.preprocessing import StandardScaler

  codes, factors = checked(codes, factors, 2)
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
  """Accuracy in [0, 1] of the majority vote on held-out points; 0 where no latent varies.

  The variance of a latent in a group is divided by that over the data, as in Locatello et al. 2019:
  one that is noise has 1, whatever its scale, so that constants alone are pruned. (A latent that
  collapsed to a prior is such noise, unless its mean still moves: they keep it too.)

  Args:
    codes, factors: see above.
    rng: consumed.
    votes: points that vote, and half as many that are tested.
    size: of the group behind a point.

  Raises:
    UserError: see `checked`; two factors are needed.
  """
  codes, factors = checked(codes, factors, 2)
  std = codes.std(0)
  alive = std > ROUNDING * np.abs(codes).max(0)
  if not alive.any():
    return 0.0
  scaled, holder = codes[:, alive] / std[alive], Holder(factors, rng)
  held = rng.integers(holder.count, size=votes + votes // 2)
  steady = np.array([scaled[holder.groups(k, 1, size)[0]].var(0).argmin() for k in held])
  table = np.zeros((scaled.shape[1], holder.count))
  np.add.at(table, (steady[:votes], held[:votes]), 1)
  return float((table.argmax(1)[steady[votes:]] == held[votes:]).mean())
