"""PCA against scikit-learn, SciPy's multivariate normal and numerical integration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn import datasets, decomposition

from gen_jax.core import Spec, UserError
from gen_jax.models import pca
from tests.models.fitting import batches, fit, keys

DIGITS = (datasets.load_digits().data / 16).astype(np.float32)  # real values: no noise is added
TRAIN, TEST = DIGITS[:1300], DIGITS[1300:]


def fitted(x, size, spec=None, n=1, **kwargs):
  program = pca.build(spec or Spec.of(x.shape[1:]), **kwargs)
  state, metrics = fit(program.stages[0].model, batches(size, x=x), n)
  return program.model, [state], metrics


def covariance(params):
  """C of Tipping & Bishop's eq. 5, in float64."""
  p = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
  u, d = p["components"], p["components"].shape[1]
  return (u.T * (p["variance"] - p["noise"])) @ u + p["noise"] * np.eye(d)


def test_one_pass_equals_scikit_learn():
  oracle = decomposition.PCA(10, svd_solver="full").fit(TRAIN.astype(np.float64))
  model, states, _ = fitted(TRAIN, 400, components=10)
  p = states[0]["params"]
  np.testing.assert_allclose(p["mean"], oracle.mean_, atol=1e-6)
  np.testing.assert_allclose(p["components"], oracle.components_, atol=1e-4)
  np.testing.assert_allclose(p["variance"], oracle.explained_variance_, rtol=1e-5)
  np.testing.assert_allclose(p["noise"], oracle.noise_variance_, rtol=1e-5)
  log_p = jax.jit(model.log_prob)(states, TEST)
  np.testing.assert_allclose(log_p, oracle.score_samples(TEST), rtol=1e-4, atol=1e-4)
  back = oracle.inverse_transform(oracle.transform(TEST))
  np.testing.assert_allclose(model.decode(states, model.encode(states, TEST)), back, atol=1e-5)
  terms = model.evaluate(states, {"x": jnp.asarray(TEST)}, keys(len(TEST)))
  np.testing.assert_allclose(terms["squared_error"], ((TEST - back) ** 2).sum(1), rtol=1e-4)
  np.testing.assert_allclose(terms["nll"], -log_p, rtol=1e-5)
  assert "bits_per_dim" not in terms


def test_code_of_the_data_has_the_variance_of_the_prior():
  model, states, _ = fitted(TRAIN, 1300, components=5)
  p, code = states[0]["params"], model.encode(states, TRAIN)
  expected = p["variance"] / (p["variance"] - p["noise"])  # z of a noisy x is a little wider
  np.testing.assert_allclose(np.cov(code.T), np.diag(expected), atol=1e-4)


def test_density_and_samples_are_those_of_the_gaussian():
  model, states, _ = fitted(TRAIN[:, 10:16], 1300, components=2)
  p = states[0]["params"]
  oracle = scipy.stats.multivariate_normal(p["mean"], covariance(p))
  np.testing.assert_allclose(
    model.log_prob(states, TEST[:, 10:16]), oracle.logpdf(TEST[:, 10:16]), rtol=1e-4, atol=1e-4
  )
  x = jax.jit(model.sample)(states, keys(20_000))
  np.testing.assert_allclose(np.cov(x.T), covariance(p), atol=4e-3)
  np.testing.assert_allclose(x.mean(0), p["mean"], atol=0.01)
  smooth = pca.build(Spec.of((6,)), components=2, sample=pca.Sampler(noise=False)).model
  mean = smooth.sample(states, keys(50))
  np.testing.assert_allclose(smooth.decode(states, smooth.encode(states, mean)), mean, atol=1e-5)


def test_em_comes_to_the_eigenvectors_and_never_falls():
  rng = np.random.default_rng(0)
  mix = rng.standard_normal((3, 8)) * [[3], [2], [1]]
  x = (rng.standard_normal((400, 3)) @ mix + 0.3 * rng.standard_normal((400, 8)) + 5).astype("f4")
  _, exact, _ = fitted(x, 400, components=3)
  model, states, metrics = fitted(x, 30, n=25, components=3, method="em")
  for name in ("mean", "components", "variance", "noise"):
    a, b = states[0]["params"][name], exact[0]["params"][name]
    np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4)
  assert np.diff(metrics["nll"]).max() < 1e-5


