"""The algebra of Gaussian diffusion: corrupt, convert, posterior. Pure arithmetic on arrays.

  corruption      x_t = alpha x_0 + sigma eps                                            (1)
  velocity        v = alpha eps - sigma x_0            (Salimans & Ho 2022, appendix D)   (2)
  score           grad log q(x_t | x_0) = -eps / sigma                                   (3)
  forward         q(x_t | x_s) = N(alpha_ts x_s, sigma_ts^2 I), s < t,                   (4)
                  alpha_ts = alpha_t / alpha_s, sigma_ts^2 = sigma_t^2 - alpha_ts^2 sigma_s^2
  posterior       q(x_s | x_t, x_0) = N(mean, var I)   (Ho et al. 2020, eq. 6-7;          (5)
                  any s < t: Kingma et al. 2021, appendix A.2)
                  mean = alpha_ts sigma_s^2 / sigma_t^2 x_t + alpha_s sigma_ts^2 / sigma_t^2 x_0
                  var  = sigma_ts^2 sigma_s^2 / sigma_t^2
  reverse         p(x_s | x_t) = N(mean at the predicted x_0, var_p I),                  (6)
                  log var_p = w log sigma_ts^2 + (1 - w) log var:  w = 1 is "large", w = 0 "small",
                  and "learned" is the network's w of each pixel
                  (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 15)

alpha and sigma are scalars, or [B] for one value per example.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import jax.numpy as jnp

from gen_jax.core import Array

Kind = Literal["eps", "x0", "v", "score"]
Variance = Literal["large", "small", "learned"]  # of p(x_s | x_t), equation (6)


class Prediction(NamedTuple):
  """The same statement about x_t [B, ...] in its four forms, each [B, ...].

  share: w [B, ...] of a learned variance, equation (6), where there is one.
  """

  x0: Array
  eps: Array
  v: Array
  score: Array
  share: Array | None = None


def expand(a: Array, x: Array) -> Array:
  """a, a scalar or [B], with axes added behind so that it multiplies x [B, ...]."""
  a = jnp.asarray(a, x.dtype)
  return a.reshape(a.shape + (1,) * (x.ndim - a.ndim)) if a.ndim else a


def corrupt(x0: Array, eps: Array, alpha: Array, sigma: Array) -> Array:
  """x_t of equation (1)."""
  return expand(alpha, x0) * x0 + expand(sigma, x0) * eps


def forms(x0: Array, eps: Array, alpha: Array, sigma: Array) -> Prediction:
  """All four forms of x_0, eps [B, ...]; equations (2), (3). Needs sigma > 0 for the score."""
  alpha, sigma = expand(alpha, x0), expand(sigma, x0)
  return Prediction(x0=x0, eps=eps, v=alpha * eps - sigma * x0, score=-eps / sigma)


def convert(output: Array, kind: Kind, x_t: Array, alpha: Array, sigma: Array) -> Prediction:
  """A network's output, read as `kind`, in all four forms; equations (1) to (3) solved for each.

  Needs alpha^2 + sigma^2 = 1 for `v`, alpha > 0 for `eps` and `score`, sigma > 0 for `x0` and for
  the score. x_0 and eps returned always satisfy x_t = alpha x_0 + sigma eps.
  """
  alpha, sigma = expand(alpha, x_t), expand(sigma, x_t)
  if kind == "x0":
    x0, eps = output, (x_t - alpha * output) / sigma
  elif kind == "eps":
    x0, eps = (x_t - sigma * output) / alpha, output
  elif kind == "v":
    x0, eps = alpha * x_t - sigma * output, sigma * x_t + alpha * output
  elif kind == "score":
    eps = -sigma * output
    x0 = (x_t - sigma * eps) / alpha
  else:
    raise ValueError(f"kind {kind!r}: one of {Kind.__args__}")
  return forms(x0, eps, alpha, sigma)


class Transition(NamedTuple):
  """q(x_s | x_t, x_0), equation (5), as coefficients: mean = from_t x_t + from_0 x_0.

  forward_var is sigma_ts^2, the variance of q(x_t | x_s): beta_t where s = t - 1.
  """

  from_t: Array
  from_0: Array
  var: Array
  forward_var: Array


def posterior(alpha_t: Array, sigma_t: Array, alpha_s: Array, sigma_s: Array) -> Transition:
  """Coefficients of q(x_s | x_t, x_0) for times s < t, of any alpha and sigma.

  At s = 0, where sigma_s = 0 and alpha_s = 1, the mean is x_0 and var is 0.
  """
  alpha_ts = alpha_t / alpha_s
  # sigma_t^2 - alpha_ts^2 sigma_s^2 in factors: neighbours keep as many digits as their sigmas do.
  forward_var = (sigma_t - alpha_ts * sigma_s) * (sigma_t + alpha_ts * sigma_s)
  ratio = (sigma_s / sigma_t) ** 2
  return Transition(
    from_t=alpha_ts * ratio,
    from_0=alpha_s * forward_var / sigma_t**2,
    var=forward_var * ratio,
    forward_var=forward_var,
  )


def reverse_variance(p: Prediction, variance: Variance, small: Array, large: Array) -> Array:
  """var_p of equation (6) between the posterior's variance and the forward step's, both above 0."""
  if variance != "learned":
    return large if variance == "large" else small
  return jnp.exp(p.share * jnp.log(large) + (1 - p.share) * jnp.log(small))
