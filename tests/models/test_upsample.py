"""The autoencoder of the upsampling study: what it refuses, sizes, and that positions are used."""

import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError
from gen_jax.models import upsample
from gen_jax.nets.upsample import UPSAMPLERS

SPEC = Spec.of((8, 8, 3), 256)
X = np.random.default_rng(0).integers(0, 256, size=(3, 8, 8, 3)).astype(np.uint8)


def begun(**kwargs):
  program = upsample.build(SPEC, width=4, latent=2, **kwargs)
  return program.model, [jax.jit(program.stages[0].model.init)(jax.random.key(1), {"x": X})]


def test_the_choice_is_the_table():
  hints = typing.get_type_hints(upsample.build.__wrapped__, include_extras=True)
  assert typing.get_args(hints["up"]) == tuple(UPSAMPLERS)


def test_all_have_equal_parameters():
  count = lambda states: sum(leaf.size for leaf in jax.tree.leaves(states[0]["params"]))
  assert len({count(begun(up=up)[1]) for up in UPSAMPLERS}) == 1


@pytest.mark.parametrize("up", UPSAMPLERS)
def test_the_error_is_that_of_what_is_restored(up):
  model, states = begun(up=up)
  states[0]["params"]["net"]["Dense_0"]["bias"] += 0.5
  restored = np.asarray(model.transform(states, X, None)) / 255
  inside = (restored > 0) & (restored < 1)
  assert inside.mean() > 0.3
  error = model.evaluate(states, {"x": X}, None)["squared_error"]
  clipped = ((X / 255 - restored) ** 2).sum((1, 2, 3))
  assert error.shape == (3,) and (clipped <= error + 1e-4).all()
  # Smaller outputs are inside [0, 1] all over: then both are one number.
  states[0]["params"]["net"]["Dense_0"]["kernel"] *= 0.01
  restored = np.asarray(model.transform(states, X, None)) / 255
  error = model.evaluate(states, {"x": X}, None)["squared_error"]
  np.testing.assert_allclose(error, ((X / 255 - restored) ** 2).sum((1, 2, 3)), rtol=1e-4)


def test_other_even_sizes_are_restored():
  model, states = begun(up="unpool")
  assert model.stride == 2
  assert model.transform(states, jnp.zeros((2, 12, 6, 3), jnp.uint8), None).shape == (2, 12, 6, 3)


@pytest.mark.parametrize(
  "spec,kwargs,message",
  [
    (Spec.of((2,)), {}, "grey levels"),
    (Spec.of((7, 8, 1), 256), {}, "multiples of 2"),
    (SPEC, dict(up="shuffle", kernel=3), "must be even with model.up=shuffle"),
    (SPEC, dict(up="icnr", kernel=5), "must be even with model.up=icnr"),
    (SPEC, dict(up="cubic"), "model.up must be one of"),
    (SPEC, dict(kernel=1), "model.kernel must be 2 or more"),
  ],
)
def test_refusals(spec, kwargs, message):
  with pytest.raises(UserError, match=message):
    upsample.build(spec, **kwargs)
