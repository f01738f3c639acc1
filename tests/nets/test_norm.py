"""Group normalisation against flax's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.nets.norm import GroupNorm


@pytest.mark.parametrize("shape", [(3, 4, 5, 8), (2, 8)])
def test_values_and_gradients_are_flax_s(shape):
  with jax.enable_x64(True):
    types = {"dtype": jnp.float64, "param_dtype": jnp.float64}
    x, weight = (2 + jax.random.normal(jax.random.key(i), shape, jnp.float64) for i in range(2))
    theirs, ours = nn.GroupNorm(4, **types), GroupNorm(4, **types)
    params = theirs.init(jax.random.key(1), x)["params"]
    assert jax.tree.map(jnp.shape, ours.init(jax.random.key(1), x)["params"]) == jax.tree.map(
      jnp.shape, params
    )
    params = {k: v + jnp.arange(8) / 8 for k, v in params.items()}

    def found(net):
      loss = lambda p, x: (weight * net.apply({"params": p}, x)).sum()
      return net.apply({"params": params}, x), jax.grad(loss, (0, 1))(params, x)

    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    jax.tree.map(same, found(ours), found(theirs))


def test_a_constant_example_is_its_bias_and_statistics_are_float32_of_bfloat16():
  net = GroupNorm(2, dtype=jnp.bfloat16)
  x = jnp.full((1, 6, 4), 300.0, jnp.bfloat16).at[0, 0, 3].set(301.0)
  y, variables = net.init_with_output(jax.random.key(0), x)
  assert y.dtype == jnp.bfloat16 and variables["params"]["scale"].dtype == jnp.float32
  np.testing.assert_array_equal(y[..., :2], 0)
  assert np.isfinite(np.asarray(y, np.float32)).all()
