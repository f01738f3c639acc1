"""FFJORD's density against the Jacobian of its own samples, and the parts of its loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.scipy.stats import norm

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models.ffjord import Likelihood, build


def test_the_density_is_that_of_the_code_and_the_jacobian_on_the_finer_grid_only():
  small = {"width": 8, "layers": 1, "steps": 1, "likelihood": Likelihood(steps=24)}
  model = build(Spec.of((2,)), **small).stages[0].model
  x = 2 * jax.random.normal(jax.random.key(0), (64, 2))
  state = model.init(jax.random.key(1), {"x": x})
  flat, back = ravel_pytree(state["params"])
  # A strong field, in which one step errs.
  state["params"] = back(flat + 0.8 * jax.random.normal(jax.random.key(2), flat.shape))
  keys = fold_each(jax.random.key(3), jnp.arange(16))

  @jax.jit
  def run(state):
    z = model.prior(state, keys)
    jacobian = jax.vmap(jax.jacfwd(lambda z: model.decode(state, z[None])[0]))(z)
    x = model.decode(state, z)
    volume = jnp.linalg.slogdet(jacobian)[1]
    return norm.logpdf(z).sum(-1) - volume, model.evaluate(state, {"x": x}, keys)

  log_p, terms = run(state)
  np.testing.assert_allclose(-terms["nll"], log_p, atol=2e-3)
  assert jnp.abs(-terms["nll_train_grid"] - log_p).max() > 1e-2
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
    _, metrics = jax.jit(model.update)(state, batch, jax.random.key(2), 0)
    nll[kinetic] = metrics["nll"]
    assert (metrics["penalty"] > 0) == (kinetic > 0)
  np.testing.assert_allclose(nll[0.0], nll[2.0], rtol=1e-6)


def test_refusals():
  with pytest.raises(UserError, match="ffjord models vectors of 2 or more"):
    build(Spec.of((4, 4, 1), 17))
  with pytest.raises(UserError, match="model.kinetic must be 0 or more"):
    build(Spec.of((2,)), kinetic=-1.0)
