"""Mean shift against scikit-learn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn import cluster, datasets, decomposition

from gen_jax.core import Spec, UserError
from gen_jax.models import meanshift
from tests.models.fitting import batches, fit, keys

BLOBS = datasets.make_blobs(
  200, centers=[[0, 0], [4, 4], [0, 5], [6, 0], [-5, 2]], cluster_std=0.9, random_state=0
)[0]
PLANE = decomposition.PCA(2, svd_solver="full").fit_transform(datasets.load_digits().data[:150])


@pytest.mark.parametrize("data", ["blobs", pytest.param("digits", marks=pytest.mark.slow)])
def test_modes_and_labels_are_scikit_learn_s(data):
  x = {"blobs": BLOBS, "digits": PLANE}[data]
  h = {"blobs": cluster.estimate_bandwidth(BLOBS, quantile=0.2), "digits": 6.0}[data]
  oracle = cluster.MeanShift(bandwidth=h).fit(x)
  with jax.enable_x64(True):
    how = dict(quantile=0.2) if data == "blobs" else dict(bandwidth=h)
    program = meanshift.build(Spec.of((2,)), dtype="float64", **how)
    model = program.stages[0].model
    state, metrics = fit(model, batches(len(x), x=x), 301)
    params = state["params"]
    np.testing.assert_allclose(params["bandwidth"], h, rtol=1e-12)
    assert not params["moving"].any() and metrics["moving"][0] == 1
    modes = np.asarray(params["modes"])[np.asarray(params["kept"])]
    labels = np.asarray(program.model.encode([state], jnp.asarray(x)))
    at_once = jax.jit(meanshift.climb, static_argnums=(4, 5))(
      jnp.asarray(x), jnp.ones(len(x)), jnp.asarray(x), jnp.asarray(h), "flat", 301
    )
  assert len(modes) > 3
  np.testing.assert_allclose(modes, oracle.cluster_centers_, rtol=0, atol=1e-12)
  np.testing.assert_array_equal(labels, oracle.labels_)
  np.testing.assert_allclose(at_once["modes"][: len(modes)], modes, rtol=0, atol=1e-12)
  assert at_once["kept"].sum() == len(modes)


def test_the_gaussian_kernel_climbs_its_density_to_where_its_gradient_is_zero():
  h, x = 0.7, jnp.asarray(BLOBS, jnp.float32)
  density = lambda m: jnp.exp(-((x - m) ** 2).sum(1) / 2 / h**2).mean()
  model = meanshift.build(Spec.of((2,)), kernel="gaussian", bandwidth=h).stages[0].model
  state = jax.jit(model.init)(jax.random.key(0), batches(200, x=BLOBS.astype(np.float32))[0])
  heights = [jax.vmap(density)(state["params"]["seeds"])]
  for passes in (1, 60):
    state, _ = fit(model, batches(200, x=BLOBS.astype(np.float32)), passes, state=state)
    heights.append(jax.vmap(density)(state["params"]["seeds"]))
  assert (jnp.diff(jnp.stack(heights), axis=0) > -1e-6).all()
  modes = state["params"]["modes"][state["params"]["kept"]]
  slope = jax.vmap(jax.grad(density))(modes)
  before = jax.vmap(jax.grad(density))(x)
  assert len(modes) == 5 and jnp.abs(slope).max() < 0.01 * jnp.abs(before).max()


def test_batches_and_padding_do_not_matter_and_codes_are_of_the_nearest_mode():
  x = BLOBS.astype(np.float32)
  program = meanshift.build(Spec.of((2,)), bandwidth=1.2, seeds=50)
  model = program.stages[0].model
  whole, _ = fit(model, batches(200, x=x), 30)
  parts, _ = fit(model, batches(128, x=x), 30)
  for name in ("modes", "kept", "weight"):
    np.testing.assert_allclose(whole["params"][name], parts["params"][name], atol=1e-4)
  modes = np.asarray(whole["params"]["modes"])[np.asarray(whole["params"]["kept"])]
  far = ((x[:, None] - modes) ** 2).sum(-1)
  code = program.model.encode([whole], x)
  np.testing.assert_array_equal(code, far.argmin(1))
  np.testing.assert_array_equal(program.model.decode([whole], code), modes[code])
  terms = program.model.evaluate([whole], {"x": jnp.asarray(x)}, keys(len(x)))
  np.testing.assert_allclose(terms["inertia"], far.min(1), rtol=1e-4, atol=1e-6)
  np.testing.assert_array_equal(terms["within"] == 1, far.min(1) <= 1.2**2)


def test_constant_points_stop_at_once_and_a_seed_far_from_all_is_no_mode():
  x = np.ones((20, 3), np.float32)
  model = meanshift.build(Spec.of((3,)), bandwidth=0.5).stages[0].model
  state, _ = fit(model, batches(20, x=x))
  assert not state["params"]["moving"].any() and state["params"]["kept"].sum() == 1
  seeds = jnp.asarray([[1.0, 1, 1], [9, 9, 9]])
  found = meanshift.climb(jnp.asarray(x), jnp.ones(20), seeds, jnp.float32(0.5), "flat", 10)
  np.testing.assert_array_equal(found["kept"], [True, False])
  np.testing.assert_array_equal(found["modes"][0], [1, 1, 1])


def test_refusals():
  with pytest.raises(UserError, match="bandwidth must be 0 or more"):
    meanshift.build(Spec.of((2,)), bandwidth=-1.0)
  with pytest.raises(UserError, match="quantile must be in"):
    meanshift.build(Spec.of((2,)), quantile=0.0)
