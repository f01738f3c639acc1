"""The variational bound of a Gaussian diffusion model, estimated per example with any denoiser.

  -log p(x_0) <= L_T + sum_{t > s} L_{t-1} + L_decoder,  L_{t-1} = KL(q(x_{t-1} | x_t, x_0) || p)

The decoder is p(x_0 | x_1), a Gaussian integrated over each grey level's bin, and s = 1 (Ho et al.
2020, eq. 5 and 13); or, at any time s, the posterior of a pixel by itself: p(x_0 = k | x_s), a
softmax over k of -(x_s / alpha_s - x_k)^2 alpha_s^2 / (2 sigma_s^2), with equally likely grey
levels (Kingma et al. 2021, arXiv:2107.00630, section 3.3) or with given shares of them. Far below
the spacing of the grey levels a network that does not know of them pays for noise that says nothing
more of the pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gen_jax.core import Array
from gen_jax.diffusion.algebra import (
  Kind,
  Prediction,
  Transition,
  Variance,
  convert,
  corrupt,
  expand,
  forms,
  posterior,
  reverse_variance,
)
from gen_jax.diffusion.continuous_bound import softmax_decoder
from gen_jax.diffusion.path import discrete
from gen_jax.diffusion.schedule import Schedule
from gen_jax.losses.diffusion import (
  discretized_gaussian_nll,
  prior_kl,
  squared_error,
  stratified,
)
from gen_jax.losses.kl import gaussian_kl
from gen_jax.losses.likelihoods import sum_dims


def clip_x0(
  p: Prediction, x_t: Array, alpha: Array, sigma: Array, quantile: float = 0.0
) -> Prediction:
  """The prediction with its x_0 [B, ...] kept inside [-1, 1].

  With a quantile, x_0 is divided first by that quantile of its own |x_0|, if it is above 1, so that
  what guidance drives out of range keeps its contrast (Saharia et al. 2022, arXiv:2205.11487,
  section 2.3: dynamic thresholding).
  """
  x0 = p.x0
  if quantile:
    s = jnp.quantile(jnp.abs(x0).reshape(len(x0), -1), quantile, axis=1)
    x0 = x0 / expand(jnp.maximum(s, 1), x0)
  return convert(jnp.clip(x0, -1, 1), "x0", x_t, alpha, sigma)._replace(share=p.share)


def transitions(schedule: Schedule, dtype) -> Transition:
  """q(x_{t-1} | x_t, x_0) of t = 1..T, entry t - 1 [T]: in float64 until it is cast, as neighbours
  differ by little."""
  a, s = schedule.alpha, schedule.sigma
  table = posterior(a[1:], s[1:], a[:-1], s[:-1])
  return Transition(*(jnp.asarray(column, dtype) for column in table))


def means(p: Prediction, x0: Array, x_t: Array, t: Array, q: Transition) -> tuple[Array, Array]:
  """Of q(x_{t-1} | x_t, x_0) and p(x_{t-1} | x_t) at times t [B], each [B, ...]."""
  from_t, from_0 = expand(q.from_t[t - 1], x0), expand(q.from_0[t - 1], x0)
  return from_t * x_t + from_0 * x0, from_t * x_t + from_0 * p.x0


def term(
  p: Prediction, k: Array, x0: Array, x_t: Array, t: Array, q: Transition, levels: int
) -> Array:
  """L_{t-1} at t [B] above 1, and the decoder's L_0 at 1, in nats [B], of a learned variance.

  The mean has no gradient: it is learnt from L_simple, which weighs the times for samples (Nichol &
  Dhariwal 2021, section 3.1). The posterior's variance of t = 1, which is 0, is that of t = 2.

  Args:
    p: of x_t [B, ...], with a share.
    k, x0: integers 0..levels-1 [B, ...], and the same in [-1, 1].
    x_t: at times t [B].
    q: of `transitions`.
    levels: number of grey levels.
  """
  mean_q, mean_p = means(p, x0, x_t, t, q)
  small = expand(q.var[jnp.maximum(t, 2) - 1], x0)
  var_p = reverse_variance(p, "learned", small, expand(q.forward_var[t - 1], x0))
  mean_p = jax.lax.stop_gradient(mean_p)
  kl = sum_dims(gaussian_kl(mean_q, small, mean_p, var_p))
  return jnp.where(t > 1, kl, discretized_gaussian_nll(k, mean_p, jnp.sqrt(var_p), levels))


def variational_bound(
  predict: Callable[[Array, Array], Prediction],
  schedule: Schedule,
  k: Array,
  x0: Array,
  keys: Array,
  *,
  levels: int,
  kind: Kind = "eps",
  times: int = 0,
  variance: Variance = "large",
  first: int = 0,
  shares: Sequence[float] = (),
  clip: bool = True,
) -> dict[str, Array]:
  """L_T, L_t, L_0 in nats and simple_loss, each [B] (Ho et al. 2020, eq. 5, 13 and 14).

  L_t is the sum of L_{t-1} over t > s, L_0 the decoder's, and simple_loss a mean over the times at
  which the network is asked: 1..T, or s+1..T before a softmax.

  Args:
    predict: (x_t [B, ...], t int32 [B]) -> Prediction.
    schedule: the noise, T levels.
    k: data, integers 0..levels-1 [B, ...].
    x0: the same in [-1, 1].
    keys: [B], for the noise and the times of each example.
    levels: number of grey levels.
    kind: which form of the prediction simple_loss is the squared error of.
    times: L_t is estimated without bias from that many timesteps of each example, one in each of as
      many equal strata; 0 takes all.
    variance: of p(x_{t-1} | x_t): "large", beta_t, "small", the posterior's, or "learned".
    first: s of the softmax over grey levels, 1..T-1; 0 for the network's own decoder at s = 1.
    shares: of the levels in that softmax [levels], in any unit; () for equal ones.
    clip: keep the predicted x_0 inside [-1, 1].
  """
  real, last = x0.dtype, schedule.steps
  alpha, sigma = jnp.asarray(schedule.alpha, real), jnp.asarray(schedule.sigma, real)
  q = transitions(schedule, real)
  start = max(first, 1)
  count = times or last - start

  def noise(i):
    normal = lambda key: jax.random.normal(jax.random.fold_in(key, i), x0.shape[1:], real)
    return jax.vmap(normal)(keys)

  def at(t, i):
    """Means of q(x_{t-1} | x_t, x_0) and p(x_{t-1} | x_t) at times t [B], the squared error, and
    p's variance as a function of the posterior's."""
    eps = noise(i)
    x_t = corrupt(x0, eps, alpha[t], sigma[t])
    p, truth = predict(x_t, t), forms(x0, eps, alpha[t], sigma[t])
    error = squared_error(getattr(p, kind), getattr(truth, kind))
    p = clip_x0(p, x_t, alpha[t], sigma[t]) if clip else p
    large = expand(q.forward_var[t - 1], x0)
    var_p = lambda small: reverse_variance(p, variance, expand(small, x0), large)
    return *means(p, x0, x_t, t, q), error, var_p

  def add(i, sums):
    now = t[:, i]
    mean_q, mean_p, error, var_p = at(now, i)
    small = q.var[now - 1]
    kl = gaussian_kl(mean_q, expand(small, x0), mean_p, var_p(small))
    return sums[0] + sum_dims(kl), sums[1] + error

  strata = jax.vmap(lambda key: stratified(jax.random.fold_in(key, count + 1), count, last - start))
  t = start + 1 + strata(keys)
  zero = jnp.zeros(len(x0), real)
  kl, error = jax.lax.fori_loop(0, count, add, (zero, zero))
  weight = (last - start) / count
  bound = {"L_T": prior_kl(x0, alpha[-1], sigma[-1]), "L_t": weight * kl}

  if first:
    level = jax.tree.map(lambda a: jnp.asarray(a, real), discrete(schedule, np.asarray(first)))
    z = corrupt(x0, noise(count), level.alpha, level.sigma)
    decoder = softmax_decoder(k, z, level, levels, shares)
    return bound | {"L_0": decoder, "simple_loss": error / count}
  # p(x_0 | x_1) has the posterior variance of t = 2, the smallest that is not 0, as in the paper's
  # code: with beta_1 the decoder is needlessly blurred. A learned one is between the two.
  _, mean, error_1, var_p = at(jnp.ones(len(x0), jnp.int32), count)
  var_1 = var_p(q.var[1]) if variance == "learned" else q.var[1]
  decoder = discretized_gaussian_nll(k, mean, jnp.sqrt(var_1), levels)
  return bound | {"L_0": decoder, "simple_loss": (weight * error + error_1) / last}
