"""What is PixelCNN's own: its order of channels, and what it refuses."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models import pixelcnn
from tests.models.test_autoregressive import build, random_state


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_order_of_channels_is_the_model_of_images_with_their_channels_in_that_order(order):
  spec, n = Spec.of((2, 2, 3), 4), 8
  x = jnp.asarray(np.random.default_rng(0).integers(0, 4, (n, *spec.shape)), jnp.uint8)
  keys = fold_each(jax.random.key(0), jnp.arange(n))
  programs = [build("pixelcnn", spec, dtype="float32", channel_order=c) for c in ((), order)]
  state = random_state(programs[0].stages[0].model, spec)
  plain, ordered = (program.model for program in programs)
  moved = x[..., np.array(order)]
  np.testing.assert_allclose(
    jax.jit(ordered.log_prob)(state, x), jax.jit(plain.log_prob)(state, moved), rtol=1e-6
  )
  a, b = (np.asarray(jax.jit(model.sample)(state, keys)) for model in (ordered, plain))
  np.testing.assert_array_equal(a[..., np.array(order)], b)
  assert len(np.unique(a.reshape(n, -1), axis=0)) == n


@pytest.mark.parametrize("change,message", [
  (dict(spec=Spec.of((4,), 3)), "images"),
  (dict(kernel=4), "model.kernel must be odd, not 4"),
  (dict(first_kernel=1), "model.first_kernel must be 3 or more, not 1"),
  (dict(dilations=(1, 0)), r"model.dilations\[1\] must be 1 or more"),
  (dict(channel_order=(0, 1)), "no order of the 1 channels"),
])  # fmt: skip
def test_what_it_refuses(change, message):
  with pytest.raises(UserError, match=message):
    pixelcnn.build(**{"spec": Spec.of((4, 4, 1), 3), **change})
