"""EM against scikit-learn from the same start, SciPy's densities, and a known entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from sklearn import datasets, mixture

from gen_jax.core import Spec, UserError
from gen_jax.data import load
from gen_jax.models import gmm
from tests.models.fitting import batches, fit, keys

X = datasets.load_iris().data.astype(np.float32)
START = {"weight": np.array([0.5, 0.3, 0.2], "f4"), "mean": X[[0, 60, 110]]}
KINDS = {"full": "full", "diagonal": "diag"}


def whiten(precision, kind):
  eye = np.full((3, 4), precision**0.5, np.float32)
  return eye if kind == "diagonal" else np.stack([np.diag(row) for row in eye])


@pytest.mark.parametrize("kind", KINDS)
def test_em_equals_scikit_learn_from_the_same_start(kind):
  oracle = mixture.GaussianMixture(
    3, covariance_type=KINDS[kind], reg_covar=1e-6, max_iter=25, tol=0,
    weights_init=START["weight"], means_init=START["mean"],
    precisions_init=np.full((3, 4), 4.0) if kind == "diagonal" else np.stack([4 * np.eye(4)] * 3),
  )  # fmt: skip
  with pytest.warns(match="converge"):
    oracle.fit(X.astype(np.float64))
  program = gmm.build(Spec.of((4,)), components=3, covariance=kind)
  start = {**START, "whiten": whiten(4.0, kind)}
  state, metrics = fit(program.stages[0].model, batches(64, x=X), 25, params=start)
  p = state["params"]
  np.testing.assert_allclose(p["weight"], oracle.weights_, atol=1e-4)
  np.testing.assert_allclose(p["mean"], oracle.means_, atol=1e-4)
  log_p = jax.jit(program.model.log_prob)([state], X)
  np.testing.assert_allclose(log_p, oracle.score_samples(X), atol=2e-3)
  np.testing.assert_allclose(log_p.mean(), oracle.score(X), atol=1e-4)
  np.testing.assert_allclose(program.model.encode([state], X), oracle.predict_proba(X), atol=2e-3)
  # The likelihood never falls, and each pass reports that of the parameters it began with.
  assert np.diff(metrics["nll"]).max() < 1e-5
  np.testing.assert_allclose(-metrics["nll"][-1], oracle.lower_bound_, atol=1e-4)


def test_eight_gaussians_reach_their_entropy():
  source = load("toy2d:8gaussians")
  train, test = (source.splits[name].arrays()["x"] for name in ("train", "test"))
  program = gmm.build(source.spec, components=8)
  state, metrics = fit(program.stages[0].model, batches(10_000, x=train[:50_000]), 8)
  nll = -jax.jit(program.model.log_prob)([state], test).mean()
  assert abs(nll - 2.832) < 0.02
  assert np.diff(metrics["nll"]).max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_density_integrates_to_one_and_samples_follow_it(kind):
  program = gmm.build(Spec.of((2,)), components=3, covariance=kind)
  state, _ = fit(program.stages[0].model, batches(150, x=X[:, :2]), 5)
  axes = np.linspace(2, 10, 200), np.linspace(0, 7, 200)
  grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2).astype("f4")
  p = np.exp(np.asarray(program.model.log_prob([state], grid), np.float64))
  p *= (axes[0][1] - axes[0][0]) * (axes[1][1] - axes[1][0])
  np.testing.assert_allclose(p.sum(), 1, atol=1e-3)
  mean = p @ grid
  x = np.asarray(jax.jit(program.model.sample)([state], keys(20_000)))
  np.testing.assert_allclose(x.mean(0), mean, atol=0.03)
  np.testing.assert_allclose(np.cov(x.T), (grid - mean).T * p @ (grid - mean), atol=0.03)
  code = program.model.prior([state], keys(4000))
  np.testing.assert_allclose(code.mean(0), state["params"]["weight"], atol=0.04)
  chosen = np.asarray(code).argmax(1)
  mean = np.asarray(state["params"]["mean"])
  np.testing.assert_array_equal(program.model.decode([state], code), mean[chosen])


@pytest.mark.parametrize("kind", KINDS)
def test_grey_levels_integrate_the_noise_out(kind):
  rng = np.random.default_rng(0)
  high = rng.integers(0, 2, (300, 1))
  x = np.clip(rng.binomial(3, 0.3, (300, 2)) + 3 * high, 0, 6).astype(np.uint8)
  x[:, 1] = np.where(high[:, 0], x[:, 1], 1)  # a pixel that is constant within a component
  spec = Spec.of((2,), 7)
  program = gmm.build(spec, components=2, covariance=kind)
  state, metrics = fit(program.stages[0].model, batches(128, x=x), 20)
  assert np.diff(metrics["nll"]).max() < 1e-5
  # An independent mixture over the same points: its cells have these probabilities.
  p = jax.tree.map(lambda a: np.asarray(a, np.float64), state["params"])
  r = p["whiten"] if kind == "full" else np.stack([np.diag(w) for w in p["whiten"]])
  covariance = np.linalg.inv(r.swapaxes(1, 2) @ r)
  parts = [scipy.stats.multivariate_normal(m, c) for m, c in zip(p["mean"], covariance)]
  u = np.stack(np.meshgrid(*[(np.arange(40) + 0.5) / 40] * 2), -1).reshape(-1, 2)
  cells = np.unique(x, axis=0)
  log_p = [d.logpdf((cells[:, None] + u) / 7) for d in parts]
  log_joint = np.stack(log_p, -1) + np.log(p["weight"])
  exact = scipy.special.logsumexp(log_joint, axis=-1)  # [cells, noise]
  bound = scipy.special.logsumexp(log_joint.mean(1), axis=-1) - 2 * np.log(7)
  count = np.array([(x == c).all(1).sum() for c in cells])
  _, own = fit(program.stages[0].model, batches(300, x=x), 1, state=state)
  np.testing.assert_allclose(own["nll"], -(bound * count).sum() / 300, rtol=1e-3)
  draws = program.model.log_prob([state], jnp.asarray(cells).repeat(500, 0), keys(500 * len(cells)))
  draws = np.asarray(draws).reshape(-1, 500)
  expected = exact.mean(1) - 2 * np.log(7)
  assert (np.abs(draws.mean(1) - expected) < 5 * draws.std(1) / 500**0.5 + 1e-3).all()
  assert (bound <= expected + 1e-9).all()
  # The M-step has the variance of a uniform pixel as its floor.
  assert np.linalg.eigvalsh(covariance).min() > 0.99 / (12 * 7**2)
  sampled = program.model.sample([state], keys(100))
  assert sampled.dtype == np.uint8 and sampled.max() < 7
  terms = program.model.evaluate([state], {"x": jnp.asarray(cells)}, keys(len(cells)))
  np.testing.assert_allclose(terms["bits_per_dim"], terms["nll"] / (2 * np.log(2)), rtol=1e-6)


def test_refusals():
  for wrong in (dict(components=0), dict(floor=0.0), dict(warmup=-1)):
    with pytest.raises(UserError, match=f"model.{next(iter(wrong))} must be"):
      gmm.build(Spec.of((2,)), **wrong)