def test_em_has_no_need_of_more_examples_than_dimensions():
  x = DIGITS[:40]
  oracle = decomposition.PCA(4).fit(x.astype(np.float64))
  _, states, _ = fitted(x, 20, n=200, components=4, method="em")
  p = states[0]["params"]
  np.testing.assert_allclose(p["components"], oracle.components_, atol=1e-3)
  np.testing.assert_allclose(p["variance"], oracle.explained_variance_, rtol=1e-4)
  # scikit-learn averages the rest over min(n, D) - k dimensions, eq. 8 over D - k.
  rest = np.trace(np.cov(x.T)) - oracle.explained_variance_.sum()
  np.testing.assert_allclose(p["noise"], rest / 60, rtol=1e-4)


def test_the_first_batch_is_solved_at_once_also_with_few_examples():
  for rows in (64, 3):
    model = pca.build(Spec.of((64,)), components=8).stages[0].model
    (first,) = batches(64, x=DIGITS[:rows])
    p = model.init(jax.random.key(0), first)["params"]
    k = min(8, rows - 1)
    oracle = decomposition.PCA(k).fit(DIGITS[:rows].astype(np.float64))
    np.testing.assert_allclose(p["components"][:k], oracle.components_, atol=1e-3)
    np.testing.assert_allclose(p["components"] @ p["components"].T, np.eye(8), atol=1e-5)
    np.testing.assert_allclose(p["variance"][:k], oracle.explained_variance_, rtol=1e-3)


def test_grey_levels_are_bounded_by_the_probability_of_their_cells():
  rng = np.random.default_rng(0)
  x = np.stack([a := rng.binomial(4, 0.4, 500), np.clip(a + rng.integers(0, 2, 500), 0, 4)], 1)
  model, states, _ = fitted(x.astype(np.uint8), 100, Spec.of((2,), 5), components=1)
  p = states[0]["params"]
  # The dequantised data's moments, from a fine grid of the noise.
  u = np.stack(np.meshgrid(*[(np.arange(50) + 0.5) / 50] * 2), -1).reshape(-1, 2)
  y = ((x[:, None] + u) / 5).reshape(-1, 2)
  np.testing.assert_allclose(covariance(p), np.cov(y.T), rtol=3e-3)
  grid = np.stack(np.meshgrid(np.arange(5), np.arange(5), indexing="ij"), -1).reshape(-1, 2)
  density = scipy.stats.multivariate_normal(p["mean"], covariance(p))
  bound = np.array([density.logpdf((c + u) / 5).mean() for c in grid]) - 2 * np.log(5)
  cell = np.array([density.cdf((c + 1) / 5, lower_limit=c / 5) for c in grid])
  assert (bound < np.log(cell)).all() and cell.sum() < 1
  draws = model.log_prob(states, jnp.asarray(grid, jnp.uint8).repeat(1000, axis=0), keys(25_000))
  draws = np.asarray(draws).reshape(25, 1000)
  assert (np.abs(draws.mean(1) - bound) < 5 * draws.std(1) / 1000**0.5).all()
  terms = model.evaluate(states, {"x": jnp.asarray(grid, jnp.uint8)}, keys(25))
  np.testing.assert_allclose(terms["bits_per_dim"], terms["nll"] / (2 * np.log(2)), rtol=1e-6)


def test_pictures_are_the_mean_and_the_components_in_grey_levels():
  x = (DIGITS * 16).astype(np.uint8).reshape(-1, 8, 8, 1)
  model, states, _ = fitted(x, 1797, Spec.of((8, 8, 1), 17), components=3)
  shown = model.pictures(states)["components"]
  assert shown.shape == (4, 8, 8, 1) and shown.min() > -0.6 and shown.max() <= 16
  np.testing.assert_allclose(shown[0], x.mean(0), atol=1e-4)
  np.testing.assert_allclose(shown[1:].max((1, 2, 3)), 16)  # the largest entry is positive
  assert pca.build(Spec.of((64,)), components=3).model.pictures(states) == {}


def test_refusals():
  with pytest.raises(UserError, match="at most 64, the dimensions"):
    pca.build(Spec.of((8, 8, 1), 17), components=65)
  with pytest.raises(UserError, match="model.method=em or a smaller data.resolution"):
    pca.build(Spec.of((256, 256, 3), 256))
  pca.build(Spec.of((256, 256, 3), 256), method="em")
  with pytest.raises(UserError, match="floor must be positive"):
    pca.build(Spec.of((4,)), components=1, floor=0.0)
  with pytest.raises(UserError, match="JAX_ENABLE_X64"):
    pca.build(Spec.of((4,)), components=1, dtype="float64")
