"""Normalizing flows: what those with different bijections share.

  density   log p(x) = log N(f(x); 0, I) + log |det df/dx|
                                                         (Dinh et al. 2017, arXiv:1605.08803, eq. 2)
  sample    x = f^-1(z),  z ~ N(0, I)
  integers  log P(x) >= E_q log p(x + u) - log q(u | x),  u in [0, 1)^D
                                                          (Ho et al. 2019, arXiv:1902.00275, eq. 12)

q is uniform, or a flow of its own that is learnt beside f (variational dequantisation, section 3.1
there). A flow costs a builder that makes f of `flows`, and calls `flow`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import logsumexp

from gen_jax.core import (
  Array,
  Program,
  PyTree,
  Spec,
  UserError,
  centre,
  count_dims,
  fold_all,
  fold_each,
  single,
)
from gen_jax.flows.bijection import Bijection, chain, flatten, repeat, split, squeeze
from gen_jax.flows.coupling import alternating, channels, checkerboard
from gen_jax.flows.dequantize import integers
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses import likelihoods
from gen_jax.models.common import bits_per_dim, one_hot, require_labels, require_multiples
from gen_jax.schema import Count, NonNegative


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  temperature: standard deviation of the prior that z is drawn from; 1 is the model's own.
  """

  temperature: NonNegative = 1.0


@dataclasses.dataclass(frozen=True)
class Likelihood:
  """How log P of integers is bounded.

  importance_samples: k of log 1/k sum_i p(x + u_i) / q(u_i | x), which rises to log P(x) with k.
    Real-valued data have an exact density and no use for it.
  """

  importance_samples: Count = 1


Step = Callable[..., Bijection]  # (mask, channels) -> one coupling


