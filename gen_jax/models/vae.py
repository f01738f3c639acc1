"""Variational autoencoders: one model, several bounds.

  prior      p(z) = N(0, I)
  posterior  q(z | x) = N(mu(x), diag sigma(x)^2),  z = mu + sigma eps,  eps ~ N(0, I)
  elbo       E_q log p(x | z) - KL(q(z | x) || p(z))                (Kingma & Welling 2014, eq. 3)
  iwae       E log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x)         (Burda et al. 2016, eq. 8)
  beta       E_q log p(x | z) - beta KL                             (Higgins et al. 2017, eq. 4)
  capacity   E_q log p(x | z) - gamma |KL - C|, C raised from 0     (Burgess et al. 2018, eq. 8)
  condition  q(z | x, c) and p(x | z, c), with the same p(z)        (Sohn et al. 2015)

VAE, IWAE, beta-VAE and conditional VAE differ in which of these is learnt, and in nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array, Program, Spec, UserError, fold_all, quantize, single, unit
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import likelihoods
from gen_jax.losses.elbo import annealed, capacity_elbo, elbo, importance_weighted
from gen_jax.losses.kl import monte_carlo_kl, standard_kl
from gen_jax.nets.conv import coders
from gen_jax.nets.mlp import Activation


@dataclasses.dataclass(frozen=True)
class Capacity:
  """The nats that a code is held to while it is learnt, raised in a straight line.

  nats: C in the end; 0 for the ordinary bound without a capacity.
  steps: of the rise.
  gamma: weight of |KL - C|.
  """

  nats: float = 0.0
  steps: int = 100_000
  gamma: float = 1000.0


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  pixels: draw them from p(x | z), or take its mean, the usual picture.
  temperature: standard deviation of the prior that z is drawn from; 1 is the model's own.
  """

  pixels: Literal["draw", "mean"] = "draw"
  temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How log p(x) is estimated.

  importance_samples: k of `nll_k`, minus IWAE_k, an upper bound on -log p(x) that falls with k;
    0 for none.
  chunk: how many of them are in memory at once, for a batch.
  """

  importance_samples: int = 0
  chunk: int = 50


class Observation(NamedTuple):
  """p(x | z), given the decoder's output [..., B, ...]; pixels are in [0, 1].

  log_prob: (x [B, ...], output, scale) -> [..., B] nats.
  mean: output -> the mean of x.
  draw: (key, output, scale) -> x.
  """

  log_prob: Callable[[Array, Array, Array], Array]
  mean: Callable[[Array], Array]
  draw: Callable[[Array, Array, Array], Array]


def observation_of(name: str, levels: int | None) -> Observation:
  """The observation model of that name."""
  if name == "bernoulli":
    return Observation(
      lambda x, logits, _: likelihoods.bernoulli(x, logits),
      jax.nn.sigmoid,
      lambda key, logits, _: jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype),
    )
  if name == "gaussian":
    return Observation(
      likelihoods.gaussian,
      lambda mean: mean,
      lambda key, mean, sigma: mean + sigma * jax.random.normal(key, mean.shape, mean.dtype),
    )
  return Observation(
    lambda x, mean, scale: likelihoods.discretized_logistic(x, mean, scale, levels),
    lambda mean: mean,
    lambda key, mean, scale: mean + scale * jax.random.logistic(key, mean.shape, mean.dtype),
  )


class Terms(NamedTuple):
  """Of B examples, with L codes each: log p(x | z) [L, B], KL(q || p) [B], log weights [L, B]."""

  log_px: Array
  kl: Array
  log_w: Array

  def named(self) -> dict[str, Array]:
    """The ELBO and its parts, [B] nats, by their textbook names."""
    log_px = self.log_px.mean(axis=0)
    return {
      "negative_elbo": -elbo(log_px, self.kl), "kl": self.kl, "reconstruction": -log_px,
    }  # fmt: skip


def build(
  spec: Spec,
  *,
  bound: Literal["elbo", "iwae"] = "elbo",
  samples: int = 1,
  kl: Literal["analytic", "monte_carlo"] = "analytic",
  beta: float = 1.0,
  capacity: Capacity = Capacity(),
  conditional: bool = False,
  observation: Literal["bernoulli", "gaussian", "logistic"] = "bernoulli",
  scale: float = 0.1,
  learn_scale: bool = False,
  binarize: Literal["", "fresh"] = "",
  latent: int = 20,
  widths: tuple[int, ...] = (),
  hidden: tuple[int, ...] = (500,),
  activation: Activation = "relu",
  dtype: Literal["float32", "bfloat16", "float64"] = "float32",
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """Variational autoencoder of images [H, W, C] or vectors [D], with codes z [B, latent].

  The defaults are the VAE of Flax's example: 784-500-20 on binarised MNIST.

  `evaluate` gives, in nats, negative_elbo, kl and reconstruction (-E_q log p(x | z)), the ELBO
  being the plain one whatever is learnt; nll_k for the k that an IWAE is trained with; and nll_k
  for likelihood.importance_samples. `encode` gives the posterior's mean where keys is None, and a
  draw for keys. `decode` gives the mean of p(x | z), real-valued, in grey levels.

  Args:
    spec: of the data.
    bound: what is learnt: the ELBO, or IWAE_k with k = samples.
    samples: codes z drawn for each example, L or k.
    kl: in closed form, or estimated from the same codes.
    beta: weight of the KL in the ELBO.
    capacity: see there; takes the place of beta.
    conditional: condition encoder and decoder on the label.
    observation: p(x | z). bernoulli is a likelihood of binary pixels; grey ones, unless binarised,
      are taken for the mean of many. gaussian is a density of pixels in [0, 1] (or of real data in
      their own units), not comparable with the other two; logistic is that of the grey levels.
    scale: sigma of gaussian, s of logistic, in units of [0, 1].
    learn_scale: learn one scale for all pixels, from `scale` on (Rybkin et al. 2021).
    binarize: fresh makes each pixel 1 with the probability of its intensity, anew each time an
      example is seen.
    latent: Z.
    widths, hidden, activation: of the encoder, convolutional where there are widths; the decoder
      mirrors it.
    dtype: of the networks' computation.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data lack grey levels or labels that are asked for, or options contradict
      each other or are out of range.
  """
  check(spec, bound, samples, beta, capacity, conditional, observation, scale, binarize, latent)
  check_options(sample, likelihood)
  real = jnp.promote_types(dtype, jnp.float32)
  encoder, decoder = coders(
    spec.shape, 2 * latent, widths=widths, hidden=hidden, activation=activation,
    dtype=jnp.dtype(dtype),
  )  # fmt: skip
  observed = observation_of(observation, spec.levels)
  weighted = {samples} if bound == "iwae" else set()
  if likelihood.importance_samples:
    weighted.add(likelihood.importance_samples)

  def scaled(x):
    chex.assert_shape(x, (None, *spec.shape))
    return x.astype(real) if spec.levels is None else unit(x, spec.levels, real)

  def condition(cond):
    return jax.nn.one_hot(cond["label"], spec.classes, dtype=real) if conditional else None

  def init(key, batch):
    e_key, d_key = jax.random.split(key)
    x, c = scaled(batch["x"][:1]), condition(jax.tree.map(lambda leaf: leaf[:1], batch))
    params = {
      "encoder": encoder.init(e_key, x, c)["params"],
      "decoder": decoder.init(d_key, jnp.zeros((1, latent), real), c)["params"],
    }
    if learn_scale:
      params["log_scale"] = jnp.log(jnp.asarray(scale, real))
    return {"vae": params}, {"vae": {}}

  def scale_of(params):
    return jnp.exp(params["log_scale"]) if learn_scale else jnp.asarray(scale, real)

  def posterior(params, x, c):
    """mu and log sigma^2 [B, Z] of q(z | x)."""
    return jnp.split(encoder.apply({"params": params["encoder"]}, x, c), 2, axis=-1)

  def output_of(params, z, c):
    return decoder.apply({"params": params["decoder"]}, z, c)

  def terms(params, x, c, eps):
    """Terms of x [B, ...] with the noise eps [L, B, Z] of its codes."""
    mu, log_var = posterior(params, x, c)
    z = mu + jnp.exp(0.5 * log_var) * eps
    log_px = observed.log_prob(x, output_of(params, z, c), scale_of(params))
    log_ratio = monte_carlo_kl(z, mu, log_var)
    divergence = standard_kl(mu, log_var) if kl == "analytic" else log_ratio.mean(axis=0)
    return Terms(log_px, divergence, log_px - log_ratio)

  def loss(params, mutable, batch, key, step):
    x_key, z_key = jax.random.split(key)
    x, c = scaled(batch["x"]), condition(batch)
    if binarize:
      x = jax.random.bernoulli(x_key, x).astype(real)
    eps = jax.random.normal(z_key, (samples, len(x), latent), real)
    t = terms(params["vae"], x, c, eps)
    if bound == "iwae":
      objective = importance_weighted(t.log_w)
    elif capacity.nats:
      limit = annealed(step, capacity.nats, capacity.steps)
      objective = capacity_elbo(t.log_px.mean(axis=0), t.kl, capacity.gamma, limit)
    else:
      objective = elbo(t.log_px.mean(axis=0), t.kl, beta)
    return -objective, (mutable["vae"], t.named())

  def seen(x, keys):
    """x as the model sees it, in [0, 1]; binarised with keys [B], where it is and there are any."""
    x = scaled(x)
    if not binarize or keys is None:
      return x
    return jax.vmap(jax.random.bernoulli)(fold_all(keys, 0), x).astype(real)

  def noise(keys, count):
    """Noise [count, B, Z] of count codes for each example; more codes begin with the same ones."""
    draw = lambda key, i: jax.random.normal(jax.random.fold_in(key, i), (latent,), real)
    return jax.vmap(jax.vmap(draw, (0, None)), (None, 0))(keys, count)

  def importance_bound(params, x, c, keys, k):
    """IWAE_k of x [B, ...] -> [B], a chunk of the k codes at a time."""

    def add(total, first):
      i = first + jnp.arange(min(k, likelihood.chunk))
      log_w = terms(params, x, c, noise(keys, i)).log_w
      log_w = jnp.where((i < k)[:, None], log_w, -jnp.inf)
      return jnp.logaddexp(total, jax.nn.logsumexp(log_w, axis=0)), None

    nothing = jnp.full(len(x), -jnp.inf, real)
    total, _ = lax.scan(add, nothing, jnp.arange(0, k, likelihood.chunk))
    return total - jnp.log(k)

  def evaluate(state, batch, keys):
    """negative_elbo, kl, reconstruction and nll_k, in nats."""
    params, c = averaged(state, "vae"), condition(batch)
    x, z_keys = seen(batch["x"], keys), fold_all(keys, 1)
    out = terms(params, x, c, noise(z_keys, jnp.arange(samples))).named()
    for k in sorted(weighted):
      out[f"nll_{k}"] = -importance_bound(params, x, c, z_keys, k)
    return out

  def log_prob(state, x, keys, cond=None):
    """A lower bound on log p(x | cond) in nats [B]: IWAE_k, k being likelihood.importance_samples
    or else that of the training; without either, the ELBO."""
    params, c = averaged(state, "vae"), condition(cond)
    x, z_keys = seen(x, keys), fold_all(keys, 1)
    if weighted:
      k = likelihood.importance_samples or samples
      return importance_bound(params, x, c, z_keys, k)
    return -terms(params, x, c, noise(z_keys, jnp.arange(samples))).named()["negative_elbo"]

  def encode(state, x, keys=None, cond=None):
    """A draw from q(z | x) [B, Z]; its mean where keys is None (x then is not binarised)."""
    mu, log_var = posterior(averaged(state, "vae"), seen(x, keys), condition(cond))
    if keys is None:
      return mu
    return mu + jnp.exp(0.5 * log_var) * noise(fold_all(keys, 1), jnp.arange(1))[0]

  def decode(state, z, cond=None):
    """The mean of p(x | z), in grey levels (or the data's own units), real-valued."""
    x = observed.mean(output_of(averaged(state, "vae"), z, condition(cond)))
    return x if spec.levels is None else (spec.levels - 1) * jnp.clip(x, 0, 1)

  def prior(state, keys, cond=None):
    del state, cond
    return sample.temperature * noise(fold_all(keys, 0), jnp.arange(1))[0]

  def draw(state, keys, cond=None):
    params, z = averaged(state, "vae"), prior(state, keys)
    output = output_of(params, z, condition(cond))
    if sample.pixels == "mean":
      x = observed.mean(output)
    else:
      x_of = lambda key, row: observed.draw(key, row, scale_of(params))
      x = jax.vmap(x_of)(fold_all(keys, 1), output)
    return x if spec.levels is None else quantize(2 * x - 1, spec.levels)

  model = game(
    {"vae": Player(minimise("vae", loss, optimizer.accumulate), optimizer.make())},
    init,
    evaluate=evaluate,
    prior=prior,
    decode=decode,
    encode=encode,
    sample=draw,
    log_prob=log_prob,
    cond=("label",) if conditional else (),
  )
  return single(model)


def check(
  spec, bound, samples, beta, capacity, conditional, observation, scale, binarize, latent
):  # fmt: skip
  """Refuses what the builder cannot serve, in one line."""
  if observation != "gaussian" and spec.levels is None:
    raise UserError(f"model.observation={observation} is of grey levels, and these data have none")
  if binarize and observation != "bernoulli":
    raise UserError(f"model.binarize={binarize} needs model.observation=bernoulli")
  if conditional and spec.classes < 1:
    raise UserError("model.conditional=True needs labels, and these data have none: set it False")
  if bound == "iwae" and (beta != 1 or capacity.nats):
    raise UserError("model.beta and model.capacity are of model.bound=elbo, not of iwae")
  if capacity.nats and beta != 1:
    raise UserError("model.capacity takes the place of model.beta: leave that 1")
  for name, value in (("samples", samples), ("latent", latent), ("capacity.steps", capacity.steps)):
    if value < 1:
      raise UserError(f"model.{name} must be 1 or more, not {value}")
  for name, value in (("beta", beta), ("capacity.nats", capacity.nats)):
    if value < 0:
      raise UserError(f"model.{name} must be 0 or more, not {value}")
  if scale <= 0:
    raise UserError(f"model.scale must be positive, not {scale}")


def check_options(sample: Sampler, likelihood: Likelihood) -> None:
  """Refuses sampling and likelihood options that are out of range."""
  if sample.temperature < 0:
    raise UserError(f"sample.temperature must be 0 or more, not {sample.temperature}")
  if likelihood.importance_samples < 0:
    raise UserError(
      f"likelihood.importance_samples must be 0 or more, not {likelihood.importance_samples}"
    )
  if likelihood.chunk < 1:
    raise UserError(f"likelihood.chunk must be 1 or more, not {likelihood.chunk}")
