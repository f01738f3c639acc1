"""The diffusion transformer: what it is before training, and what its tokens know of each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.dit import Block, DiT, images, patches
from gen_jax.nets.unet import positions


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_paper_s_small_model_has_33_million_parameters():
  # Table 1 there: DiT-S has 33M, of latents 32x32x4 with eight channels out; 1000 classes.
  net = DiT(8, classes=1000)
  shapes = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 32, 32, 4)), jnp.zeros(1))
  assert count(shapes["params"]) == pytest.approx(33e6, rel=0.02)


def test_images_are_their_patches():
  x = jax.random.normal(jax.random.key(0), (3, 4, 6, 2))
  tokens = patches(x, 2)
  assert tokens.shape == (3, 6, 8)
  np.testing.assert_array_equal(tokens[1, 4].reshape(2, 2, 2), x[1, 2:4, 2:4])
  np.testing.assert_array_equal(images(tokens, 2, 4, 6), x)


def test_every_position_has_a_code_of_its_own():
  at = np.asarray(positions(3, 5, 16))
  assert at.shape == (15, 16)
  apart = np.linalg.norm(at[:, None] - at, axis=-1) + 9 * np.eye(15)
  assert apart.min() > 0.1
  np.testing.assert_allclose(at[7, 8:], at[2, 8:])  # the same column
  np.testing.assert_allclose(at[7, :8], at[8, :8])  # the same row


@pytest.fixture(scope="module")
def block():
  net = Block(2, jnp.float32)
  x, c = jax.random.normal(jax.random.key(1), (2, 5, 8)), jnp.ones((2, 8))
  return net, net.init(jax.random.key(0), x, c), x, c


def test_a_block_begins_as_the_identity_and_has_no_order(block):
  net, params, x, c = block
  np.testing.assert_array_equal(net.apply(params, x, c), x)
  rng = np.random.default_rng(0)
  trained = jax.tree.map(lambda p: p + 0.3 * rng.normal(size=p.shape).astype(p.dtype), params)
  order = jnp.array([3, 0, 4, 1, 2])
  y = net.apply(trained, x, c)
  assert np.abs(y - x).max() > 0.1
  np.testing.assert_allclose(net.apply(trained, x[:, order], c), y[:, order], rtol=1e-4, atol=1e-5)
  # A token hears of the others by attention, and an example of no other.
  slope = jax.jacfwd(lambda x: net.apply(trained, x, c))(x)
  assert np.abs(slope[0, 0, :, 0, 3]).max() > 1e-4 and not np.abs(slope[0, :, :, 1]).any()


def test_the_network_begins_at_zero_and_reads_time_and_label():
  net, x = DiT(1, 2, 8, 1, 2, classes=3), jax.random.normal(jax.random.key(0), (2, 4, 4, 1))
  t, label = jnp.array([10.0, 900.0]), jnp.array([0, 2])
  params = net.init(jax.random.key(0), x, t, label)
  np.testing.assert_array_equal(net.apply(params, x, t, label), 0)
  rng = np.random.default_rng(0)
  trained = jax.tree.map(lambda p: p + 0.3 * rng.normal(size=p.shape).astype(p.dtype), params)
  y = net.apply(trained, x, t, label)
  for other in (net.apply(trained, x, t + 50, label), net.apply(trained, x, t, 1 - label // 2)):
    assert (np.abs(other - y).max((1, 2, 3)) > 1e-3).all()
  none = net.apply(trained, x, t)
  np.testing.assert_array_equal(none, net.apply(trained, x, t, jnp.full(2, 3)))
