"""What variational autoencoders are made of: the observation model, the networks, the bounds.

Shapes: x [B, ...] in [0, 1] (or in the data's own units), condition c [B, K] or None, noise of L
codes for each example eps [L, B, Z].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from gen_jax.core import Array, PyTree
from gen_jax.losses import likelihoods
from gen_jax.losses.elbo import elbo
from gen_jax.losses.kl import monte_carlo_kl, standard_kl


class Observation(NamedTuple):
  """p(x | z), given the decoder's output [..., B, ...]; pixels are in [0, 1].

  log_prob: (x [B, ...], output, scale, levels) -> [..., B] nats.
  mean: output -> the mean of x.
  draw: (key, output, scale) -> x.
  """

  log_prob: Callable[[Array, Array, Array, int | None], Array]
  mean: Callable[[Array], Array]
  draw: Callable[[Array, Array, Array], Array]


OBSERVATIONS = {
  "bernoulli": Observation(
    lambda x, logits, scale, levels: likelihoods.bernoulli(x, logits),
    jax.nn.sigmoid,
    lambda key, logits, _: jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype),
  ),
  "gaussian": Observation(
    lambda x, mean, sigma, levels: likelihoods.gaussian(x, mean, sigma),
    lambda mean: mean,
    lambda key, mean, sigma: mean + sigma * jax.random.normal(key, mean.shape, mean.dtype),
  ),
  "logistic": Observation(
    likelihoods.discretized_logistic,
    lambda mean: mean,
    lambda key, mean, scale: mean + scale * jax.random.logistic(key, mean.shape, mean.dtype),
  ),
}


class Networks(NamedTuple):
  """Encoder and decoder as functions of their parameters.

  init: (key, x, c) -> params.
  posterior: (params, x, c) -> mu, log sigma^2 [B, Z] of q(z | x, c).
  output: (params, z [..., B, Z], c) -> what p(x | z, c) is given by.
  scale: params -> the scale of p(x | z, c).
  """

  init: Callable[[Array, Array, Array | None], PyTree]
  posterior: Callable[[PyTree, Array, Array | None], tuple[Array, Array]]
  output: Callable[[PyTree, Array, Array | None], Array]
  scale: Callable[[PyTree], Array]


def networks(
  encoder: nn.Module, decoder: nn.Module, latent: int, scale: float, learn_scale: bool, dtype
) -> Networks:
  """The functions of two modules; `scale` is where a scale that is learnt begins."""

  def init(key, x, c):
    e_key, d_key = jax.random.split(key)
    params = {
      "encoder": encoder.init(e_key, x, c)["params"],
      "decoder": decoder.init(d_key, jnp.zeros((1, latent), dtype), c)["params"],
    }
    return params | ({"log_scale": jnp.log(jnp.asarray(scale, dtype))} if learn_scale else {})

  return Networks(
    init,
    lambda params, x, c: tuple(
      jnp.split(encoder.apply({"params": params["encoder"]}, x, c), 2, axis=-1)
    ),
    lambda params, z, c: decoder.apply({"params": params["decoder"]}, z, c),
    lambda params: jnp.exp(params["log_scale"]) if learn_scale else jnp.asarray(scale, dtype),
  )


class Terms(NamedTuple):
  """Of B examples, with L codes each: log p(x | z) [L, B], KL(q || p) [B], log weights [L, B]."""

  log_px: Array
  kl: Array
  log_w: Array

  def named(self) -> dict[str, Array]:
    """The ELBO and its parts, [B] nats, by their textbook names."""
    log_px = self.log_px.mean(axis=0)
    return {"negative_elbo": -elbo(log_px, self.kl), "kl": self.kl, "reconstruction": -log_px}


def code(mean: Array, log_var: Array, eps: Array) -> Array:
  """z = mu + sigma eps (Kingma & Welling 2014, section 2.4)."""
  return mean + jnp.exp(0.5 * log_var) * eps


def terms_of(
  nets: Networks, observation: Observation, levels: int | None, analytic: bool
) -> Callable[[PyTree, Array, Array | None, Array], Terms]:
  """(params, x, c, eps) -> Terms; the KL in closed form where `analytic`, else from the codes."""

  def terms(params, x, c, eps):
    mean, log_var = nets.posterior(params, x, c)
    z = code(mean, log_var, eps)
    log_px = observation.log_prob(x, nets.output(params, z, c), nets.scale(params), levels)
    log_ratio = monte_carlo_kl(z, mean, log_var)
    kl = standard_kl(mean, log_var) if analytic else log_ratio.mean(axis=0)
    return Terms(log_px, kl, log_px - log_ratio)

  return terms


def noise(keys: Array, index: Array, latent: int, dtype) -> Array:
  """eps [L, B, Z] of the codes index [L] of each example; a code's noise depends on its index."""
  draw = lambda key, i: jax.random.normal(jax.random.fold_in(key, i), (latent,), dtype)
  return jax.vmap(jax.vmap(draw, (0, None)), (None, 0))(keys, index)


def importance_bound(log_w: Callable[[Array], Array], size: int, k: int, chunk: int, dtype):
  """IWAE_k [B] of B = size examples, a chunk of the k codes at a time.

  log_w: (index [L]) -> log weights [L, B] of these codes.
  """

  def add(total, first):
    i = first + jnp.arange(min(k, chunk))
    each = jnp.where((i < k)[:, None], log_w(i), -jnp.inf)
    return jnp.logaddexp(total, jax.nn.logsumexp(each, axis=0)), None

  nothing = jnp.full(size, -jnp.inf, dtype)
  total, _ = lax.scan(add, nothing, jnp.arange(0, k, chunk))
  return total - jnp.log(k)
