"""Glow against the Jacobian of its own code and a closed form at the start."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.scipy.stats import norm

from gen_jax.core import Spec, UserError
from gen_jax.models.flow import Sampler
from gen_jax.models.glow import build

SMALL = {"steps": 1, "scales": 2, "width": 4, "activation": "silu", "dtype": "float64"}


def quick_jit(function):
  """Compiled without optimisation: these functions run once."""
  return jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})


def model_of(spec, **how):
  return build(spec, **(SMALL | how)).stages[0].model


def scrambled(state):
  flat, back = ravel_pytree(state["params"])
  return {**state, "params": back(flat + 0.2 * jax.random.normal(jax.random.key(2), flat.shape))}


def test_the_density_is_that_of_the_code_and_its_jacobian():
  with jax.enable_x64(True):
    spec = Spec.of((4, 4, 1), classes=3)
    model = model_of(spec, map="gated", conditional=True)
    x = 1 + 2 * jax.random.normal(jax.random.key(0), (3, 4, 4, 1), jnp.float64)
    label = jnp.array([0, 1, 2])

    @quick_jit
    def run():
      state = scrambled(model.init(jax.random.key(1), {"x": x, "label": label}))
      code = lambda x, y: model.encode(state, x[None], None, {"label": y[None]})[0]
      z = jax.vmap(code)(x, label)
      jacobian = jax.vmap(jax.jacfwd(code))(x, label).reshape(3, 16, 16)
      other = model.encode(state, x, None, {"label": (label + 1) % 3})
      back = model.decode(state, z, {"label": label})
      return z, jacobian, model.log_prob(state, x, None, {"label": label}), other, back

    z, jacobian, log_p, other, back = run()
    want = norm.logpdf(z).sum(-1) + np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(log_p, want, rtol=1e-10)
    np.testing.assert_allclose(back, x, atol=1e-5)
    assert jnp.abs(other - z).max() > 1e-3


def test_without_steps_it_is_a_normal_distribution_of_each_place_of_the_square():
  with jax.enable_x64(True):
    model = model_of(Spec.of((4, 4, 1)), steps=0, scales=1)
    scale = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    x = jax.random.normal(jax.random.key(0), (50, 4, 4, 1), jnp.float64)
    x = x * jnp.tile(scale, (2, 2))[..., None] + 5
    state = model.init(jax.random.key(1), {"x": x})
    place = x.reshape(50, 2, 2, 2, 2).transpose(2, 4, 0, 1, 3).reshape(4, -1)
    each = norm.logpdf(place, place.mean(1, keepdims=True), place.std(1, keepdims=True))
    want = each.reshape(4, 50, -1).sum((0, 2))
    np.testing.assert_allclose(model.log_prob(state, x, None), want, rtol=1e-9)


def test_a_temperature_scales_the_noise_of_every_scale():
  spec, keys = Spec.of((4, 4, 1), 17), jax.random.split(jax.random.key(3), 5)
  z = {t: model_of(spec, sample=Sampler(t), dtype="float32").prior({}, keys) for t in (0.5, 1.0)}
  np.testing.assert_allclose(z[0.5], 0.5 * z[1.0])
  assert z[1.0].shape == (5, 16) and jnp.abs(z[1.0]).min() > 0


def test_refusals():
  with pytest.raises(UserError, match="glow models images"):
    build(Spec.of((2,)))
  with pytest.raises(UserError, match="multiples of 8"):
    build(Spec.of((28, 28, 1), 256), scales=3)
  with pytest.raises(UserError, match="needs labels"):
    build(Spec.of((4, 4, 1), 17), conditional=True)
