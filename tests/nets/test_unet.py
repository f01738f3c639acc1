"""The U-Net: sizes by shape alone, behaviour at the smallest size that has every part."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.nets.unet import CrossAttention, ResidualBlock, UNet, groups, sinusoidal


def shapes(net, size=8):
  """Parameters of a net for images of that size, nothing computed."""
  x, t = jnp.zeros((1, size, size, net.channels)), jnp.zeros((1,))
  return jax.eval_shape(lambda key: net.init(key, x, t), jax.random.key(0))["params"]


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_the_paper_s_cifar10_model_has_35_7_million_parameters():
  # Ho et al. 2020, appendix B; the exact figure is that of the authors' code.
  assert count(shapes(UNet(channels=3), size=32)) == 35_746_307


@pytest.mark.parametrize("blocks", [1, 2])
def test_attention_stands_at_the_named_resolutions_only(blocks):
  kwargs = dict(channels=1, width=8, multipliers=(1, 2), blocks=blocks)
  size = {at: count(shapes(UNet(attention=at, **kwargs))) for at in [(), (8,), (4,), (8, 4), (2,)]}
  # Norm, queries, keys and values, projection; after every block down, and one more up.
  one = lambda c: 2 * c + (3 * c * c + 3 * c) + (c * c + c)
  times = 2 * blocks + 1
  assert size[(8,)] - size[()] == times * one(8)
  assert size[(4,)] - size[()] == times * one(16)
  assert size[(8, 4)] - size[()] == times * (one(8) + one(16))
  assert size[(2,)] == size[()]


def test_the_label_embedding_has_an_entry_for_no_label():
  kwargs = dict(channels=1, width=8, multipliers=(1,), blocks=1, attention=())
  assert count(shapes(UNet(classes=5, **kwargs))) - count(shapes(UNet(**kwargs))) == 6 * 4 * 8


def test_every_position_finds_something_else_in_the_words():
  rng, x = np.random.default_rng(0), jnp.ones((2, 3, 4, 6))  # one colour: only places differ
  words, seen = rng.normal(size=(2, 5, 8)), np.ones((2, 5), bool)
  seen[1, 1:] = False
  net = CrossAttention(2, jnp.float32)
  params = net.init(jax.random.key(0), x, words, seen)
  params = jax.tree.map(lambda p: rng.normal(size=p.shape), params)
  found = np.asarray(net.apply(params, x, words, seen)).reshape(2, 12, 6)
  apart = np.abs(found[0][:, None] - found[0]).max(-1) + np.eye(12)
  assert apart.min() > 1e-3
  # Of a single word they all find the same.
  np.testing.assert_allclose(found[1] - found[1, :1], 0, atol=1e-5)


def test_bfloat16_computes_with_float32_parameters():
  net = UNet(1, width=8, multipliers=(1,), blocks=1, attention=(), dtype=jnp.bfloat16)
  params = shapes(net)
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  convolved = set()

  def watch(call, args, kwargs, context):
    out = call(*args, **kwargs)
    if isinstance(context.module, nn.Conv):
      convolved.add(out.dtype)
    return out

  x, t = jnp.zeros((3, 8, 8, 1)), jnp.zeros((3,))
  with nn.intercept_methods(watch):
    out = jax.eval_shape(net.apply, {"params": params}, x, t)
  assert convolved == {jnp.dtype("bfloat16")}
  assert out.shape == x.shape and out.dtype == jnp.float32


SMALL = dict(width=4, multipliers=(1, 2), blocks=1, attention=(4,), dropout=0.5)
NET = UNet(channels=3, classes=2, **SMALL)
B = 4


def random(tree):
  """Parameters that are all in use."""
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda p: 0.3 * rng.normal(size=p.shape).astype(np.float32), tree)


@pytest.fixture(scope="module")
def small():
  """(parameters, (parameters, x, t, label) -> output), compiled once."""
  return random(shapes(NET)), jax.jit(lambda params, *args: NET.apply({"params": params}, *args))


def inputs():
  x = jax.random.normal(jax.random.key(1), (B, 8, 8, 3))
  return x, jnp.array([1.0, 20.0, 300.0, 999.0]), jnp.array([0, 1, 2, 0])


def test_the_output_is_zero_at_initialisation(small):
  params, apply = small
  last = lambda tree: [  # the only parameters with as many outputs as the image has channels
    (path, leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree) if leaf.shape[-1] == 3
  ]
  x, t, label = inputs()
  fresh = jax.jit(lambda key: [leaf for _, leaf in last(NET.init(key, x, t)["params"])])
  assert [leaf.shape for leaf in fresh(jax.random.key(0))] == [(3,), (3, 3, 4, 3)]
  assert not any(leaf.any() for leaf in fresh(jax.random.key(0)))
  names = [path for path, _ in last(params)]
  muted = jax.tree_util.tree_map_with_path(lambda p, v: 0 * v if p in names else v, params)
  assert not apply(muted, x, t, label).any()
  assert apply(params, x, t, label).all()


def test_examples_do_not_see_each_other(small):
  params, apply = small
  x, t, label = inputs()
  order = jnp.array([2, 0, 3, 1])
  plain = apply(params, x, t, label)
  moved = apply(params, x[order], t[order], label[order])
  np.testing.assert_allclose(moved, plain[order], rtol=1e-4, atol=1e-5)
  others = apply(params, x.at[1:].set(0), t.at[1:].set(5), label.at[1:].set(1))
  np.testing.assert_allclose(others[0], plain[0], rtol=1e-4, atol=1e-5)


def test_time_and_label_change_the_output(small):
  params, apply = small
  x, t, label = inputs()
  plain = apply(params, x, t, label)
  for other in (apply(params, x, t + 1, label), apply(params, x, t, (label + 1) % 3)):
    assert (jnp.abs(other - plain).max(axis=(1, 2, 3)) > 1e-3).all()


def test_dropout_acts_in_training_only():
  net = ResidualBlock(features=4, dropout=0.5, dtype=jnp.float32)
  x, embedding = jax.random.normal(jax.random.key(0), (B, 2, 2, 4)), jnp.ones((B, 8))
  variables = random(jax.eval_shape(lambda k: net.init(k, x, embedding, False), jax.random.key(0)))

  @jax.jit
  def both(key):
    apply = lambda train: net.apply(variables, x, embedding, train, rngs={"dropout": key})
    return apply(False), apply(True)

  (plain, first), (again, second) = both(jax.random.key(1)), both(jax.random.key(2))
  np.testing.assert_array_equal(plain, again)
  for a, b in ((first, second), (first, plain)):
    assert (jnp.abs(a - b).max(axis=(1, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("train", [False, True])
def test_every_residual_block_hears_of_training(train):
  heard = []

  def watch(call, args, kwargs, context):
    if isinstance(context.module, nn.Dropout):
      heard.append(not context.module.deterministic)
    return call(*args, **kwargs)

  params, rngs = shapes(NET), {"dropout": jax.random.key(0)}
  with nn.intercept_methods(watch):
    jax.eval_shape(lambda p: NET.apply({"params": p}, *inputs(), train, rngs=rngs), params)
  down, middle, up = 2, 2, 4
  assert heard == [train] * (down + middle + up)


def test_inner_products_of_the_time_embedding_depend_on_time_differences_only():
  t = jnp.arange(0, 200, 8)
  e = np.asarray(sinusoidal(t, 32))
  gram = e @ e.T
  for lag in range(len(t)):
    np.testing.assert_allclose(np.diagonal(gram, lag), gram[0, lag], atol=2e-3)
  np.testing.assert_allclose(np.diagonal(gram), 16, rtol=1e-5)
  assert (gram[0, 1:] < 15).all()
  # The first wave turns by 1 a step, the last by 1 / max_period.
  one = np.asarray(sinusoidal(jnp.array([1.0]), 32))[0]
  angle = np.arctan2(one[:16], one[16:])
  np.testing.assert_allclose(angle[[0, -1]], [1, 1e-4], rtol=1e-4)
  np.testing.assert_allclose(angle[1:] / angle[:-1], 1e-4 ** (1 / 15), rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3, 6, 8, 48, 128, 129, 512])
def test_groups_divide_the_channels(channels):
  g = groups(channels)
  assert channels % g == 0 and g <= 32
  assert g == 1 or channels // g >= 4


def test_the_paper_has_32_groups():
  assert groups(128) == groups(256) == 32
