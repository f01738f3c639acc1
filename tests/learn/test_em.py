"""Passes in batches against NumPy on the whole: sums, solves, padding and averages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.learn.em import em
from tests.models.fitting import batches, fit

X = np.random.default_rng(0).normal(3, 2, (23, 2)).astype(np.float32)


def moments():
  """Mean and variance; its metric is the squared distance to the mean that the pass began with."""

  def init(key, batch, weight):
    del key, batch, weight
    return {"mean": jnp.zeros(2), "var": jnp.zeros(2)}

  def statistics(params, batch, weight, key):
    del key
    x = batch["x"] - params["mean"]
    sums = {"n": weight.sum(), "x": weight @ x, "x^2": weight @ x**2}
    return sums, {"distance": (x**2).sum(1)}

  def solve(params, sums):
    shift = sums["x"] / sums["n"]
    return {"mean": params["mean"] + shift, "var": sums["x^2"] / sums["n"] - shift**2}

  return em(init, statistics, solve, evaluate=None)


@pytest.mark.parametrize("size", [1, 5, 23, 64])
def test_a_pass_in_batches_of_any_size_is_a_pass_over_all(size):
  state, metrics = fit(moments(), batches(size, x=X), n=2)
  np.testing.assert_allclose(state["params"]["mean"], X.mean(0), rtol=1e-5)
  np.testing.assert_allclose(state["params"]["var"], X.var(0), rtol=1e-5)
  # The average over the steps of a pass is the mean over its examples, though the last batch is
  # short: about 0 in the first pass, about the mean in the second.
  expected = [(X**2).sum(1).mean(), X.var(0).sum()]
  np.testing.assert_allclose(metrics["distance"], expected, rtol=1e-5)
  np.testing.assert_allclose(metrics["solves"], 1 / -(-23 // size))


def test_parameters_stay_until_a_pass_ends_and_its_sums_are_then_zero():
  model, pass_ = moments(), batches(8, x=X)
  state, _ = fit(model, pass_[:2])
  np.testing.assert_array_equal(state["params"]["mean"], 0)
  np.testing.assert_allclose(state["stats"]["sums"]["x"], X[:16].sum(0), rtol=1e-5)
  state, _ = fit(model, pass_[2:], state=state)
  np.testing.assert_allclose(state["params"]["mean"], X.mean(0), rtol=1e-5)
  assert all(not np.any(leaf) for leaf in jax.tree.leaves(state["stats"]))


def test_padding_is_left_out_even_where_it_is_nan():
  pass_ = batches(8, x=X)
  last = pass_[-1]
  assert not last["mask"].all()
  dirty = {**last, "x": jnp.where(last["mask"][:, None], last["x"], jnp.nan)}
  clean, a = fit(moments(), pass_)
  other, b = fit(moments(), [*pass_[:-1], dirty])
  np.testing.assert_array_equal(clean["params"]["mean"], other["params"]["mean"])
  assert a["distance"] == b["distance"]
