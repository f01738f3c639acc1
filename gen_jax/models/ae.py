"""Autoencoders: a code of few numbers that the input can be restored from.

  learn      || x - g(f(x)) ||^2                       (Hinton & Salakhutdinov 2006)
  denoising  || x - g(f(x')) ||^2, x' ~ C(x' | x)      (Vincent et al. 2008, section 2.3)
  perceptual sum_j || phi_j(x) - phi_j(g(f(x'))) ||^2  (Johnson et al. 2016), phi a frozen net

with pixels in [0, 1], encoder f and decoder g. The first two differ in the corruption C alone.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Program, Spec, UserError
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.likelihoods import sum_dims
from gen_jax.models.common import in_levels, require_images, scaling
from gen_jax.models.perceptual import Perceptual, extractor, program
from gen_jax.nets.conv import coders
from gen_jax.nets.mlp import Activation
from gen_jax.schema import Count, Dtype, NonNegative, builder


@dataclasses.dataclass(frozen=True)
class Corruption:
  """What is done to an image, with pixels in [0, 1].

  kind: gaussian adds noise (the result is not clipped); masking makes pixels 0; salt_and_pepper
    makes them 0 or 1, either as often; blur is a Gaussian filter. All channels of a pixel share
    their fate.
  amount: standard deviation of the noise; share of the pixels; or the filter's, in pixels.
  """

  kind: Literal["none", "gaussian", "masking", "salt_and_pepper", "blur"] = "none"
  amount: NonNegative = 0.0


def blur(x: Array, sigma: float) -> Array:
  """x [B, H, W, C] filtered by a Gaussian cut off at 3 sigma, its borders repeated outwards."""
  reach = max(1, round(3 * sigma))
  offset = jnp.arange(-reach, reach + 1)
  weights = jnp.exp(-0.5 * (offset / sigma) ** 2).astype(x.dtype)
  weights = weights / weights.sum()
  for axis in (1, 2):
    # Shifted sums and no convolution: those are slow on CPU inside a loop of steps.
    at = jnp.clip(jnp.arange(x.shape[axis]) + offset[:, None], 0, x.shape[axis] - 1)
    x = sum(w * x.take(i, axis=axis) for w, i in zip(weights, at, strict=True))
  return x


def corrupt(x: Array, key: Array, corruption: Corruption) -> Array:
  """A draw from C(x' | x) of x [B, H, W, C] in [0, 1]."""
  kind, amount = corruption.kind, corruption.amount
  if kind == "none":
    return x
  if kind == "gaussian":
    return x + amount * jax.random.normal(key, x.shape, x.dtype)
  if kind == "blur":
    return blur(x, amount)
  u = jax.random.uniform(key, (*x.shape[:-1], 1), x.dtype)
  if kind == "masking":
    return jnp.where(u < amount, 0, x)
  return jnp.where(u < amount / 2, 0, jnp.where(u < amount, 1, x))


@builder
def build(
  spec: Spec,
  *,
  corruption: Corruption = Corruption(),
  denoising: bool = True,
  perceptual: Perceptual = Perceptual(),
  latent: Count = 30,
  widths: tuple[Count, ...] = (),
  hidden: tuple[Count, ...] = (1000, 500, 250),
  activation: Activation = "relu",
  dtype: Dtype = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
) -> Program:
  """Autoencoder of images [H, W, C], with codes [B, latent].

  The defaults are the 784-1000-500-250-30 network of Hinton & Salakhutdinov 2006 (rectified
  instead of logistic, and trained at once instead of layer by layer).

  `evaluate` gives squared_error, summed over an image; with a corruption also
  squared_error_corrupted, of what is restored from corrupted images, and identity_squared_error, of
  leaving those as they are. `transform` restores images as they are given, of which `observe` makes
  corrupted ones where it learns from them; both, and `decode`, are real-valued, in grey levels.
  With a perceptual loss, also feature_error (and style_error), of restored x in the features that
  it learns from.

  Args:
    spec: of the data.
    corruption: see there.
    denoising: learn from corrupted images; if False, they only appear in `evaluate`, which makes
      the plain autoencoder comparable.
    perceptual: a loss in features in place of the squared error; see there.
    latent: number of code units, which are linear.
    widths, hidden, activation: of the encoder, convolutional where there are widths; the decoder
      mirrors it.
    dtype: of the networks' computation.
    optimizer: see there.

  Raises:
    UserError: if the data are not images with grey levels, or an option is out of range.
  """
  check(spec, corruption)
  real = jnp.promote_types(dtype, jnp.float32)
  scaled = scaling(spec, real)
  encoder, decoder = coders(
    spec.shape, latent, widths=widths, hidden=hidden, activation=activation, dtype=jnp.dtype(dtype)
  )

  corrupted = denoising and corruption.kind != "none"
  learnt = "squared_error_corrupted" if corrupted else "squared_error"
  net = extractor(spec, perceptual, dtype) if perceptual.features != "none" else None

  def init(key, batch):
    e_key, d_key, phi_key = jax.random.split(key, 3)
    x = scaled(batch["x"][:1])
    params = {
      "encoder": encoder.init(e_key, x)["params"],
      "decoder": decoder.init(d_key, jnp.zeros((1, latent), real))["params"],
    }
    return {"ae": params}, {"ae": {} if net is None else {"phi": net.init(phi_key, x)}}

  def code_of(params, x):
    return encoder.apply({"params": params["encoder"]}, x)

  def image_of(params, z):
    return decoder.apply({"params": params["decoder"]}, z)

  def restore(params, x):
    return image_of(params, code_of(params, x))

  def loss(params, mutable, batch, key, step):
    del step
    x = scaled(batch["x"])
    seen = corrupt(x, key, corruption) if corrupted else x
    restored, kept = restore(params["ae"], seen), mutable["ae"]
    error = sum_dims((x - restored) ** 2)
    if net is None:
      return error, (kept, {learnt: error})
    terms = net.terms(kept["phi"], restored, x)
    value = perceptual.pixels * error + perceptual.feature * terms["feature_error"]
    value = value + perceptual.style * terms.get("style_error", 0)
    return value, (kept, {learnt: error, **terms})

  def damage(x, keys):
    """x [B, ...] in [0, 1], corrupted with a key for each example."""
    return jax.vmap(lambda x, key: corrupt(x[None], key, corruption)[0])(x, keys)

  def evaluate(state, batch, keys):
    """Squared errors summed over an image, pixels in [0, 1]."""
    params, x = averaged(state, "ae"), scaled(batch["x"])
    restored = restore(params, x)
    terms = {"squared_error": sum_dims((x - restored) ** 2)}
    if net is not None:
      terms |= net.terms(state["mutable"]["ae"]["phi"], restored, x)
    if corruption.kind != "none":
      damaged = damage(x, keys)
      terms["squared_error_corrupted"] = sum_dims((x - restore(params, damaged)) ** 2)
      terms["identity_squared_error"] = sum_dims((x - damaged) ** 2)
    return terms

  def observe(state, x, keys, cond=None):
    """x corrupted, in grey levels, real-valued and not clipped."""
    return (spec.levels - 1) * damage(scaled(x), keys)

  model = game(
    {"ae": Player(minimise("ae", loss, optimizer.accumulate), optimizer.make())},
    init,
    evaluate=evaluate,
    encode=lambda state, x, keys=None, cond=None: code_of(averaged(state, "ae"), scaled(x)),
    decode=lambda state, z, cond=None: in_levels(image_of(averaged(state, "ae"), z), spec),
    transform=lambda state, x, keys=None, cond=None: in_levels(
      restore(averaged(state, "ae"), scaled(x)), spec
    ),
    observe=observe if corrupted else None,
  )
  return program(model, net, "ae")


def check(spec: Spec, corruption: Corruption) -> None:
  """Refuses data that are no images, and an amount that does not fit its kind of corruption."""
  require_images(spec, "ae")
  kind, amount = corruption.kind, corruption.amount
  if kind != "none" and amount == 0:
    raise UserError(f"model.corruption.amount of {kind} must be positive, not {amount}")
  if kind in ("masking", "salt_and_pepper") and amount > 1:
    raise UserError(f"model.corruption.amount of {kind} must be in (0, 1], not {amount}")
