"""Variational autoencoders: one model, several bounds.

  prior      p(z) = N(0, I)
  posterior  q(z | x) = N(mu(x), diag sigma(x)^2),  z = mu + sigma eps,  eps ~ N(0, I)
  elbo       E_q log p(x | z) - KL(q(z | x) || p(z))                (Kingma & Welling 2014, eq. 3)
  iwae       E log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x)         (Burda et al. 2016, eq. 8)
  beta       E_q log p(x | z) - beta KL                             (Higgins et al. 2017, eq. 4)
  capacity   E_q log p(x | z) - gamma |KL - C|, C raised from 0     (Burgess et al. 2018, eq. 8)
             or, as disentanglement_lib has it, - gamma |mean KL - C| (Locatello et al. 2019)
  condition  q(z | x, c) and p(x | z, c), with the same p(z)        (Sohn et al. 2015)

VAE, IWAE, beta-VAE and conditional VAE differ in which of these is learnt, and in nothing else.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from gen_jax.core import Array, Program, Spec, UserError, fold_all, quantize, single
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.elbo import (
  annealed,
  batch_capacity_elbo,
  capacity_elbo,
  elbo,
  importance_weighted,
)
from gen_jax.models.common import in_levels, one_hot, require_labels, scaling
from gen_jax.models.variational import (
  OBSERVATIONS,
  Terms,
  code,
  importance_bound,
  networks,
  noise,
  terms_of,
)
from gen_jax.nets.conv import coders
from gen_jax.nets.mlp import Activation
from gen_jax.schema import Count, Dtype, Natural, NonNegative, Positive, builder


@dataclasses.dataclass(frozen=True)
class Capacity:
  """The nats that a code is held to while it is learnt, raised in a straight line.

  nats: C in the end; 0 for the ordinary bound without a capacity.
  steps: of the rise.
  gamma: weight of |KL - C|.
  kl: of each example, E|KL - C|, as the objective is written in Burgess et al. 2018 (eq. 8); or the
    batch's mean, |E KL - C|, as in the code of disentanglement_lib (Locatello et al. 2019), where
    examples may differ in what they take as long as their mean is C.
  """

  nats: NonNegative = 0.0
  steps: Count = 100_000
  gamma: NonNegative = 1000.0
  kl: Literal["example", "batch"] = "example"


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  pixels: draw them from p(x | z), or take its mean, the usual picture.
  temperature: standard deviation of the prior that z is drawn from; 1 is the model's own.
  """

  pixels: Literal["draw", "mean"] = "draw"
  temperature: NonNegative = 1.0


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How log p(x) is estimated.

  importance_samples: k of `nll_k`, minus IWAE_k, an upper bound on -log p(x) that falls with k;
    0 for none.
  chunk: how many of them are in memory at once, for a batch.
  """

  importance_samples: Natural = 0
  chunk: Count = 50


def objective(
  t: Terms, step: Array, bound: str = "elbo", beta: float = 1.0, capacity: Capacity = Capacity(),
  mask: Array | None = None,
) -> Array:  # fmt: skip
  """What is maximised, [B] nats: the bound of that name, or its relative with beta or capacity.

  mask: [B], the examples whose mean KL a capacity of the batch is of.
  """
  if bound == "iwae":
    return importance_weighted(t.log_w)
  log_px = t.log_px.mean(axis=0)
  if capacity.nats:
    limit = annealed(step, capacity.nats, capacity.steps)
    if capacity.kl == "batch":
      return batch_capacity_elbo(log_px, t.kl, capacity.gamma, limit, mask)
    return capacity_elbo(log_px, t.kl, capacity.gamma, limit)
  return elbo(log_px, t.kl, beta)


@builder
def build(
  spec: Spec,
  *,
  bound: Literal["elbo", "iwae"] = "elbo",
  samples: Count = 1,
  kl: Literal["analytic", "monte_carlo"] = "analytic",
  beta: NonNegative = 1.0,
  capacity: Capacity = Capacity(),
  conditional: bool = False,
  observation: Literal[*OBSERVATIONS] = "bernoulli",
  scale: Positive = 0.1,
  learn_scale: bool = False,
  binarize: Literal["", "fresh"] = "",
  latent: Count = 20,
  widths: tuple[Count, ...] = (),
  hidden: tuple[Count, ...] = (500,),
  activation: Activation = "relu",
  dtype: Dtype = "float32",
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
  check(spec, bound, beta, capacity, conditional, observation, binarize, optimizer)
  real = jnp.promote_types(dtype, jnp.float32)
  scaled, condition = scaling(spec, real), one_hot(spec, conditional, real)
  observed = OBSERVATIONS[observation]
  modules = coders(
    spec.shape, 2 * latent, widths=widths, hidden=hidden, activation=activation,
    dtype=jnp.dtype(dtype),
  )  # fmt: skip
  nets = networks(*modules, latent, scale, learn_scale, real)
  terms = terms_of(nets, observed, spec.levels, kl == "analytic")
  weighted = {samples} if bound == "iwae" else set()
  if likelihood.importance_samples:
    weighted.add(likelihood.importance_samples)

  def init(key, batch):
    first = jax.tree.map(lambda leaf: leaf[:1], batch)
    return {"vae": nets.init(key, scaled(first["x"]), condition(first))}, {"vae": {}}

  def loss(params, mutable, batch, key, step):
    x_key, z_key = jax.random.split(key)
    x, c, mask = scaled(batch["x"]), condition(batch), batch.get("mask")
    if binarize:
      x = jax.random.bernoulli(x_key, x).astype(real)
    t = terms(params["vae"], x, c, jax.random.normal(z_key, (samples, len(x), latent), real))
    return -objective(t, step, bound, beta, capacity, mask), (mutable["vae"], t.named())

  def seen(x, keys):
    """x as the model sees it, in [0, 1]; binarised with keys [B], where it is and there are any."""
    x = scaled(x)
    if not binarize or keys is None:
      return x
    return jax.vmap(jax.random.bernoulli)(fold_all(keys, 0), x).astype(real)

  def codes(keys, count):
    """Noise [count, B, Z] of count codes for each example; more codes begin with the same ones."""
    return noise(keys, jnp.arange(count), latent, real)

  def nll(params, x, c, keys, k):
    """-IWAE_k of x [B, ...] -> [B]."""
    log_w = lambda i: terms(params, x, c, noise(keys, i, latent, real)).log_w
    return -importance_bound(log_w, len(x), k, likelihood.chunk, real)

  def evaluate(state, batch, keys):
    """negative_elbo, kl, reconstruction and nll_k, in nats."""
    params, c = averaged(state, "vae"), condition(batch)
    x, z_keys = seen(batch["x"], keys), fold_all(keys, 1)
    out = terms(params, x, c, codes(z_keys, samples)).named()
    return out | {f"nll_{k}": nll(params, x, c, z_keys, k) for k in sorted(weighted)}

  def log_prob(state, x, keys, cond=None):
    """A lower bound on log p(x | cond) in nats [B]: IWAE_k, k being likelihood.importance_samples
    or else that of the training; without either, the ELBO."""
    params, c = averaged(state, "vae"), condition(cond)
    x, z_keys = seen(x, keys), fold_all(keys, 1)
    if weighted:
      return -nll(params, x, c, z_keys, likelihood.importance_samples or samples)
    return -terms(params, x, c, codes(z_keys, samples)).named()["negative_elbo"]

  def encode(state, x, keys=None, cond=None):
    """A draw from q(z | x) [B, Z]; its mean where keys is None (x then is not binarised)."""
    mean, log_var = nets.posterior(averaged(state, "vae"), seen(x, keys), condition(cond))
    return mean if keys is None else code(mean, log_var, codes(fold_all(keys, 1), 1)[0])

  def decode(state, z, cond=None):
    """The mean of p(x | z), in grey levels (or the data's own units), real-valued."""
    output = nets.output(averaged(state, "vae"), z, condition(cond))
    return in_levels(observed.mean(output), spec)

  def prior(state, keys, cond=None):
    del state, cond
    return sample.temperature * codes(fold_all(keys, 0), 1)[0]

  def draw(state, keys, cond=None):
    params = averaged(state, "vae")
    output = nets.output(params, prior(state, keys), condition(cond))
    if sample.pixels == "mean":
      x = observed.mean(output)
    else:
      x_of = lambda key, row: observed.draw(key, row, nets.scale(params))
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


def check(spec, bound, beta, capacity, conditional, observation, binarize, optimizer):
  """Refuses options that contradict each other, and those that the data cannot serve."""
  check_capacity(capacity, beta, optimizer)
  if observation != "gaussian" and spec.levels is None:
    raise UserError(f"model.observation={observation} is of grey levels, and these data have none")
  if binarize and observation != "bernoulli":
    raise UserError(f"model.binarize={binarize} needs model.observation=bernoulli")
  if conditional:
    require_labels(spec)
  if bound == "iwae" and (beta != 1 or capacity.nats):
    raise UserError("model.beta and model.capacity are of model.bound=elbo, not of iwae")


def check_capacity(capacity: Capacity, beta: float, optimizer: Optimizer) -> None:
  """Refuses a capacity beside what it takes the place of, or of a batch that is seen in parts."""
  if capacity.nats and beta != 1:
    raise UserError("model.capacity takes the place of model.beta: leave that 1")
  if capacity.nats and capacity.kl == "batch" and optimizer.accumulate > 1:
    raise UserError(
      f"model.capacity.kl=batch is of the whole batch's mean, which optimizer.accumulate="
      f"{optimizer.accumulate} parts do not have: leave that 1, or take model.capacity.kl=example"
    )
