"""RealNVP: density estimation with affine couplings (Dinh et al. 2017, arXiv:1605.08803).

  density   log p(x) = log N(f(x); 0, I) + log |det df/dx|                                (eq. 2)
  sample    x = f^-1(z),  z ~ N(0, I)
  integers  log P(x) >= E_u log p(x + u),  u ~ U[0, 1)^D; f begins with a logit     (section 4.1)

f is a chain of affine couplings, each behind an ActNorm (Kingma & Dhariwal 2018) where the paper
has batch normalisation. For vectors the masks take every other entry; for images a scale is
couplings with checkerboard masks, a squeeze, couplings with channel masks, and half of the channels
factored out to the prior (section 3.6). As options, labels as a condition of every coupling, and
noise that is learnt (variational dequantisation, Ho et al. 2019, arXiv:1902.00275, section 3.1).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp

from gen_jax.core import Program, Spec, UserError, centre, count_dims, fold_all, fold_each, single
from gen_jax.flows.actnorm import actnorm
from gen_jax.flows.bijection import Bijection, chain, flatten, repeat, split, squeeze
from gen_jax.flows.coupling import affine_coupling, alternating, channels, checkerboard
from gen_jax.flows.dequantize import integers, logit, noise
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import likelihoods
from gen_jax.nets.coupling import Conditioner
from gen_jax.nets.mlp import Activation, activation_of


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  temperature: standard deviation of the prior that z is drawn from; 1 is the model's own.
  """

  temperature: float = 1.0


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How log P of integers is bounded.

  importance_samples: k of log 1/k sum_i p(x + u_i) / q(u_i | x), which rises to log P(x) with k.
    Real-valued data have an exact density and no use for it.
  """

  importance_samples: int = 1


Step = Callable[..., Bijection]  # (mask, channels) -> one coupling


def vector_flow(size: int, step: Step, couplings: int) -> Bijection:
  """[B, D] -> [B, D]: couplings by turns on the odd and on the even entries."""
  masks = [alternating((size,), parity) for parity in (0, 1)]
  return repeat(chain(*(step(mask, size) for mask in masks)), couplings // 2)


def image_flow(shape: tuple[int, ...], step: Step, couplings: int, scales: int) -> Bijection:
  """[B, H, W, C] -> [B, D]: the scales of section 3.6, the last of checkerboards only."""
  h, w, c = shape
  last = scales == 1
  spatial = [step(checkerboard(shape, i % 2), c) for i in range(couplings + last)]
  if last:
    return chain(*spatial, flatten(shape))
  small = (h // 2, w // 2, 4 * c)
  deep = [step(channels(small, i % 2), 4 * c) for i in range(couplings)]
  rest = image_flow((h // 2, w // 2, 2 * c), step, couplings, scales - 1)
  return chain(*spatial, squeeze(), *deep, split(rest, small))


def build(
  spec: Spec,
  *,
  couplings: int = 4,
  scales: int = 1,
  width: int = 64,
  blocks: int = 1,
  activation: Activation = "relu",
  alpha: float = 0.05,
  dequantization: Literal["uniform", "variational"] = "uniform",
  conditional: bool = False,
  dtype: Literal["float32", "bfloat16", "float64"] = "float32",
  ema: float = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """RealNVP of vectors [D] or images [H, W, C], real-valued or with integer levels.

  Args:
    spec: of the data.
    couplings: of a vector flow; of each kind of mask at each scale of an image flow, whose last
      scale has one more.
    scales: of an image flow; each but the first halves height and width.
    width, blocks, activation: of the `Conditioner` of each coupling.
    alpha: of the logit that integers go through.
    dequantization: the noise that makes integers real.
    conditional: condition on the label.
    dtype: of the conditioners' computation; the flow itself is float32 or wider.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if the data are of another shape, H or W cannot be halved often enough, labels are
      asked for that the data lack, or an option is out of range.
  """
  check(spec, couplings, scales, width, blocks, alpha, dequantization, conditional)
  check_options(spec, sample, likelihood)
  real = jnp.promote_types(dtype, jnp.float32)
  size = count_dims(spec)

  def coupling(mask, features):
    how = {"activation": activation_of(activation), "dtype": jnp.dtype(dtype)}
    return affine_coupling(mask, Conditioner(2 * features, width, blocks, **how))

  def step(mask, features):
    return chain(actnorm(), coupling(mask, features))

  if len(spec.shape) == 1:
    flow = vector_flow(size, step, couplings)
  else:
    flow = image_flow(spec.shape, step, couplings, scales)
  if spec.levels is not None:
    flow = chain(logit(spec.levels, alpha), flow)
  learnt_noise = dequantization == "variational"
  if learnt_noise:
    board = [checkerboard(spec.shape, i % 2) for i in range(4)]
    dequantizer = noise(chain(*(coupling(mask, spec.shape[-1]) for mask in board)))

  def condition(cond):
    if not conditional:
      return None
    return jax.nn.one_hot(cond["label"], spec.classes, dtype=real)

  def normal(keys, shape):
    return jax.vmap(lambda key: jax.random.normal(key, shape, real))(keys)

  def log_normal(z):
    return likelihoods.gaussian(z, jnp.zeros_like(z), 1.0)

  def dequantize(params, x, keys):
    """Real v [B, ...] in the cells of x, and log q(v - x | x) [B]; x itself where it is real."""
    chex.assert_shape(x, (None, *spec.shape))
    none = jnp.zeros(len(x), real)
    if spec.levels is None:
      return x.astype(real), none
    if not learnt_noise:
      return x + jax.vmap(lambda key: jax.random.uniform(key, spec.shape, real))(keys), none
    eps = normal(keys, spec.shape)
    u, log_det = dequantizer.forward(params["noise"], eps, centre(x, spec.levels, real))
    return x + u, log_normal(eps) - log_det

  def log_density(params, x, keys, cond):
    """log p(x) [B] nats of real data; one draw of its lower bound for integers."""
    v, log_q = dequantize(params, x, keys)
    z, log_det = flow.forward(params["flow"], v, condition(cond))
    return log_normal(z) + log_det - log_q

  def init(key, batch):
    flow_key, noise_key, draw_key = jax.random.split(key, 3)
    x, mask, params = batch["x"], batch.get("mask"), {}
    keys = fold_each(draw_key, jnp.arange(len(x)))
    if learnt_noise:
      chex.assert_shape(x, (None, *spec.shape))
      eps, seen = normal(keys, spec.shape), centre(x, spec.levels, real)
      params["noise"], u = dequantizer.init(noise_key, eps, mask, seen)
      v = x + u
    else:
      v, _ = dequantize({}, x, keys)
    params["flow"], _ = flow.init(flow_key, v, mask, condition(batch))
    return {"flow": params}, {"flow": {}}

  def nll(params, mutable, batch, key, step):
    del step
    keys = fold_each(key, jnp.arange(len(batch["x"])))
    value = -log_density(params["flow"], batch["x"], keys, batch)
    return value, (mutable["flow"], {"nll": value})

  def log_prob(state, x, keys, cond=None):
    """log p(x | cond) in nats [B]: exact for real data, which ignore the keys.

    For integers a lower bound on the discrete log P, from `importance_samples` draws of the noise.
    """
    params, k = averaged(state, "flow"), likelihood.importance_samples
    if spec.levels is None:
      return log_density(params, x, keys, cond)
    draw = lambda i: log_density(params, x, fold_all(keys, i), cond)
    return logsumexp(lax.map(draw, jnp.arange(k)), axis=0) - jnp.log(k).astype(real)

  def evaluate(state, batch, keys):
    """nll in nats, bits_per_dim of integers, and inverse_error, max |v - f^-1(f(v))|, in the units
    of the data."""
    x, params = batch["x"], averaged(state, "flow")
    value = -log_prob(state, x, keys, batch)
    v, _ = dequantize(params, x, fold_all(keys, likelihood.importance_samples))
    z, _ = flow.forward(params["flow"], v, condition(batch))
    back, _ = flow.inverse(params["flow"], z, condition(batch))
    terms = {"nll": value}
    if spec.levels is not None:
      terms["bits_per_dim"] = value / (size * jnp.log(2.0))
    return terms | {"inverse_error": jnp.abs(v - back).reshape(len(x), -1).max(axis=1)}

  def prior(state, keys, cond=None):
    """z [n, D]."""
    del state, cond
    return sample.temperature * normal(fold_all(keys, 0), (size,))

  def decode(state, code, cond=None):
    """f^-1(z); of integers, the cell it lies in."""
    v, _ = flow.inverse(averaged(state, "flow")["flow"], code.astype(real), condition(cond))
    return v.astype(jnp.float32) if spec.levels is None else integers(v, spec.levels)

  def encode(state, x, keys, cond=None):
    """z = f(x) [B, D], of integers with the noise that the keys give."""
    params = averaged(state, "flow")
    v, _ = dequantize(params, x, keys if spec.levels is None else fold_all(keys, 0))
    return flow.forward(params["flow"], v, condition(cond))[0]

  model = game(
    {"flow": Player(minimise("flow", nll, optimizer.accumulate), optimizer.make())},
    init,
    ema={"flow": ema} if ema else {},
    evaluate=evaluate,
    prior=prior,
    decode=decode,
    encode=encode,
    sample=lambda state, keys, cond=None: decode(state, prior(state, keys, cond), cond),
    log_prob=log_prob,
    cond=("label",) if conditional else (),
  )
  return single(model)


def check(spec, couplings, scales, width, blocks, alpha, dequantization, conditional):
  """Refuses what the builder cannot serve, in one line."""
  rank = len(spec.shape)
  if rank not in (1, 3) or spec.shape == (1,):
    raise UserError(f"realnvp models vectors of 2 or more and images, not shape {spec.shape}")
  if min(couplings, scales, width, blocks + 1) < 1:
    raise UserError("model.couplings, scales and width must be 1 or more, model.blocks 0 or more")
  if rank == 1 and (couplings % 2 or scales != 1):
    raise UserError(
      "a flow of vectors has an even number of model.couplings and model.scales=1, not"
      f" {couplings} and {scales}"
    )
  if rank == 3 and any(n % 2 ** (scales - 1) for n in spec.shape[:2]):
    raise UserError(
      f"model.scales={scales} halve the image {scales - 1} times, so its height and width must be"
      f" multiples of {2 ** (scales - 1)}, not {spec.shape[0]}x{spec.shape[1]}"
    )
  if not 0 < alpha < 0.5:
    raise UserError(f"model.alpha lies between 0 and 0.5, not at {alpha}")
  if dequantization == "variational" and (spec.levels is None or rank == 1):
    raise UserError("model.dequantization=variational is for images with integer grey levels")
  if conditional and spec.classes < 1:
    raise UserError("model.conditional=True needs labels, and these data have none: set it False")


def check_options(spec: Spec, sample: Sampler, likelihood: Likelihood) -> None:
  """Refuses a sampler or a likelihood that means nothing."""
  if sample.temperature < 0:
    raise UserError(f"sample.temperature must be 0 or more, not {sample.temperature}")
  if likelihood.importance_samples < 1:
    raise UserError(
      f"likelihood.importance_samples must be 1 or more, not {likelihood.importance_samples}"
    )
  if spec.levels is None and likelihood.importance_samples > 1:
    raise UserError("likelihood.importance_samples is for integers: these data's density is exact")
