"""The feature extractor: shapes by evaluation of shapes, behaviour on vectors, which are cheap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.classifier import Classifier


def shapes(net, shape):
  x = jnp.zeros((2, *shape))
  return jax.eval_shape(lambda key: net.init_with_output(key, x), jax.random.key(0))


@pytest.mark.parametrize(
  "shape,convolutions,flat",
  [
    ((8, 8, 1), [(1, 4), (4, 4)], 4 * 4 * 4),
    ((28, 28, 1), [(1, 4), (4, 4), (4, 8), (8, 8)], 7 * 7 * 8),
    ((32, 32, 3), [(3, 4), (4, 4), (4, 8), (8, 8), (8, 16), (16, 16)], 4 * 4 * 16),
    ((40, 12, 1), [(1, 4), (4, 4)], 20 * 6 * 4),
  ],
)
def test_images_are_halved_down_to_7_pixels(shape, convolutions, flat):
  (logits, features), variables = shapes(Classifier(5, width=4, features=11), shape)
  assert logits.shape == (2, 5) and features.shape == (2, 11)
  sizes = [9 * a * b + b for a, b in convolutions] + [(flat + 1) * 11, (11 + 1) * 5]
  assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == sum(sizes)


def test_bfloat16_computes_with_float32_parameters():
  (logits, _), variables = shapes(Classifier(5, width=4, dtype=jnp.bfloat16), (8, 8, 1))
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
  assert logits.dtype == jnp.bfloat16


@pytest.fixture(scope="module")
def vectors():
  """A net whose parameters are all in use: (params, (x, key) -> (in use, in training))."""
  net = Classifier(3, features=16, dropout=0.5)
  rng = np.random.default_rng(0)
  (_, _), variables = shapes(net, (4,))
  variables = jax.tree.map(lambda p: rng.normal(size=p.shape).astype(np.float32), variables)

  @jax.jit
  def apply(x, key):
    plain = net.apply(variables, x)
    return plain, net.apply(variables, x, train=True, rngs={"dropout": key})

  return variables["params"], apply


X = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)


def test_features_are_what_the_logits_are_made_of(vectors):
  params, apply = vectors
  (logits, features), _ = apply(X, jax.random.key(0))
  assert (features >= 0).all() and (features > 0).any() and features.shape == (6, 16)
  last = params["Dense_2"]
  assert last["kernel"].shape == (16, 3)
  np.testing.assert_allclose(logits, features @ last["kernel"] + last["bias"], rtol=1e-4, atol=1e-4)


def test_examples_do_not_see_each_other(vectors):
  _, apply = vectors
  (logits, _), _ = apply(X, jax.random.key(0))
  (turned, _), _ = apply(X[::-1].copy(), jax.random.key(0))
  np.testing.assert_allclose(turned, logits[::-1], rtol=1e-5, atol=1e-5)
  assert len(np.unique(np.asarray(logits), axis=0)) == 6


def test_dropout_acts_in_training_only(vectors):
  _, apply = vectors
  (plain, train), (again, other) = apply(X, jax.random.key(0)), apply(X, jax.random.key(1))
  np.testing.assert_array_equal(plain[0], again[0])
  assert (jnp.abs(train[0] - other[0]) > 1e-3).any(axis=1).all()
  assert (jnp.abs(train[0] - plain[0]) > 1e-3).any(axis=1).all()
