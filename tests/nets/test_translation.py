import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.translation import PatchCritic, Translator, instance_norm, smallest_map


@pytest.mark.parametrize("count,size", [(1, 7), (2, 16), (3, 34)])
def test_a_logit_sees_a_patch_of_the_stated_size(count, size):
  """The support of its Jacobian."""
  critic, x = PatchCritic((2,) * count, norm="none"), jnp.ones((1, 64, 64, 1))
  params = jax.tree.map(jnp.ones_like, critic.init(jax.random.key(0), x))
  middle = lambda x: critic.apply(params, x)[
    0, *(n // 2 for n in critic.apply(params, x).shape[1:])
  ]
  seen = np.asarray(jax.grad(middle)(x))[0, ..., 0] != 0
  assert seen.any(0).sum() == seen.any(1).sum() == size
  assert critic.apply(params, x).shape[1] == smallest_map(64, count)


def test_instance_norm_removes_scale_and_shift_of_each_example_and_channel():
  x = jax.random.normal(jax.random.key(0), (3, 8, 8, 2))
  y = instance_norm(3 * x + jnp.arange(2.0))
  np.testing.assert_allclose(y, instance_norm(x), atol=1e-4)
  np.testing.assert_allclose(y.std(axis=(1, 2)), 1, atol=1e-4)


def test_a_translator_keeps_the_size_and_an_example_is_its_own():
  net, x = Translator(3, (4, 8), 1, 3), jax.random.normal(jax.random.key(0), (2, 8, 12, 3))
  params = net.init(jax.random.key(1), x)
  y = net.apply(params, x)
  assert y.shape == x.shape and float(jnp.abs(y).max()) <= 1
  np.testing.assert_allclose(net.apply(params, x.at[1].set(0))[0], y[0], atol=1e-6)