def vector_flow(size: int, step: Step, couplings: int) -> Bijection:
  """[B, D] -> [B, D]: couplings by turns on the odd and on the even entries."""
  masks = [alternating((size,), parity) for parity in (0, 1)]
  return repeat(chain(*(step(mask, size) for mask in masks)), couplings // 2)


def image_flow(shape: tuple[int, ...], step: Step, couplings: int, scales: int) -> Bijection:
  """[B, H, W, C] -> [B, D]: Dinh et al. 2017, section 3.6, the last scale of checkerboards only."""
  h, w, c = shape
  last = scales == 1
  spatial = [step(checkerboard(shape, i % 2), c) for i in range(couplings + last)]
  if last:
    return chain(*spatial, flatten(shape))
  small = (h // 2, w // 2, 4 * c)
  deep = [step(channels(small, i % 2), 4 * c) for i in range(couplings)]
  rest = image_flow((h // 2, w // 2, 2 * c), step, couplings, scales - 1)
  return chain(*spatial, squeeze(), *deep, split(rest, small))


def coupled_flow(shape: tuple[int, ...], step: Step, couplings: int, scales: int) -> Bijection:
  """The flow of couplings of vectors [D] or of images [H, W, C]: [B, *shape] -> [B, D]."""
  if len(shape) == 1:
    return vector_flow(shape[0], step, couplings)
  return image_flow(shape, step, couplings, scales)


def normal(keys: Array, shape: tuple[int, ...], dtype) -> Array:
  """eps [n, *shape] ~ N(0, I), each from its own of keys [n]."""
  return jax.vmap(lambda key: jax.random.normal(key, shape, dtype))(keys)


def log_normal(z: Array) -> Array:
  """log N(z; 0, I) of z [B, ...] -> [B] nats."""
  return likelihoods.gaussian(z, jnp.zeros_like(z), 1.0)


def dequantizing(
  spec: Spec, noise: Bijection | None, dtype
) -> Callable[[PyTree, Array, Array | None], tuple[Array, Array]]:
  """(params of noise, x, keys) -> real v [B, ...] in the cells of x, and log q(v - x | x) [B] nats.

  x itself where it is real. Without keys v is the middle of the cell, u = 1/2.

  Args:
    spec: of the data.
    noise: eps [B, ...] -> u in (0, 1), given x in [-1, 1]; None for uniform u.
    dtype: of v.
  """

  def dequantize(params, x, keys):
    chex.assert_shape(x, (None, *spec.shape))
    none = jnp.zeros(len(x), dtype)
    if spec.levels is None:
      return x.astype(dtype), none
    if keys is None:
      return x.astype(dtype) + 0.5, none
    if noise is None:
      return x + jax.vmap(lambda key: jax.random.uniform(key, spec.shape, dtype))(keys), none
    eps = normal(keys, spec.shape, dtype)
    u, log_det = noise.forward(params, eps, centre(x, spec.levels, dtype))
    return x + u, log_normal(eps) - log_det

  return dequantize


def flow(
  spec: Spec,
  f: Bijection,
  *,
  fine: Bijection | None = None,
  regularised: Callable | None = None,
  noise: Bijection | None = None,
  conditional: bool = False,
  dtype=jnp.float32,
  ema: float = 0.0,
  optimizer: Optimizer = Optimizer(),
  sample: Sampler = Sampler(),
  likelihood: Likelihood = Likelihood(),
) -> Program:
  """The system of a bijection; its functions are those of every flow.

  `evaluate` gives nll in nats, bits_per_dim of integers, and inverse_error, max |v - f^-1(f(v))|
  in the units of the data; where there is a `fine`, also nll_train_grid, that of f, and ode_error,
  the difference. `encode` gives z [B, D]; of integers with the noise of the keys, or without keys
  of the middle of each cell.

  Args:
    spec: of the data.
    f: [B, *spec.shape] -> [B, D]; of integers, it takes v in [0, levels) and has their
      log-determinant in it (`flows.dequantize.logit`).
    fine: f on a finer grid, with the same params, as the finished model computes it; None for f.
    regularised: (params of f, v, cond) -> (z, log_det, penalty [B]), that training computes with:
      its loss is nll + penalty; None for f and no penalty.
    noise: see `dequantizing`.
    conditional: f takes the label, one-hot [B, K], as its condition.
    dtype: of the flow, float32 or wider.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample, likelihood: see there.

  Raises:
    UserError: if labels are asked for that the data lack, or the likelihood of real values is to be
      bounded.
  """
  check(spec, conditional, likelihood)
  size, condition = count_dims(spec), one_hot(spec, conditional, dtype)
  of_cell = dequantizing(spec, noise, dtype)

  def dequantize(params, x, keys):
    return of_cell(params.get("noise"), x, keys)

  final, trained = fine or f, regularised or f.forward

  def log_density(params, x, keys, cond, forward=final.forward):
    """log p(x) [B] nats of real data; one draw of its lower bound for integers. And a penalty."""
    v, log_q = dequantize(params, x, keys)
    z, log_det, *penalty = forward(params["flow"], v, condition(cond))
    return log_normal(z) + log_det - log_q, *penalty

  def init(key, batch):
    flow_key, noise_key, draw_key = jax.random.split(key, 3)
    x, mask, params = batch["x"], batch.get("mask"), {}
    keys = fold_each(draw_key, jnp.arange(len(x)))
    if noise is None:
      v, _ = dequantize({}, x, keys)
    else:
      chex.assert_shape(x, (None, *spec.shape))
      eps, seen = normal(keys, spec.shape, dtype), centre(x, spec.levels, dtype)
      params["noise"], u = noise.init(noise_key, eps, mask, seen)
      v = x + u
    params["flow"], _ = f.init(flow_key, v, mask, condition(batch))
    return {"flow": params}, {"flow": {}}

  def nll(params, mutable, batch, key, step):
    del step
    keys = fold_each(key, jnp.arange(len(batch["x"])))
    log_p, *penalty = log_density(params["flow"], batch["x"], keys, batch, trained)
    more = {"penalty": penalty[0]} if penalty else {}
    return sum(penalty, -log_p), (mutable["flow"], {"nll": -log_p, **more})

  def log_prob(state, x, keys, cond=None):
    """log p(x | cond) in nats [B]: exact for real data, which ignore the keys.

    For integers a lower bound on the discrete log P, from `importance_samples` draws of the noise.
    """
    params, k = averaged(state, "flow"), likelihood.importance_samples
    if spec.levels is None:
      return log_density(params, x, keys, cond)[0]
    draw = lambda i: log_density(params, x, fold_all(keys, i), cond)[0]
    return logsumexp(lax.map(draw, jnp.arange(k)), axis=0) - jnp.log(k).astype(dtype)

  def evaluate(state, batch, keys):
    x, params = batch["x"], averaged(state, "flow")
    value = -log_prob(state, x, keys, batch)
    v, _ = dequantize(params, x, fold_all(keys, likelihood.importance_samples))
    z, _ = final.forward(params["flow"], v, condition(batch))
    back, _ = final.inverse(params["flow"], z, condition(batch))
    more = {} if spec.levels is None else {"bits_per_dim": bits_per_dim(value, spec)}
    if fine is not None:
      coarse = -log_density(params, x, fold_all(keys, 0), batch, f.forward)[0]
      more |= {"nll_train_grid": coarse, "ode_error": jnp.abs(value - coarse)}
    error = jnp.abs(v - back).reshape(len(x), -1).max(axis=1)
    return {"nll": value, **more, "inverse_error": error}

  def prior(state, keys, cond=None):
    """z [n, D]."""
    del state, cond
    return sample.temperature * normal(fold_all(keys, 0), (size,), dtype)

  def decode(state, code, cond=None):
    """f^-1(z); of integers, the cell it lies in."""
    v, _ = final.inverse(averaged(state, "flow")["flow"], code.astype(dtype), condition(cond))
    return v.astype(jnp.float32) if spec.levels is None else integers(v, spec.levels)

  def encode(state, x, keys=None, cond=None):
    """z = f(x) [B, D]."""
    params = averaged(state, "flow")
    v, _ = dequantize(params, x, None if keys is None else fold_all(keys, 0))
    return final.forward(params["flow"], v, condition(cond))[0]

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


def check(spec: Spec, conditional: bool, likelihood: Likelihood) -> None:
  """Refuses labels that the data lack, and a bound of what is exact."""
  if conditional:
    require_labels(spec)
  if spec.levels is None and likelihood.importance_samples > 1:
    raise UserError("likelihood.importance_samples is for integers: these data's density is exact")


def check_vectors(spec: Spec, who: str) -> None:
  """Refuses data that are not vectors [D] of 2 or more."""
  if len(spec.shape) != 1 or spec.shape == (1,):
    raise UserError(f"{who} models vectors of 2 or more, not shape {spec.shape}")


def check_coupled(spec: Spec, who: str, couplings: int, scales: int) -> None:
  """Refuses data that `coupled_flow` cannot take in so many couplings and scales."""
  rank = len(spec.shape)
  if rank not in (1, 3) or spec.shape == (1,):
    raise UserError(f"{who} models vectors of 2 or more and images, not shape {spec.shape}")
  if rank == 1 and (couplings % 2 or scales != 1):
    raise UserError(
      "a flow of vectors has an even number of model.couplings and model.scales=1, not"
      f" {couplings} and {scales}"
    )
  if rank == 3:
    because = f"model.scales={scales} halve the image {scales - 1} times"
    require_multiples(spec, 2 ** (scales - 1), because)
