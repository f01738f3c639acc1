"""NICE against the Jacobian of its own code, which has one determinant everywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.scipy.stats import norm

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models.nice import build

SMALL = {"couplings": 4, "width": 5, "blocks": 1, "activation": "silu", "dtype": "float64"}


def scrambled(model, x):
  state = model.init(jax.random.key(1), {"x": x})
  flat, back = ravel_pytree(state["params"])
  return {**state, "params": back(flat + 0.3 * jax.random.normal(jax.random.key(2), flat.shape))}


def test_the_density_is_the_prior_s_over_a_volume_that_is_the_same_everywhere():
  with jax.enable_x64(True):
    model = build(Spec.of((3,)), **SMALL).stages[0].model
    x = 1.5 + 2 * jax.random.normal(jax.random.key(0), (6, 3))
    state, keys = scrambled(model, x), fold_each(jax.random.key(3), jnp.arange(6))
    code = lambda x: model.encode(state, x[None], None, None)[0]
    jacobian = jax.vmap(jax.jacfwd(code))(x)
    log_det = np.linalg.slogdet(np.asarray(jacobian))[1]
    assert np.ptp(log_det) < 1e-12
    assert float(jnp.abs(jacobian - jacobian[0]).max()) > 1e-3  # though the map is not linear
    z = model.encode(state, x, None, None)
    expected = norm.logpdf(z).sum(-1) + log_det
    np.testing.assert_allclose(model.log_prob(state, x, keys, None), expected, rtol=1e-12)
    np.testing.assert_allclose(model.decode(state, z, None), x, rtol=1e-6)


def test_refusals():
  with pytest.raises(UserError, match="even number of model.couplings"):
    build(Spec.of((2,)), couplings=3)
  with pytest.raises(UserError, match="model.width must be 1 or more, not 0"):
    build(Spec.of((2,)), width=0)
  with pytest.raises(UserError, match="needs labels"):
    build(Spec.of((2,)), conditional=True)
