"""Latent diffusion: what passes between the stages, and at what scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from gen_jax.core import Spec, UserError, centre, fold_each
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import diffusion, latent
from gen_jax.models.denoisers import Convolutional, Transformer, moments_of
from gen_jax.models.diffusion import Sampler
from gen_jax.models.discrete import FirstStage
from gen_jax.models.gaussian import Gaussian, Options

SPEC = Spec.of((4, 4, 1), 5, 3)
UNET = Convolutional(4, (1,))
SMALL = dict(
  kl=Options(factor=2, dim=3, width=4, blocks=0),
  vq=FirstStage(factor=2, codes=6, dim=3, width=4, blocks=0),
  conditional=True, unet=UNET, sample=Sampler(steps=3),
)  # fmt: skip
CODES = pytest.mark.parametrize("codes", ["kl", "vq"])


def keys(n, seed=0):
  return fold_each(jax.random.key(seed), jnp.arange(n))


def images(n=8, seed=0):
  rng = np.random.default_rng(seed)
  return {
    "x": jnp.asarray(rng.integers(0, 5, (n, 4, 4, 1)), jnp.uint8),
    "label": jnp.asarray(rng.integers(0, 3, n), jnp.int32),
    "index": jnp.arange(n),
    "mask": jnp.arange(n) < n - 2,
    "last": jnp.zeros(n, bool),
  }


def begun(codes="kl", **changes):
  """The program, and the states that both of its stages begin with."""
  program = latent.build(SPEC, **{**SMALL, "codes": codes, **changes})
  first, second = program.stages
  state = jax.jit(first.model.init)(jax.random.key(0), images())
  seen = jax.jit(second.view)([state], images(), jax.random.key(1))
  return program, [state, jax.jit(second.model.init)(jax.random.key(2), seen)], seen


def random(state, scale=0.3):
  """The state with parameters that are not 0 anywhere."""
  rng = np.random.default_rng(0)
  draw = lambda p: jnp.asarray(rng.normal(0, scale, p.shape), p.dtype)
  return {**state, **{name: jax.tree.map(draw, state[name]) for name in ("params", "ema")}}


@CODES
def test_the_first_batch_of_codes_is_standardised_in_each_channel(codes):
  _, (_, state), seen = begun(codes)
  own = state["mutable"]["net"]
  assert own["mean"].shape == own["std"].shape == (3,)
  z = np.asarray((seen["x"] - own["mean"]) / own["std"])[:-2].reshape(-1, 3)  # without padding
  np.testing.assert_allclose(z.mean(0), 0, atol=1e-5)
  np.testing.assert_allclose(z.std(0), 1, rtol=1e-5)


def test_moments_of_images_are_those_of_the_channels_and_padding_does_not_count():
  rng = np.random.default_rng(0)
  x, mask = rng.normal([1, -5], [2, 0.1], (6, 3, 4, 2)), np.arange(6) < 4
  x[..., 1] = np.where(mask[:, None, None], x[..., 1], 1e3)
  with jax.enable_x64(True):
    found = moments_of(jnp.asarray(x), jnp.asarray(mask), jnp.float64)
  np.testing.assert_allclose(found["mean"], x[:4].mean((0, 1, 2)), rtol=1e-12)
  np.testing.assert_allclose(found["std"], x[:4].std((0, 1, 2)), rtol=1e-12)


@CODES
def test_encode_then_decode_is_the_autoencoder(codes):
  program, states, _ = begun(codes)
  first, x = program.stages[0].model, images()["x"]
  z = program.model.encode(states, x)
  assert z.shape == (8, 2, 2, 3) and z.dtype == jnp.float32
  restored = program.model.decode(states, z)
  alone = first.decode(states[0], first.encode(states[0], x))
  np.testing.assert_allclose(restored, alone, atol=1e-6)
  terms = program.model.evaluate(states, images(), keys(8))
  # Pixels that decode clips are nearer than those of the error, which is of the output itself.
  error = (((restored - x) / 4) ** 2).mean((1, 2, 3))
  assert (error <= terms["reconstruction_mse"] + 1e-6).all() and (error > 0).all()
  assert terms["denoising_loss"].shape == (8,)


def test_codes_are_drawn_with_keys_about_their_means():
  program, states, _ = begun()
  states[0] = random(states[0], 0.2)
  x, n = images()["x"][:1], 4000
  z = np.asarray(jax.jit(program.model.encode)(states, jnp.repeat(x, n, 0), keys(n)))
  mean = np.asarray(program.model.encode(states, x))
  book, first = Gaussian(3, 1e-4), program.stages[0].model
  np.testing.assert_array_equal(mean, first.encode(states[0], x))
  error = z.std(0) / n**0.5
  assert (error > 1e-3).all() and (np.abs(z.mean(0) - mean[0]) < 5 * error).all()
  # The price is the weight times the divergence that these draws estimate.
  sigma = jnp.asarray(z.std(0))[None]
  log_prob = lambda z, m, s: (-0.5 * ((z - m) / s) ** 2 - np.log(s)).sum(-1)
  ratio = (log_prob(z, mean, np.asarray(sigma)) - log_prob(z, 0, 1)).mean((1, 2))
  made = jnp.concatenate([jnp.asarray(mean), 2 * jnp.log(sigma)], -1)
  e, price, _, terms = book.learn({}, {}, made, {}, jax.random.key(0), 0)
  assert abs(ratio.mean() - terms["kl"][0]) < 5 * ratio.std() / n**0.5
  np.testing.assert_allclose(price, 1e-4 * terms["kl"], rtol=1e-6)
  assert e.shape == (1, 2, 2, 3) and not np.array_equal(e, mean)


def test_vectors_are_quantised_by_the_decoder():
  program, states, _ = begun("vq")
  first, x = program.stages[0].model, images()["x"]
  z = program.model.encode(states, x)
  table = np.asarray(states[0]["mutable"]["vqvae"]["codebook"])
  code = np.linalg.norm(np.asarray(z)[..., None, :] - table, axis=-1).argmin(-1)
  np.testing.assert_array_equal(code, first.encode(states[0], x))
  entries = jnp.asarray(table[code])
  assert np.abs(entries - z).max() > 1e-2
  np.testing.assert_array_equal(
    program.model.decode(states, z), program.model.decode(states, entries)
  )


class Exact(nn.Module):
  """E[eps - x_0 | x_t] of x_0 ~ N(0, I) on the straight path, and a parameter that does nothing."""

  @nn.compact
  def __call__(self, x, t, label=None, train=False):
    self.param("unused", nn.initializers.zeros, (1,))
    t = (t / 1000)[:, None, None, None]
    return (2 * t - 1) / ((1 - t) ** 2 + t**2) * x


def identity(shape, centred, spread):
  """Codes that are pixels: centred to codes, spread from codes."""
  return latent.Latents(None, shape, lambda state, x, keys: centred(x), lambda state, z: spread(z))


def test_with_the_exact_denoiser_decoded_samples_have_the_moments_of_the_data(monkeypatch):
  """Mean and deviation of a Gaussian latent are taken out at one end and put in at the other."""
  monkeypatch.setattr(diffusion, "network", lambda *_: Exact())
  mean, std = np.array([1.0, -2.0]), np.array([0.5, 3.0])
  spec, shape = Spec.of((2, 2, 2), 2**16), (2, 2, 2)
  # A pixel is 30000 + 1000 z.
  first = identity(shape, lambda x: (x - 30000.0) / 1000, lambda z: 30000 + 1000 * z)
  second = diffusion.build(Spec.of(shape), sample=Sampler(steps=40), ema=0.0).stages[0].model
  program = latent.of_latents(first, second, spec)
  z = np.random.default_rng(0).normal(mean, std, (4000, *shape))
  x = jnp.asarray(np.rint(30000 + 1000 * z), jnp.uint16)
  seen = program.stages[1].view([{}], {"x": x.astype(jnp.float32)}, jax.random.key(0))
  state = second.init(jax.random.key(1), seen)
  drawn = np.asarray(jax.jit(program.model.sample)([{}, state], keys(4000)), np.float64)
  assert np.issubdtype(program.model.sample([{}, state], keys(1)).dtype, np.integer)
  made = (drawn.reshape(-1, 2) - 30000) / 1000
  n = len(made) ** 0.5
  np.testing.assert_allclose(made.mean(0), mean, atol=8 * 3 / n)
  np.testing.assert_allclose(made.std(0), std, rtol=0.03)


def test_with_the_identity_for_an_autoencoder_the_loss_is_that_of_the_pixels_bit_for_bit():
  options = dict(conditional=True, unet=UNET, optimizer=Optimizer("sgd", 0.1, b1=0.0))
  pixels = diffusion.build(SPEC, **options).stages[0].model
  codes = diffusion.build(Spec.of(SPEC.shape, classes=3), **options).stages[0].model
  first = identity(SPEC.shape, lambda x: centre(x, 5), lambda z: 2 * (z + 1))
  program, batch = latent.of_latents(first, codes, SPEC), images()
  state = random(pixels.init(jax.random.key(0), batch))
  unscaled = {"mean": jnp.zeros(1), "std": jnp.ones(1)}
  stacked = lambda batch: jax.tree.map(lambda a: a[None], batch)
  at = jax.random.key(1), jnp.int32(0)
  of_pixels, loss = jax.jit(pixels.update)(state, stacked(batch), *at)
  seen = program.stages[1].view([{}], batch, jax.random.key(2))
  of_codes, same = jax.jit(codes.update)(
    {**state, "mutable": {"net": unscaled}}, stacked(seen), *at
  )
  assert loss["loss"] == same["loss"] > 0
  for a, b in zip(*(jax.tree.leaves(s["params"]) for s in (of_pixels, of_codes)), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)  # sums of gradients have another order
  cond = {"label": batch["label"]}
  np.testing.assert_array_equal(
    program.model.sample([{}, {**state, "mutable": {"net": unscaled}}], keys(8), cond),
    pixels.sample(state, keys(8), cond),
  )


@CODES
def test_the_diffusion_learns_without_the_autoencoder_and_its_scale(codes):
  program, (_, state), seen = begun(codes)
  stacked = jax.tree.map(lambda a: a[None], seen)
  after, metrics = jax.jit(program.stages[1].model.update)(
    state, stacked, jax.random.key(3), jnp.int32(0)
  )
  assert list(after["params"]) == ["net"] and np.isfinite(metrics["loss"])
  for name in ("mean", "std"):
    np.testing.assert_array_equal(after["mutable"]["net"][name], state["mutable"]["net"][name])


def test_a_trajectory_ends_in_the_sample_and_labels_count():
  program, states, _ = begun(network="dit", dit=Transformer(1, 8, 1, 2))
  states[1] = random(states[1])
  cond = {"label": jnp.arange(8) % 3}
  x = jax.jit(program.model.sample)(states, keys(8), cond)
  assert x.shape == (8, 4, 4, 1) and x.dtype == jnp.uint8 and program.model.calls == 5
  path = jax.jit(program.model.trajectory)(states, keys(8), cond)
  assert path.shape == (4, 8, 4, 4, 1)
  np.testing.assert_array_equal(path[-1], x)
  z, other = (
    program.model.prior(states, keys(8), cond) for cond in (cond, {"label": 0 * cond["label"]})
  )
  assert z.shape == (8, 2, 2, 3)
  changed = np.abs(z - other).reshape(8, -1).max(1) > 1e-6
  np.testing.assert_array_equal(changed, cond["label"] != 0)


@pytest.mark.parametrize("change,message", [
  (dict(spec=Spec.of((4,))), "autoencoder models images with integer grey levels"),
  (dict(kl=Options(factor=3)), "factor must be a power of 2"),
  (dict(kl=Options(factor=8)), "multiples of 8, not 4x4"),
  (dict(codes="vq", vq=FirstStage(codebook="gumbel")), "codebook=gumbel makes logits"),
  (dict(codes="vae"), "model.codes must be one of kl, vq"),
  (dict(unet=Convolutional(4, (1, 1, 1))), "multiples of 4, not 2x2"),
  (dict(spec=Spec.of((4, 4, 1), 5)), "needs labels"),
  (dict(conditional=False, sample=Sampler(guidance=1.0)), "guidance needs model.conditional"),
])  # fmt: skip
def test_what_it_refuses(change, message):
  with pytest.raises(UserError, match=message):
    latent.build(**{"spec": SPEC, **SMALL, **change})
