"""How much of the labels is in a code: errors of simple classifiers trained on it."""

from __future__ import annotations

import chex
import numpy as np

from gen_jax import core
from gen_jax.metrics.finite import finite

RBF_LIMIT = 5000  # labels above which the kernel machine, quadratic in their number, is left out


def balanced(labels: np.ndarray, count: int) -> np.ndarray:
  """Positions of `count` examples, equally many of each class as far as there are so many: how
  Kingma et al. 2014 ("Semi-Supervised Learning with Deep Generative Models", section 4) choose the
  labelled ones. Which they are is picked by a fixed permutation.

  Args:
    labels: [N].
    count: at most N.
  """
  order = core.permutation(len(labels))
  by_class = np.argsort(labels[order], kind="stable")
  grouped = labels[order][by_class]
  turn = np.empty(len(labels), np.int64)  # how many of its class come before it
  turn[by_class] = np.arange(len(labels)) - np.searchsorted(grouped, grouped)
  return order[np.argsort(turn, kind="stable")[:count]]


def probe_errors(
  train: np.ndarray, labels: np.ndarray, test: np.ndarray, test_labels: np.ndarray
) -> dict[str, float]:
  """Test error of classifiers of codes, regularisation chosen by cross-validation.

  Codes are centred and scaled as a whole: standardised one by one, units that a model leaves unused
  would be noise as large as its signal.

  linear: logistic regression. rbf_svm: a support vector machine with a Gaussian kernel, for at most
  RBF_LIMIT labels.

  Args:
    train: codes [n, Z], with labels [n] of two classes or more.
    test: codes [m, Z], with test_labels [m].

  Returns:
    Fraction of test codes whose class is not found, in [0, 1], by classifier.

  Raises:
    core.UserError: for labels of one class only, or codes that are not finite.
  """
  from sklearn.linear_model import LogisticRegression
  from sklearn.model_selection import GridSearchCV, StratifiedKFold
  from sklearn.svm import SVC

  chex.assert_rank([train, labels, test, test_labels], [2, 1, 2, 1])
  train, test = finite(train, "the codes"), finite(test, "the codes")
  if len(np.unique(labels)) < 2:
    raise core.UserError("a probe needs labels of two classes or more, and these are of one")
  centre, scale = train.mean(axis=0), np.sqrt(train.var(axis=0).mean()) + 1e-12
  train, test = (train - centre) / scale, (test - centre) / scale
  folds = StratifiedKFold(3, shuffle=True, random_state=0)
  fits = {"linear": (LogisticRegression(max_iter=1000), {"C": [0.01, 0.1, 1.0]})}
  if len(train) <= RBF_LIMIT:
    gammas = np.array([0.25, 1.0, 4.0]) / train.shape[1]
    fits["rbf_svm"] = (SVC(), {"C": [1.0, 10.0, 100.0], "gamma": gammas})
  errors = {}
  for name, (classifier, grid) in fits.items():
    enough = np.unique(labels, return_counts=True)[1].min() >= 3
    if enough and len(train) <= RBF_LIMIT:
      classifier = GridSearchCV(classifier, grid, cv=folds)
    errors[name] = float((classifier.fit(train, labels).predict(test) != test_labels).mean())
  return errors


def linear_r2(codes: np.ndarray, targets: np.ndarray) -> np.ndarray:
  """Share of the variance of each target that ridge regression on the codes tells, of the second
  half of the rows by the first; regularisation chosen by cross-validation. Below 0 where the mean
  would have told more.

  Args:
    codes: [n, Z].
    targets: [n, K], each of which varies.

  Returns:
    [K], at most 1.

  Raises:
    core.UserError: for codes that are not finite.
  """
  from sklearn.linear_model import RidgeCV
  from sklearn.metrics import r2_score

  chex.assert_rank([codes, targets], 2)
  codes, half = finite(codes, "the codes"), len(codes) // 2
  centre, scale = codes[:half].mean(axis=0), np.sqrt(codes[:half].var(axis=0).mean()) + 1e-12
  codes = (codes - centre) / scale
  fit = RidgeCV(np.logspace(-3, 3, 7)).fit(codes[:half], targets[:half])
  return r2_score(targets[half:], fit.predict(codes[half:]), multioutput="raw_values")
