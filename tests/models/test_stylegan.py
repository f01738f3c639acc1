"""Styles, their mean and truncation, on one small system."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models import growing, stylegan

SPEC = Spec.of((8, 8, 3), 256)
SMALL = dict(latent=3, width=5, mapping=2, widths=(4, 3), group=2)
KEYS = fold_each(jax.random.key(7), jnp.arange(4))


def model_of(**sample):
  return stylegan.build(SPEC, **SMALL, sample=stylegan.Sampler(**sample)).stages[0].model


@pytest.fixture(scope="module")
def state():
  """A first state, with noise and a mean style that are not 0."""
  state = jax.jit(model_of().init)(jax.random.key(0), {})
  louder = lambda path, leaf: leaf + ("noise" in jax.tree_util.keystr(path))
  mean = {"generator": {"style_mean": jnp.arange(5.0)}}
  return {**state, "ema": jax.tree_util.tree_map_with_path(louder, state["ema"]), "mutable": mean}


def test_truncation_is_towards_the_mean_style_in_the_layers_before_the_cutoff(state):
  plain, half, none = model_of(), model_of(truncation=0.5, cutoff=3), model_of(truncation=0.0)
  z = plain.prior(state, KEYS)
  w = plain.styles(state, z)
  np.testing.assert_array_equal(w, jnp.broadcast_to(w[:, :1, :1], (4, 2, 2, 5)))
  mean = state["mutable"]["generator"]["style_mean"]
  near = half.styles(state, z).reshape(4, 4, 5)
  np.testing.assert_allclose(
    near[:, :3], np.broadcast_to((mean + w[:, 0, :1]) / 2, (4, 3, 5)), rtol=1e-5
  )
  np.testing.assert_array_equal(near[:, 3], w[:, 1, 1])
  images = none.decode(state, z)
  np.testing.assert_array_equal(images, jnp.broadcast_to(images[:1], images.shape))
  assert not np.array_equal(*np.asarray(plain.decode(state, z))[:2])
  np.testing.assert_array_equal(plain.decode(state, w), plain.decode(state, z))


def test_noise_is_of_the_sample_or_fixed_or_none(state):
  own, fixed, none = (model_of(noise=noise, truncation=0.0) for noise in ("own", "fixed", "none"))
  spread = lambda model: np.ptp(np.asarray(model.sample(state, KEYS), int), axis=0).max()
  assert spread(own) > 0 and spread(fixed) == 0 and spread(none) == 0
  z = own.prior(state, KEYS)
  decoded = {model: np.asarray(model.decode(state, z)) for model in (own, fixed, none)}
  np.testing.assert_array_equal(decoded[own], decoded[fixed])
  assert not np.array_equal(decoded[fixed], decoded[none])


def test_the_mean_style_after_n_updates_of_one_style():
  w = jnp.array([1.0, -2.0, 3.0, 0.5, 4.0])
  net = stylegan.Generator(type("Constant", (), {"apply": lambda self, p, z: w + 0 * z[:, :1]})(),
                           None, 3, 1, jnp.float32)  # fmt: skip
  idle = model_of()._replace(update=lambda state, batch, key, step: (state, {}))
  follow = stylegan.with_mean_style(idle, net).update
  state = {
    "params": {"generator": {"mapping": None}}, "ema": {},
    "mutable": {"generator": {"style_mean": jnp.zeros(5)}},
  }  # fmt: skip
  for step in range(20):
    state, _ = follow(state, {"x": jnp.zeros((2, 4))}, jax.random.key(step), step)
  found = state["mutable"]["generator"]["style_mean"]
  np.testing.assert_allclose(found, (1 - 0.995**20) * w, rtol=1e-5)


def test_styles_are_mixed_as_often_as_is_asked():
  net = stylegan.Generator(
    stylegan.Mapping(1, 5), stylegan.Synthesis(3, 1, (4, 3)), 3, 1, jnp.float32
  )
  params, _ = stylegan.init(net, jax.random.key(0), False)
  keys = jax.random.split(jax.random.key(1), 2000)
  for mixing in (0.0, 0.9, 1.0):
    w = np.asarray(stylegan.mixed(net, params, keys, mixing))
    changes = (w[:, 1:] != w[:, :-1]).any(-1)
    assert set(changes.sum(1)) <= {0, 1}
    np.testing.assert_allclose(changes.mean(0), mixing / 3, atol=0.04)


def test_a_grown_state_keeps_its_mean_style_and_its_old_layers():
  small, large = ({"mutable": {"generator": {"style_mean": m, **fade}}, "updates": 3, "ema": {},
                   "params": {"generator": {"synthesis": layers}}, "opt": {}}
                  for m, fade, layers in (
                    (1.0, {}, {"level0a": 1.0}),
                    (0.0, {"fade": 0.0}, {"level0a": 0.0, "level1a": 5.0}),
                  ))  # fmt: skip
  found = growing.grown([small], large)
  assert found["mutable"]["generator"] == {"style_mean": 1, "fade": 0}
  assert found["params"]["generator"]["synthesis"] == {"level0a": 1, "level1a": 5}


def test_one_stage_of_the_last_resolution_where_nothing_grows():
  spec = Spec.of((16, 16, 3), 256)
  program = stylegan.build(spec, **(SMALL | {"widths": (4, 3, 2), "grow": False}))
  (stage,) = program.stages
  x = jnp.zeros((2, 16, 16, 3), jnp.uint8)
  shapes = jax.eval_shape(stage.model.init, jax.random.key(0), {"x": x})
  assert "fade" not in shapes["mutable"]["generator"] and stage.data is None
  assert "image1" not in shapes["params"]["generator"]["synthesis"]
  assert jax.eval_shape(program.model.sample, [shapes], KEYS).shape == (4, 16, 16, 3)


def test_refusals():
  with pytest.raises(UserError, match="of 8 pixels, not 16x16: give 3 widths"):
    stylegan.build(Spec.of((16, 16, 3), 256), **SMALL)
  with pytest.raises(UserError, match="sample.noise must be one of own, fixed, none"):
    model_of(noise="some")
