"""Discriminant analysis against scikit-learn's, and Bayes' rule over any density."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from sklearn import datasets, discriminant_analysis, naive_bayes

from gen_jax.core import Model, Spec, UserError
from gen_jax.models import gda
from gen_jax.models.bayes import bayes, joint, rejecter
from tests.models.fitting import batches, fit, keys

LABEL = datasets.load_digits().target.astype(np.int32)
DIGITS = (datasets.load_digits().data / 16).astype(np.float32)  # real values: no noise is added
IRIS, SPECIES = (a.astype(t) for a, t in zip(datasets.load_iris(return_X_y=True), ("f4", "i4")))
QDA = discriminant_analysis.QuadraticDiscriminantAnalysis


def fitted(x, label, size=400, spec=None, **kwargs):
  program = gda.build(spec or Spec.of(x.shape[1:], None, int(label.max()) + 1), **kwargs)
  state, _ = fit(program.stages[0].model, batches(size, x=x, label=label))
  return program.model, [state]


def check(oracle, model, states, x, label):
  """Posteriors and accuracy of a fitted scikit-learn classifier."""
  log_p = jax.jit(model.predict)(states, x)
  theirs = oracle.predict_log_proba(x.astype(np.float64))
  np.testing.assert_allclose(log_p, theirs, atol=1e-3, rtol=1e-4)
  batch = {"x": jnp.asarray(x), "label": jnp.asarray(label)}
  terms = jax.jit(model.evaluate)(states, batch, keys(len(x)))
  np.testing.assert_allclose(terms["accuracy"].mean(), oracle.score(x, label), atol=1e-6)
  return terms


@pytest.mark.skipif("solver" not in inspect.signature(QDA).parameters, reason="divides by n - 1")
def test_full_equals_scikit_learn_s_quadratic_analysis():
  shrinkage, train, test = 0.02, slice(0, 1300), slice(1300, None)
  oracle = QDA(reg_param=shrinkage).fit(DIGITS[train].astype(np.float64), LABEL[train])
  model, states = fitted(DIGITS[train], LABEL[train], shrinkage=shrinkage)
  terms = check(oracle, model, states, DIGITS[test], LABEL[test])
  score = scipy.special.logsumexp(oracle.decision_function(DIGITS[test]), axis=1)
  evidence = score - 32 * math.log(2 * math.pi)
  np.testing.assert_allclose(-terms["nll"], evidence, rtol=1e-4, atol=2e-3)


def test_shared_equals_scikit_learn_s_linear_analysis():
  oracle = discriminant_analysis.LinearDiscriminantAnalysis(solver="lsqr")
  oracle.fit(IRIS.astype(np.float64), SPECIES)
  check(oracle, *fitted(IRIS, SPECIES, 64, covariance="shared", shrinkage=0.0), IRIS, SPECIES)


def test_diagonal_equals_scikit_learn_s_naive_bayes():
  oracle = naive_bayes.GaussianNB(var_smoothing=0).fit(IRIS.astype(np.float64), SPECIES)
  check(oracle, *fitted(IRIS, SPECIES, 64, covariance="diagonal", shrinkage=0.0), IRIS, SPECIES)


def test_densities_with_and_without_a_label():
  model, states = fitted(IRIS[:130], SPECIES[:130], 64, shrinkage=0.1)
  parts = []
  for k in range(3):
    x = IRIS[:130][SPECIES[:130] == k].astype(np.float64)
    covariance = 0.9 * np.cov(x.T, bias=True) + 0.1 * np.eye(4)
    parts.append(scipy.stats.multivariate_normal(x.mean(0), covariance).logpdf(IRIS))
  given = model.log_prob(states, IRIS, None, {"label": jnp.asarray(SPECIES)})
  np.testing.assert_allclose(given, np.stack(parts)[SPECIES, np.arange(150)], rtol=1e-4, atol=1e-4)
  prior = np.array([50, 50, 30]) / 130
  evidence = scipy.special.logsumexp(np.stack(parts).T, b=prior, axis=1)
  np.testing.assert_allclose(model.log_prob(states, IRIS), evidence, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("covariance", ["full", "shared", "diagonal"])
def test_samples_have_the_moments_of_their_class(covariance):
  model, states = fitted(IRIS, SPECIES, 64, covariance=covariance, shrinkage=0.0)
  draw = jax.jit(model.sample)
  x = draw(states, keys(20_000), {"label": jnp.full(20_000, 1)})
  np.testing.assert_allclose(x.mean(0), IRIS[SPECIES == 1].mean(0), atol=0.02)
  within = [np.cov(IRIS[k == SPECIES].T, bias=True) for k in range(3)]
  expected = {"full": within[1], "shared": np.mean(within, 0), "diagonal": within[1] * np.eye(4)}
  np.testing.assert_allclose(np.cov(x.T), expected[covariance], atol=0.02)
  np.testing.assert_allclose(draw(states, keys(20_000)).mean(0), IRIS.mean(0), atol=0.05)


def test_grey_levels_have_the_noise_s_variance_exactly():
  x = (DIGITS * 16).astype(np.uint8).reshape(-1, 8, 8, 1)
  spec = Spec.of((8, 8, 1), 17, 10)
  model, states = fitted(x, LABEL, spec=spec, covariance="diagonal", shrinkage=0.0)
  std = 1 / np.asarray(states[0]["params"]["whiten"], np.float64)
  expected = np.stack([x[k == LABEL].reshape(-1, 64).var(0) + 1 / 12 for k in range(10)]) / 17**2
  np.testing.assert_allclose(std**2, expected, rtol=1e-4)
  shown = model.pictures(states)["means"]
  np.testing.assert_allclose(shown[3], x[LABEL == 3].mean(0), atol=1e-4)


def test_bayes_rule_over_any_density_is_that_of_the_joint():
  built, states = fitted(IRIS, SPECIES, 64, shrinkage=0.1)
  plain = Model(
    init=None, update=None, evaluate=lambda state, batch, keys: {"own": batch["x"][:, 0]},
    log_prob=built.log_prob, cond=("label",),
  )  # fmt: skip
  ruled = bayes(plain, Spec.of((4,), None, 3))  # the classes of iris are equally frequent
  x = jnp.asarray(IRIS)
  np.testing.assert_allclose(ruled.predict(states, x), built.predict(states, x), atol=1e-4)
  np.testing.assert_allclose(ruled.log_prob(states, x), built.log_prob(states, x), atol=1e-4)
  terms = ruled.evaluate(states, {"x": x, "label": jnp.asarray(SPECIES)}, keys(150))
  assert set(terms) == {"own", "nll", "accuracy"}
  tilted = joint(plain, 3, jnp.log(jnp.array([1.0, 1e-30, 1e-30])))
  assert (
    bayes(plain, Spec.of((4,), None, 3), tilted).predict(states, x).argmax(1) == 0
  ).mean() > 0.6


def test_classes_share_the_noise_of_an_example():
  noisy = lambda state, x, keys, cond: jax.vmap(jax.random.normal)(keys) + 2.0 * cond["label"]
  model = Model(None, None, None, log_prob=noisy, cond=("label",))
  scores = joint(model, 3)(None, jnp.zeros((5, 1)), keys(5))
  np.testing.assert_allclose(np.diff(scores, axis=1), 2, atol=1e-6)
  again = joint(model, 3)(None, jnp.zeros((5, 1)), None)
  np.testing.assert_array_equal(again, joint(model, 3)(None, jnp.zeros((5, 1)), None))


def test_what_is_unlike_the_training_data_is_rejected():
  model, states = fitted(DIGITS[:1300], LABEL[:1300], shrinkage=0.02)
  reject = rejecter(model, states, jnp.asarray(DIGITS[:1300]), keys(1300), share=0.05)
  assert abs(reject(DIGITS[:1300], keys(1300)).mean() - 0.05) < 2e-3
  assert reject(DIGITS[1300:], keys(497)).mean() < 0.4
  noise = np.random.default_rng(0).uniform(size=(200, 64)).astype("f4")
  assert reject(noise, keys(200)).all()


def test_refusals():
  with pytest.raises(UserError, match="labels of 2 classes or more, and these data have none"):
    gda.build(Spec.of((4,)))
  with pytest.raises(UserError, match=r"model.shrinkage must be in \[0, 1\], not"):
    gda.build(Spec.of((4,), None, 2), shrinkage=1.5)
