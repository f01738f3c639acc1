"""Dense layers are flax's, with the same parameters, whatever axes the rows have."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.nets.dense import Dense, product

SOURCES = Path(__file__).parents[2] / "gen_jax"


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 4, 3), (2, 4, 5, 3)])
def test_it_is_the_layer_of_flax(shape):
  class Two(nn.Module):
    layer: type

    @nn.compact
    def __call__(self, x):
      return self.layer(2, use_bias=False)(nn.tanh(self.layer(7)(x)))

  key, x_key = jax.random.split(jax.random.key(0))
  x = jax.random.normal(x_key, shape)
  ours, theirs = Two(Dense), Two(nn.Dense)
  params = ours.init(key, x)
  jax.tree.map(np.testing.assert_array_equal, params, theirs.init(key, x))
  np.testing.assert_allclose(ours.apply(params, x), theirs.apply(params, x), rtol=1e-5, atol=1e-6)


def test_a_product_keeps_the_axes_of_rows():
  x, w = np.random.default_rng(0).normal(size=(2, 3, 4, 5)), np.ones((5, 2))
  with jax.enable_x64(True):
    np.testing.assert_allclose(product(x, w), x @ w, rtol=1e-12)


def test_no_network_has_the_slow_layer():
  """XLA on CPU is slow at the gradients of flax's where rows have several axes."""
  slow = [
    f"{path.name}: {line.strip()}"
    for path in SOURCES.rglob("*.py")
    for line in path.read_text().splitlines()
    if re.search(r"nn\.(Dense|DenseGeneral|Einsum)\b", line) and path.name != "dense.py"
  ]
  assert not slow
