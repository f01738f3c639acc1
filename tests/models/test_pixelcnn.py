"""The likelihood against all images there are, and the sampler against the likelihood."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.models import pixelcnn

SMALL = dict(width=3, dilations=(1,), first_kernel=3, head=4, dtype="float64", ema=0.0)


def random_state(model, spec, n=2, seed=0):
  """A state with random parameters, without training."""
  batch = {"x": jnp.zeros((n, *spec.shape), jnp.uint8), "label": jnp.zeros(n, jnp.int32)}
  shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
  rng = np.random.default_rng(seed)
  return [jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 1.5, p.shape), p.dtype), shapes)]


def every_image(spec):
  grid = np.indices((spec.levels,) * int(np.prod(spec.shape))).reshape(int(np.prod(spec.shape)), -1)
  return jnp.asarray(grid.T.reshape(-1, *spec.shape), jnp.uint8)


@pytest.mark.parametrize(
  "spec,embed", [(Spec((2, 2, 1), 3, 2), False), (Spec((1, 2, 3), 2, 2), True)]
)
def test_probabilities_of_all_images_sum_to_one_and_samples_follow_them(spec, embed):
  with jax.enable_x64(True):
    program = pixelcnn.build(spec, conditional=True, embed=embed, **SMALL)
    state = random_state(program.stages[0].model, spec)
    x = every_image(spec)
    log_prob = jax.jit(program.model.log_prob)
    probabilities = []
    for label in (0, 1):
      cond = {"label": jnp.full(len(x), label)}
      p = np.exp(np.asarray(log_prob(state, x, None, cond)))
      np.testing.assert_allclose(p.sum(), 1, rtol=1e-10)
      probabilities.append(p)
    assert np.abs(probabilities[0] - probabilities[1]).max() > 0.01
    # Half of 20000 samples of each class: counts within 5 standard errors.
    n = 20_000
    keys, labels = fold_each(jax.random.key(5), jnp.arange(n)), jnp.arange(n) % 2
    drawn = np.asarray(jax.jit(program.model.sample)(state, keys, {"label": labels}))
  place = spec.levels ** np.arange(int(np.prod(spec.shape)))[::-1]
  index = drawn.reshape(n, -1) @ place
  for label, p in enumerate(probabilities):
    share = np.bincount(index[label::2], minlength=len(p)) / (n // 2)
    assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / (n // 2)) + 1e-12).all()


def test_evaluate_is_minus_log_prob_in_nats_and_in_bits_of_a_dimension():
  spec = Spec((2, 2, 1), 3)
  program = pixelcnn.build(spec, **SMALL | {"dtype": "float32"})
  state = random_state(program.stages[0].model, spec)
  x = every_image(spec)[::10]
  keys = fold_each(jax.random.key(0), jnp.arange(len(x)))
  terms = jax.jit(program.model.evaluate)(state, {"x": x}, keys)
  log_prob = jax.jit(program.model.log_prob)(state, x, keys)
  np.testing.assert_allclose(terms["nll"], -log_prob, rtol=1e-5)
  np.testing.assert_allclose(terms["bits_per_dim"], np.log2(np.exp(terms["nll"])) / 4, rtol=1e-5)


def test_sampling_options():
  keys = fold_each(jax.random.key(0), jnp.arange(9000))
  logits = jnp.broadcast_to(jnp.log(jnp.array([0.5, 0.1, 0.4])), (9000, 3))

  def shares(**options):
    levels = jax.jit(lambda: pixelcnn.drawn(keys, 3, logits, pixelcnn.Sampler(**options)))()
    return np.bincount(levels, minlength=3) / 9000

  np.testing.assert_allclose(shares(), [0.5, 0.1, 0.4], atol=0.03)
  sharp = np.array([0.25, 0.01, 0.16])
  np.testing.assert_allclose(shares(temperature=0.5), sharp / sharp.sum(), atol=0.03)
  np.testing.assert_allclose(shares(top_k=2), [5 / 9, 0, 4 / 9], atol=0.03)
  assert shares(temperature=0.0)[0] == 1


@pytest.mark.parametrize("change,message", [
  (dict(spec=Spec((4,), 3)), "images"),
  (dict(spec=Spec((4, 4, 1))), "integer"),
  (dict(conditional=True), "no|none"),
  (dict(kernel=4), "odd"),
  (dict(dropout=1.0), "dropout"),
  (dict(sample=pixelcnn.Sampler(top_k=4)), "top_k"),
  (dict(sample=pixelcnn.Sampler(temperature=-1.0)), "temperature"),
])  # fmt: skip
def test_what_it_refuses(change, message):
  with pytest.raises(UserError, match=message):
    pixelcnn.build(**{"spec": Spec((4, 4, 1), 3), **change})
