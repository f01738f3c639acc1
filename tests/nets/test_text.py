"""Captions: padding is not there, words see each other, and the U-Net looks at them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.nets.text import TextEncoder
from gen_jax.nets.unet import UNet

WORDS, LENGTH = 9, 6
NET = TextEncoder(WORDS, LENGTH, width=8, heads=2)
CAPTION = jnp.array([[1, 4, 5, 6, 2, 0], [1, 7, 2, 0, 0, 0]])


def random(tree):
  rng = np.random.default_rng(0)
  return jax.tree.map(lambda p: 0.3 * rng.normal(size=p.shape).astype(np.float32), tree)


@pytest.fixture(scope="module")
def params():
  return random(jax.eval_shape(NET.init, jax.random.key(0), CAPTION)["params"])


def test_padding_is_not_there(params):
  pooled, _, seen = NET.apply({"params": params}, CAPTION)
  assert seen.sum(1).tolist() == [5, 3]
  # Cut to its own length, the second caption has the same mean.
  short = TextEncoder(WORDS, 3, width=8, heads=2)
  cut = {**params, "position": params["position"][:3]}
  np.testing.assert_allclose(
    short.apply({"params": cut}, CAPTION[1:, :3])[0], pooled[1:], rtol=1e-4, atol=1e-6
  )


def test_words_see_those_before_and_behind_them(params):
  def features(shift):
    moved = params["position"] + shift
    return NET.apply({"params": {**params, "position": moved}}, CAPTION[:1])[1][0].sum(-1)

  seen = np.abs(jax.jacobian(features)(jnp.zeros((LENGTH, 8)))).sum(-1) > 1e-7
  assert seen[:5, :5].all() and not seen[:5, 5].any()


def test_a_u_net_hears_a_caption_and_none_has_an_entry_of_its_own():
  net = UNet(3, width=4, multipliers=(1,), blocks=1, attention=(4,), dropout=0.0, text=NET)
  x, t = jax.random.normal(jax.random.key(1), (2, 4, 4, 3)), jnp.array([1.0, 9.0])
  variables = random(jax.eval_shape(net.init, jax.random.key(0), x, t))
  apply = jax.jit(lambda *cond: net.apply(variables, x, t, *cond))
  np.testing.assert_allclose(apply(), apply(jnp.full((2, LENGTH), WORDS)), atol=1e-5)
  assert (jnp.abs(apply() - apply(CAPTION)).max((1, 2, 3)) > 1e-3).all()
  other = apply(CAPTION.at[0, 2].set(8))
  assert jnp.abs(other - apply(CAPTION))[0].max() > 1e-3
  np.testing.assert_allclose(other[1], apply(CAPTION)[1], atol=1e-6)
