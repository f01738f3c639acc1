"""Parts that overlap against the whole, for functions whose reach is known and for a U-Net."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from gen_jax.core import Field, Spec
from gen_jax.models import segment, superres
from gen_jax.models.superres import SelfEnsemble
from gen_jax.report.tiles import tiled

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("size", [(40, 24), (16, 16), (8, 56), (24, 8)])
def test_a_filter_of_parts_is_that_of_the_whole(size):
  x = RNG.standard_normal((*size, 1))
  blur = lambda x: ndimage.uniform_filter(x, (7, 7, 1), mode="constant")  # reaches 3 pixels
  seen = []

  def make(x):
    seen.append(x.shape)
    return blur(x)

  np.testing.assert_allclose(tiled(make, x, 4, tile=8), blur(x), atol=1e-12)
  assert len(set(seen)) == 1 and max(seen[0]) <= 16
  with pytest.raises(AssertionError):
    np.testing.assert_allclose(tiled(make, RNG.standard_normal((40, 24, 1)), 0, tile=8), 0)


@pytest.mark.parametrize("up", ["bilinear", "transposed"])
def test_a_u_net_of_parts_is_that_of_the_whole(up):
  spec = Spec.of((16, 16, 1), 256, segmentation=Field((16, 16), 3, (), True))
  model = segment.build(spec, widths=(4, 6, 8), up=up, norm="none", ema=0.0).model
  batch = {"x": jnp.zeros((1, 16, 16, 1), jnp.uint8)}
  states = [model.init(jax.random.key(0), batch)]
  x = RNG.integers(256, size=(112, 96, 1)).astype(np.uint8)
  whole = np.asarray(model.predict(states, x[None]))[0]
  make = lambda x: np.asarray(model.predict(states, x[None]))[0]
  assert model.context == 40
  np.testing.assert_allclose(tiled(make, x, model.context, tile=16), whole, atol=1e-5)
  apart = np.abs(tiled(make, x, 0, tile=16) - whole).max()
  assert apart > 1e-2  # without what is around them, tiles show


@pytest.mark.parametrize("net, scale, far", [("srcnn", 3, 4), ("espcn", 2, 4), ("srresnet", 4, 7)])
@pytest.mark.parametrize("ensemble", [False, True])
def test_pictures_enlarged_in_parts_are_those_of_the_whole(net, scale, far, ensemble):
  spec = Spec.of((24, 24, 1), 256)
  own = SelfEnsemble(ensemble=ensemble)
  model = superres.build(
    spec, net=net, scale=scale, width=4, blocks=2, skip=False, sample=own
  ).model
  states = [model.init(jax.random.key(0), {"x": jnp.zeros((1, 24, 24, 1), jnp.uint8)})]
  x = RNG.integers(256, size=(37, 30, 1)).astype(np.uint8)
  make = lambda x: np.asarray(model.transform(states, x[None]))[0]
  whole = make(x)
  assert whole.shape == (scale * 37, scale * 30, 1) and model.context == far
  np.testing.assert_allclose(tiled(make, x, far, tile=9), whole, atol=1e-3)  # of 255
  assert np.abs(tiled(make, x, far - 1, tile=9) - whole).max() > 5e-3


def test_norms_over_the_image_have_no_reach():
  spec = Spec.of((16, 16, 1), 256, segmentation=Field((16, 16), 3, (), True))
  assert segment.build(spec, widths=(4, 6)).model.context is None
