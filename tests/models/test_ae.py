"""Autoencoders against linear ones, whose best error is known, and corruptions by their moments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gen_jax.core import Spec, UserError, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import ae
from gen_jax.models.ae import Corruption

LEVELS = 256
SPEC = Spec.of((2, 3, 1), LEVELS)


def images(n=600):
  """Images of 6 pixels with strong correlations, uint8 [n, 2, 3, 1]."""
  rng = np.random.default_rng(0)
  mix = rng.normal(size=(6, 6)) * [[60], [30], [15], [8], [4], [2]]
  x = 128 + rng.normal(size=(n, 6)) @ mix
  return np.clip(np.round(x), 0, 255).astype(np.uint8).reshape(n, 2, 3, 1)


def fit(x, steps, **kwargs):
  """(program, states) of a linear autoencoder after some steps on all of x."""
  optimizer = Optimizer(learning_rate=0.02, schedule="cosine", decay_steps=steps)
  program = ae.build(SPEC, hidden=(), optimizer=optimizer, **kwargs)
  model = program.stages[0].model

  @jax.jit
  def run(batch):
    state = model.init(jax.random.key(0), batch)
    micro = {"x": batch["x"][None]}
    update = lambda state, step: model.update(
      state, micro, jax.random.fold_in(jax.random.key(1), step), step
    )
    return lax.scan(update, state, jnp.arange(steps))[0]

  return program, [run({"x": jnp.asarray(x)})]


def evaluate(program, states, x, seed=0):
  keys = fold_each(jax.random.key(seed), jnp.arange(len(x)))
  return jax.jit(program.model.evaluate)(states, {"x": x}, keys)


def test_a_linear_autoencoder_learns_pca():
  # Baldi & Hornik 1989: no minimum but the one of principal components.
  from sklearn.decomposition import PCA

  x = images()
  program, states = fit(x, 1500, latent=2)
  error = evaluate(program, states, x)["squared_error"]
  assert error.shape == (600,)
  flat = x.reshape(600, 6) / 255.0
  pca = PCA(2).fit(flat)
  best = ((flat - pca.inverse_transform(pca.transform(flat))) ** 2).sum(1)
  assert best.mean() <= error.mean() * 1.0001
  np.testing.assert_allclose(error.mean(), best.mean(), rtol=0.02)


def test_a_linear_denoising_autoencoder_learns_the_wiener_filter():
  x, sigma = images(), 0.15
  how = dict(latent=6, corruption=Corruption("gaussian", sigma))
  program, states = fit(x, 1500, **how)
  covariance = np.cov(x.reshape(600, 6).T / 255.0)
  gain = np.linalg.solve(covariance + sigma**2 * np.eye(6), covariance)
  best = np.trace(covariance - covariance @ gain)
  terms = {k: np.asarray(v).mean() for k, v in evaluate(program, states, x).items()}
  np.testing.assert_allclose(terms["squared_error_corrupted"], best, rtol=0.06)
  np.testing.assert_allclose(terms["identity_squared_error"], 6 * sigma**2, rtol=0.06)
  # The plain autoencoder, measured on the same corruption, is the identity by now.
  program, states = fit(x, 1500, **how, denoising=False)
  plain = {k: np.asarray(v).mean() for k, v in evaluate(program, states, x).items()}
  assert plain["squared_error"] < 0.001 < terms["squared_error"]
  np.testing.assert_allclose(plain["squared_error_corrupted"], 6 * sigma**2, rtol=0.06)


def test_restoring_is_decoding_the_code_and_stays_in_the_levels():
  program = ae.build(SPEC, latent=2, hidden=(5,))
  x = images(20)
  state = jax.jit(program.stages[0].model.init)(jax.random.key(4), {"x": x})
  model, states = program.model, [state]
  dense = state["params"]["ae"]["decoder"]["MLP_0"]["Dense_1"]
  dense["bias"] = jnp.array([-9.0, 9.0, 0.2, 0.4, 0.6, 0.8])
  restored = model.transform(states, x, None)
  np.testing.assert_allclose(restored, model.decode(states, model.encode(states, x)), rtol=1e-5)
  assert (restored[:, 0, 0] == 0).all() and (restored[:, 0, 1] == 255).all()
  assert model.sample is None and model.prior is None
  assert set(evaluate(program, states, x)) == {"squared_error"}


def corrupted(x, kind, amount, seed=0):
  return np.asarray(ae.corrupt(jnp.asarray(x), jax.random.key(seed), Corruption(kind, amount)))


def test_corruptions_have_the_moments_they_name():
  x = np.full((400, 5, 4, 3), 0.4, np.float32)
  pixels = 400 * 20
  noise = corrupted(x, "gaussian", 0.3) - x
  np.testing.assert_allclose(noise.std(), 0.3, rtol=0.03)
  assert abs(noise.mean()) < 4.5 * 0.3 / (3 * pixels) ** 0.5
  share = lambda hit, p: abs(hit.mean() - p) < 4.5 * (p * (1 - p) / pixels) ** 0.5
  masked = corrupted(x, "masking", 0.25)
  assert share((masked == 0)[..., 0], 0.25) and set(np.unique(masked)) == {0, np.float32(0.4)}
  noisy = corrupted(x, "salt_and_pepper", 0.2)
  assert share((noisy == 0)[..., 0], 0.1) and share((noisy == 1)[..., 0], 0.1)
  for y in (masked, noisy):  # channels share a pixel's fate
    assert (y == y[..., :1]).all()
  np.testing.assert_array_equal(corrupted(x, "none", 0.0), x)
  for kind in ("gaussian", "masking", "salt_and_pepper"):
    assert (corrupted(x, kind, 0.3, 0) != corrupted(x, kind, 0.3, 1)).any()


def test_blur_spreads_a_point_by_its_standard_deviation():
  point = np.zeros((1, 21, 21, 2), np.float32)
  point[0, 10, 10, 0] = 1
  got = corrupted(point, "blur", 1.5)[0]
  assert not got[..., 1].any()
  np.testing.assert_allclose(got[..., 0].sum(), 1, rtol=1e-5)
  offset = np.arange(21) - 10
  for axis in (0, 1):
    variance = (got[..., 0].sum(axis=axis) * offset**2).sum()
    np.testing.assert_allclose(variance, 1.5**2, rtol=0.05)
  np.testing.assert_allclose(got[..., 0], got[::-1, ::-1, 0].T, atol=1e-7)
  flat = np.full((1, 6, 6, 1), 0.7, np.float32)
  np.testing.assert_allclose(corrupted(flat, "blur", 2.0), flat, rtol=1e-5)


@pytest.mark.parametrize(
  "spec,kwargs,message",
  [
    (Spec.of((2,)), dict(), r"grey levels, not data of shape \(2,\)"),
    (SPEC, dict(latent=0), "model.latent must be 1 or more"),
    (SPEC, dict(corruption=Corruption("blur")), "amount of blur must be positive"),
    (SPEC, dict(corruption=Corruption("masking", 1.5)), r"amount of masking must be in \(0, 1\]"),
    (SPEC, dict(widths=(4, 4)), "multiples of 4"),
  ],
)
def test_refusals(spec, kwargs, message):
  with pytest.raises(UserError, match=message):
    ae.build(spec, **kwargs)
