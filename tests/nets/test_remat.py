"""Rematerialised networks: the same function of the same parameters, in less memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.transformer import Transformer
from gen_jax.nets.unet import UNet


def unet(remat):
  how = {"width": 16, "multipliers": (1, 2), "blocks": 1, "attention": (), "dropout": 0.5}
  net = UNet(channels=1, **how, remat=remat)
  return net, (jnp.ones((8, 8, 8, 1)), jnp.arange(8.0), None)


def transformer(remat):
  net = Transformer(5, 64, width=32, layers=3, heads=2, dropout=0.5, remat=remat)
  return net, (jnp.arange(8 * 64).reshape(8, 64) % 5, None)


@pytest.mark.parametrize("make", [unet, transformer])
def test_gradients_are_the_same_and_memory_is_less(make):
  found = []
  for remat in (False, True):
    net, args = make(remat)
    params = jax.jit(net.init)(jax.random.key(0), *args)
    # The last layer begins at zero: away from it, so that gradients reach the first.
    params = jax.tree.map(lambda p: p + 0.1 * jnp.cos(jnp.arange(p.size)).reshape(p.shape), params)

    def loss(params, net=net, args=args):
      out = net.apply(params, *args, True, rngs={"dropout": jax.random.key(1)})
      return (jnp.sin(jnp.arange(out.size)).reshape(out.shape) * out).sum()

    step = jax.jit(jax.value_and_grad(loss)).lower(params).compile()
    found.append((*step(params), step.memory_analysis().temp_size_in_bytes))
  (value, gradient, memory), (again, same, less) = found
  assert jax.tree.structure(gradient) == jax.tree.structure(same)
  np.testing.assert_allclose(again, value, rtol=1e-4)
  norm = np.sqrt(sum((np.asarray(g) ** 2).sum() for g in jax.tree.leaves(gradient)))
  for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(same), strict=True):
    np.testing.assert_allclose(a, b, atol=1e-4 * norm)
  assert less < 0.8 * memory
