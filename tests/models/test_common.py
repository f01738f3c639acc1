"""What all families share: their condition is a law, and scaling has an inverse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, centre, fold_each, unit
from gen_jax.models import common, ddpm, gda, pixelcnn, realnvp, transformer, vae, vqvae

SPEC = Spec.of((4, 4, 1), 5, 3)
N = 4
SMALL = {
  "vae": (vae.build, dict(latent=2, hidden=(4,))),
  "realnvp": (realnvp.build, dict(couplings=1, width=2, blocks=0)),
  "pixelcnn": (pixelcnn.build, dict(width=2, dilations=(), first_kernel=3, head=2)),
  "transformer": (transformer.build, dict(width=4, layers=1, heads=2)),
  "vqvae": (
    vqvae.build,
    dict(
      factor=2, codes=4, dim=2, width=2, blocks=0, residual=2,
      pixelcnn=vqvae.PixelCNN(width=2, dilations=(), first_kernel=3, head=2),
    ),
  ),
}  # fmt: skip
DRAWING = {
  "ddpm": (
    ddpm.build,
    dict(
      timesteps=3,
      schedule="cosine",
      width=4,
      multipliers=(1,),
      blocks=1,
      attention=(),
      condition="label",
    ),
  ),
  "gda": (gda.build, dict()),
}


def started(build, **how):
  """The whole model, and states of its stages without training."""
  program, states = build(SPEC, **how), []
  batch = {
    "x": jnp.zeros((N, 4, 4, 1), jnp.uint8), "label": jnp.arange(N) % 3,
    "mask": jnp.ones(N, bool), "last": jnp.ones(N, bool), "index": jnp.arange(N),
  }  # fmt: skip
  for stage in program.stages:
    seen = batch
    if stage.view is not None:
      seen = jax.eval_shape(stage.view, states, batch, jax.random.key(0))
    states.append(jax.eval_shape(stage.model.init, jax.random.key(0), seen))
  return program.model, states, batch


def keys():
  return fold_each(jax.random.key(0), jnp.arange(N))


@pytest.mark.parametrize("name", SMALL)
def test_a_conditional_model_without_its_condition_says_what_to_give(name):
  build, how = SMALL[name]
  model, states, batch = started(build, conditional=True, **how)
  assert model.cond == ("label",)
  cond = {"label": batch["label"]}
  calls = {"sample": (keys(),), "log_prob": (batch["x"], keys())}
  if name in ("vae", "realnvp"):
    calls["encode"] = (batch["x"], keys())
    calls["decode"] = (jax.eval_shape(model.encode, states, batch["x"], keys(), cond),)
  for function, arguments in calls.items():
    if getattr(model, function) is None:
      continue
    run = lambda cond, f=function, a=arguments: jax.eval_shape(getattr(model, f), states, *a, cond)
    assert jax.tree.leaves(run(cond))[0].shape[0] == N
    for nothing in (None, {}):
      with pytest.raises(UserError, match="conditioned on label: give cond={'label': ...}"):
        run(nothing)


@pytest.mark.parametrize("name", DRAWING)
def test_a_model_that_can_draw_without_its_condition_does(name):
  build, how = DRAWING[name]
  model, states, batch = started(build, **how)
  assert model.cond == ("label",)
  for cond in (None, {"label": batch["label"]}):
    x = jax.eval_shape(model.sample, states, keys(), cond)
    assert x.shape == (N, 4, 4, 1) and x.dtype == jnp.uint8


@pytest.mark.parametrize("scale,low", [(unit, 0), (centre, -1)])
def test_scaling_begins_and_ends_at_the_ends_of_its_range(scale, low):
  x = jnp.arange(5, dtype=jnp.uint8).reshape(5, 1)
  spec = Spec.of((1,), 5)
  y = common.scaling(spec, jnp.float32, scale)(x)
  np.testing.assert_allclose(y[:, 0], np.linspace(low, 1, 5))
  if low == 0:
    np.testing.assert_allclose(common.in_levels(y, spec), x)
    np.testing.assert_array_equal(common.in_levels(y + 2, spec), 4)
  real = Spec.of((1,))
  np.testing.assert_array_equal(common.scaling(real, jnp.float32, scale)(y), y)
  np.testing.assert_array_equal(common.in_levels(y + 2, real), y + 2)
  with pytest.raises(AssertionError):
    common.scaling(spec, jnp.float32, scale)(x[:, 0])


def test_a_bit_is_a_factor_of_two_in_the_probability_of_a_dimension():
  # Eight dimensions of four equally likely levels.
  np.testing.assert_allclose(common.bits_per_dim(8 * np.log(4.0), Spec.of((2, 2, 2), 4)), 2)


def test_refusals():
  with pytest.raises(UserError, match="model.conditional=True needs labels, .* these data have no"):
    common.require_labels(Spec.of((2,)))
  with pytest.raises(UserError, match="gda needs labels of 2 classes or more, .* have 1 class"):
    common.require_labels(Spec.of((2,), classes=1), "gda", classes=2)
  with pytest.raises(UserError, match=r"of shape \(4, 4, 1\) of real values"):
    common.require_images(Spec.of((4, 4, 1)), "x")
  with pytest.raises(UserError, match="halved, so the image's .* multiples of 4, not 8x6"):
    common.require_multiples(Spec.of((8, 6, 1), 2), 4, "halved")
