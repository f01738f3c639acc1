"""Frechet distance between two sets of features.

Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
Equilibrium", section 4. It is called FID only where the features are InceptionV3's.
"""

from __future__ import annotations

import chex
import numpy as np
import scipy.linalg

from gen_jax import core
from gen_jax.metrics.finite import finite


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
  """Squared Frechet distance between Gaussians fitted to two sets of features.

  Computed in float64, with unbiased covariances. It is biased upwards by about 1/n: compare only
  figures of equal n and m.

  Args:
    features_a: [n, F].
    features_b: [m, F].

  Returns:
    |mean_a - mean_b|^2 + tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), in squared units of the
    features, never negative.

  Raises:
    core.UserError: where a set has fewer than two rows, or a feature is not finite.
  """
  chex.assert_rank([features_a, features_b], 2)
  chex.assert_equal_shape_suffix([features_a, features_b], 1)
  moments = []
  for features in (features_a, features_b):
    if len(features) < 2:
      raise core.UserError(f"a Frechet distance needs two examples or more, not {len(features)}")
    features = finite(features, "the features")
    moments += [features.mean(axis=0), np.atleast_2d(np.cov(features, rowvar=False))]
  return gaussian_frechet_distance(*moments)


def gaussian_frechet_distance(
  mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray
) -> float:
  """Squared Frechet (2-Wasserstein) distance between two Gaussians, in float64.

  The trace of (A B)^(1/2) is taken from the symmetric (A^(1/2) B A^(1/2))^(1/2), which has the
  same eigenvalues and no complex part to discard; singular covariances need no jitter.

  Args:
    mean_a, mean_b: [F].
    cov_a, cov_b: [F, F], symmetric and positive semi-definite.

  Returns:
    The distance, never negative.

  Raises:
    ValueError: where an entry is not finite.
  """
  mean_a, cov_a, mean_b, cov_b = (np.asarray(x, np.float64) for x in (mean_a, cov_a, mean_b, cov_b))
  chex.assert_rank([mean_a, cov_a, mean_b, cov_b], [1, 2, 1, 2])
  chex.assert_equal_shape([mean_a, mean_b, cov_a[0], cov_b[0]])
  value, vector = scipy.linalg.eigh(cov_a)
  root = (vector * np.sqrt(value.clip(0))) @ vector.T
  product = scipy.linalg.eigvalsh(root @ cov_b @ root)
  trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(product.clip(0)).sum()
  return float(max(np.sum((mean_a - mean_b) ** 2) + trace, 0.0))
