"""Segmentation as a model: what the weight of a pixel changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Field, Spec
from gen_jax.models import segment

SPEC = Spec.of((8, 8, 1), 256, segmentation=Field((8, 8), 2, (), True))
HOW = dict(widths=(4, 8), norm="none", loss="cross_entropy")


@pytest.fixture(scope="module")
def trained():
  """A model with a state that says something of each pixel, and a batch."""
  key = jax.random.split(jax.random.key(0), 2)
  batch = {
    "x": jax.random.randint(key[0], (3, 8, 8, 1), 0, 256).astype(jnp.uint8),
    "segmentation": jax.random.bernoulli(key[1], 0.5, (3, 8, 8)).astype(jnp.uint8),
  }
  model = segment.build(SPEC, **HOW).model
  return model, [model.init(jax.random.key(2), batch)], batch


def terms(trained, **more):
  model, state, batch = trained
  return model.evaluate(state, {**batch, **more}, jax.random.split(jax.random.key(0), 3))


def test_a_border_of_nothing_changes_nothing(trained):
  plain, bordered = terms(trained), terms(trained, border=jnp.zeros((3, 8, 8)))
  for name, value in plain.items():
    np.testing.assert_array_equal(value, bordered[name])


def test_a_pixel_of_a_heavy_border_decides(trained):
  """With a weight of 1e6 beside others of 1, the loss is that of the pixel; counts stay counts."""
  model, state, batch = trained
  found = terms(trained, border=jnp.zeros((3, 8, 8)).at[:, 2, 5].set(1e6))
  p = np.asarray(jax.nn.softmax(model.predict(state, batch["x"]))[:, 2, 5], np.float64)
  right = p[np.arange(3), np.asarray(batch["segmentation"])[:, 2, 5]]
  np.testing.assert_allclose(found["cross_entropy"], -np.log(right), rtol=1e-3)
  np.testing.assert_array_equal(found["pixel_accuracy"], terms(trained)["pixel_accuracy"])


def test_a_border_is_learnt_from(trained):
  """A step without it, and one with it: other parameters."""
  model, (state,), batch = trained
  key = jax.random.key(1)
  step = lambda batch: model.update(state, jax.tree.map(lambda v: v[None], batch), key, 0)[0]
  plain = jax.tree.leaves(step(batch)["params"])
  heavy = jax.tree.leaves(
    step(batch | {"border": jnp.zeros((3, 8, 8)).at[:, 2, 5].set(9.0)})["params"]
  )
  assert any((a != b).any() for a, b in zip(plain, heavy, strict=True))
