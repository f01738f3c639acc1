"""A diagonal Gaussian mixture by EM, and PCA, of 60,000 vectors of 784: ours and scikit-learn's."""

import warnings

import numpy as np

N, D, K, PASSES, BATCH, RANK = 60_000, 784, 32, 5, 1_000, 50


def points():
  """[N, D] float32 from a mixture of K wide clusters."""
  rng = np.random.default_rng(0)
  centres = rng.normal(0, 1, (K, D))
  return (centres[rng.integers(0, K, N)] + rng.normal(0, 1, (N, D))).astype(np.float32)


def passes(family, count, **model):
  from benchmarks.sides.trainer import trainer
  from gen_jax.core import Spec

  steps = count * N // BATCH
  facts, work = trainer(
    family, Spec.of((D,)), {"x": points()}, batch_size=BATCH, steps=steps, per_call=steps,
    term="nll", remainder="pad", **model,
  )  # fmt: skip
  return facts | {"parameters": 0, "examples": N}, work


def ours():
  return passes("gmm", PASSES, components=K, covariance="diagonal", warmup=0)


def sklearn():
  """EM goes on from where it is: as many passes as ours, and no start by k-means in the time."""
  from sklearn import __version__
  from sklearn.exceptions import ConvergenceWarning
  from sklearn.mixture import GaussianMixture

  warnings.simplefilter("ignore", ConvergenceWarning)
  x = points()
  model = GaussianMixture(
    K, covariance_type="diag", max_iter=PASSES, tol=0.0, init_params="random_from_data",
    random_state=0, warm_start=True,
  )  # fmt: skip

  def work():
    model.fit(x)
    return -model.lower_bound_

  return {"version": f"scikit-learn {__version__}", "parameters": 0, "examples": N}, work


def ours_pca():
  return passes("pca", 1, components=RANK)


def sklearn_pca():
  from sklearn import __version__
  from sklearn.decomposition import PCA

  x = points()

  def work():
    return -PCA(RANK, svd_solver="covariance_eigh").fit(x).score(x[:1000])

  return {"version": f"scikit-learn {__version__}", "parameters": 0, "examples": N}, work
