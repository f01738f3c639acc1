"""FFJORD's density on the finer grid is one, whatever the grid of training says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models.ffjord import Likelihood, build


def test_the_finer_grid_s_density_integrates_to_one_and_the_coarse_one_s_does_not():
  small = {"width": 8, "layers": 1, "steps": 1, "likelihood": Likelihood(steps=24)}
  model = build(Spec.of((2,)), **small).stages[0].model
  x = 2 * jax.random.normal(jax.random.key(0), (64, 2))
  state = model.init(jax.random.key(1), {"x": x})
  flat, back = ravel_pytree(state["params"])
  moved = back(flat + jax.random.normal(jax.random.key(2), flat.shape))
  # A strong field, in which one step errs.
  state = {**state, "params": jax.tree.map(lambda a, b: b + 1.5 * (a - b), moved, state["params"])}
  side, reach = 120, 15.0
  axis = (jnp.arange(side) + 0.5) * (2 * reach / side) - reach
  points = jnp.stack(jnp.meshgrid(axis, axis), -1).reshape(-1, 2)
  keys = fold_each(jax.random.key(3), jnp.arange(len(points)))
  terms = jax.jit(model.evaluate)(state, {"x": points}, keys)
  cell = (2 * reach / side) ** 2
  mass = {name: float(jnp.exp(-terms[name]).sum() * cell) for name in ("nll", "nll_train_grid")}
  assert mass["nll"] == pytest.approx(1, abs=5e-3)
  assert abs(mass["nll_train_grid"] - 1) > 0.02
  np.testing.assert_allclose(
    terms["ode_error"], jnp.abs(terms["nll"] - terms["nll_train_grid"]), atol=1e-6
  )


def test_the_loss_has_the_kinetic_energy():
  batch = {"x": jax.random.normal(jax.random.key(0), (1, 32, 2))}
  nll = {}
  for kinetic in (0.0, 2.0):
    model = build(Spec.of((2,)), width=4, layers=1, steps=2, kinetic=kinetic).stages[0].model
    state = model.init(jax.random.key(1), {"x": batch["x"][0]})
    state["params"] = jax.tree.map(lambda a: a + 0.3, state["params"])
    _, metrics = model.update(state, batch, jax.random.key(2), 0)
    nll[kinetic] = metrics["nll"]
    assert (metrics["penalty"] > 0) == (kinetic > 0)
  np.testing.assert_allclose(nll[0.0], nll[2.0], rtol=1e-6)


def test_refusals():
  with pytest.raises(UserError, match="ffjord models vectors of 2 or more"):
    build(Spec.of((4, 4, 1), 17))
  with pytest.raises(UserError, match="model.kinetic must be 0 or more"):
    build(Spec.of((2,)), kinetic=-1.0)
