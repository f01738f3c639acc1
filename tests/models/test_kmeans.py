"""k-means against scikit-learn from the same start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import cluster, datasets

from gen_jax.core import Spec, UserError
from gen_jax.models import kmeans
from tests.models.fitting import batches, fit, keys

DIGITS = (datasets.load_digits().data / 16).astype(np.float32)
CORNERS = np.array([[0, 0], [9, 0], [0, 9], [9, 9], [4, 20]], np.float32)
CLUMPS = np.repeat(CORNERS, 40, 0) + np.random.default_rng(0).normal(0, 0.1, (200, 2))
CLUMPS = CLUMPS.astype(np.float32)


def test_lloyd_equals_scikit_learn_from_the_same_start():
  start = DIGITS[:10]
  oracle = cluster.KMeans(10, init=start, n_init=1, max_iter=60, tol=0, algorithm="lloyd")
  oracle.fit(DIGITS.astype(np.float64))
  program = kmeans.build(Spec.of((64,)), clusters=10)
  state, metrics = fit(
    program.stages[0].model, batches(500, x=DIGITS), 60, params={"centres": start}
  )
  np.testing.assert_allclose(state["params"]["centres"], oracle.cluster_centers_, atol=1e-3)
  model, batch = program.model, {"x": jnp.asarray(DIGITS)}
  inertia = np.asarray(model.evaluate([state], batch, keys(len(DIGITS)))["inertia"])
  np.testing.assert_allclose(inertia.sum(), oracle.inertia_, rtol=1e-5)
  assert np.diff(metrics["inertia"]).max() < 1e-5
  code = np.asarray(model.encode([state], DIGITS))
  np.testing.assert_array_equal(code.argmax(1), oracle.labels_)
  back = model.decode([state], code)
  np.testing.assert_allclose(((DIGITS - back) ** 2).sum(1), inertia, rtol=1e-4)


def test_seeds_find_every_clump_and_are_points_with_weight():
  weight = jnp.asarray(np.arange(200) % 40 < 20, jnp.float32)
  for i in range(5):
    seeds = np.asarray(kmeans.seed(jax.random.key(i), jnp.asarray(CLUMPS), 5, weight))
    nearest = np.abs(seeds[:, None] - CORNERS).sum(-1).argmin(1)
    assert sorted(nearest) == [0, 1, 2, 3, 4]
    row = np.abs(CLUMPS[:, None] - seeds).sum(-1).argmin(0)
    np.testing.assert_array_equal(CLUMPS[row], seeds)
    assert (np.asarray(weight)[row] > 0).all()


def test_seeds_are_as_good_as_scikit_learn_s():
  inertia = lambda c: np.min(((DIGITS[:, None] - c) ** 2).sum(-1), 1).sum()
  seed = jax.jit(lambda key: kmeans.seed(key, jnp.asarray(DIGITS), 10, jnp.ones(len(DIGITS))))
  ours = np.mean([inertia(np.asarray(seed(jax.random.key(i)))) for i in range(20)])
  other = lambda i: cluster.kmeans_plusplus(DIGITS, 10, random_state=i)[0]
  theirs = np.mean([inertia(other(i)) for i in range(20)])
  assert abs(ours / theirs - 1) < 0.04


@pytest.mark.parametrize("tries", [0, 1])
def test_start_finds_the_means_of_far_clusters_and_leaves_padding_out(tries):
  rng = np.random.default_rng(2)
  z = np.repeat(100 * np.eye(5), 20, axis=0) + rng.normal(size=(100, 5)) * 0.01
  weight = jnp.asarray(np.arange(100) < 80, jnp.float32)  # the last cluster is padding
  z[90:] = 1e9
  start = jax.jit(lambda key: kmeans.start(key, jnp.float32(z), 4, weight, 10, tries))
  for seed in range(5):
    centres = np.asarray(start(jax.random.key(seed)))
    order = centres.argmax(1)
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_allclose(centres, z[:80].reshape(4, 20, 5).mean(1)[order], atol=1e-4)


def test_start_comes_to_rest_where_scikit_learn_s_does():
  z = np.random.default_rng(3).normal(size=(60, 2))
  run = lambda n: kmeans.start(jax.random.key(0), jnp.float32(z), 5, jnp.ones(60), n, tries=1)
  seeds, centres = np.asarray(run(0), np.float64), np.asarray(run(50))
  assert {tuple(row) for row in seeds.round(5)} <= {tuple(row) for row in z.round(5)}
  oracle = cluster.KMeans(5, init=seeds, n_init=1, max_iter=50, tol=0).fit(z)
  np.testing.assert_allclose(centres, oracle.cluster_centers_, atol=1e-5)
  assert np.abs(centres - seeds).max() > 0.1


def test_a_centre_without_points_stays():
  centres = np.array([[0, 0], [100, 100]], np.float32)
  model = kmeans.build(Spec.of((2,)), clusters=2).stages[0].model
  state, _ = fit(model, batches(64, x=CLUMPS), params={"centres": centres})
  np.testing.assert_allclose(state["params"]["centres"][0], CLUMPS.mean(0), rtol=1e-5)
  np.testing.assert_array_equal(state["params"]["centres"][1], centres[1])


def test_grey_levels_are_scaled_to_one():
  x = (DIGITS * 16).astype(np.uint8).reshape(-1, 8, 8, 1)
  start = kmeans.start(jax.random.key(0), jnp.asarray(DIGITS), 10, jnp.ones(len(DIGITS)), 5)
  grey, real = (kmeans.build(s).model for s in (Spec.of((8, 8, 1), 17), Spec.of((64,))))
  states = [{"params": {"centres": (start * 16 + 0.5) / 17}}], [{"params": {"centres": start}}]
  a = grey.evaluate(states[0], {"x": jnp.asarray(x)}, keys(len(x)))["inertia"]
  b = real.evaluate(states[1], {"x": jnp.asarray(DIGITS)}, keys(len(x)))["inertia"]
  np.testing.assert_allclose(a, b, rtol=1e-4)
  np.testing.assert_allclose(
    grey.pictures(states[0])["centres"].reshape(10, 64), start * 16, atol=1e-5
  )


def test_refusals():
  with pytest.raises(UserError, match="clusters must be 1 or more"):
    kmeans.build(Spec.of((2,)), clusters=0)
  with pytest.raises(UserError, match="warmup must be 0 or more"):
    kmeans.build(Spec.of((2,)), warmup=-1)
