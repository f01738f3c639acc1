"""Drawing rare examples more often, by where their codes lie (Amini et al. 2019, section 3.3).

  q_j(z)     histogram of latent j over an epoch: 1 where every bin has as many examples
  product    w(x) ~ prod_j 1 / (q_j(z_j(x)) + alpha)                                       (eq. 3)
  max        w(x) ~ max_j of 1 / (q_j(z_j(x)) + alpha), each normalised over the candidates first:
             as in the code of MIT's course 6.S191
  tempered   product^t, with the largest t <= 1 whose effective sample size is a given share of the
             candidates
  ess        (sum w)^2 / sum w^2                                                 (Kong et al. 1994)

With many latents the product draws but a few examples, and the maximum hardly prefers any.
"""

from __future__ import annotations

from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax

from gen_jax.core import Array

Rule = Literal["none", "product", "max", "tempered"]

REACH = 4.0  # standard deviations that a histogram spans; its outer bins are open
HALVINGS = 30  # of the interval of t


def bins_of(z: Array, mean: Array, std: Array, count: int) -> Array:
  """Which of `count` bins each latent falls into, [C, Z] int32, of codes z [C, Z]."""
  at = (z - mean) / jnp.maximum(std, jnp.finfo(z.dtype).tiny)
  share = (at + REACH) / (2 * REACH)
  return jnp.clip(jnp.floor(share * count), 0, count - 1).astype(jnp.int32)


def histogram(bins: Array, weight: Array, count: int) -> Array:
  """[Z, count]: the sum of weight [C] of the codes in each bin of each latent, bins [C, Z]."""
  each = jax.nn.one_hot(bins, count, dtype=weight.dtype)
  return jnp.einsum("c,czb->zb", weight, each, precision="highest")


def relative(counts: Array) -> Array:
  """q_j [Z, bins] of counts [Z, bins]; 1 everywhere where nothing was counted."""
  total = counts.sum(1, keepdims=True)
  return jnp.where(total > 0, counts * counts.shape[1] / jnp.maximum(total, 1), 1.0)


def effective_size(log_w: Array) -> Array:
  """(sum w)^2 / sum w^2 of log weights [C], -inf for what cannot be drawn."""
  return jnp.exp(2 * jax.nn.logsumexp(log_w) - jax.nn.logsumexp(2 * log_w))


def log_weights(
  bins: Array, q: Array, use: Array, rule: Rule, alpha: float, share: float = 0.25
) -> Array:
  """Log weights [C], -inf where not `use` [C].

  Args:
    bins: of the candidates' codes, [C, Z].
    q: `relative` histograms [Z, bins].
    use: candidates that may be drawn, [C] bool.
    rule: none for equal weights.
    alpha: added to q; the smaller, the more rare codes are preferred.
    share: of the candidates in use, that the effective sample size of `tempered` is.
  """
  only = lambda log_w: jnp.where(use, log_w, -jnp.inf)
  if rule == "none":
    return only(jnp.zeros(len(bins), q.dtype))
  each = -jnp.log(jnp.take_along_axis(q, bins.T, axis=1).T + alpha)
  if rule == "max":
    normal = jax.nn.logsumexp(jnp.where(use[:, None], each, -jnp.inf), axis=0)
    return only(jnp.where(use.any(), each - normal, 0.0).max(1))
  product = only(each.sum(1))
  if rule == "product":
    return product
  least = share * use.sum()

  def halve(_, ends):
    low, high = ends
    middle = (low + high) / 2
    enough = effective_size(only(middle * each.sum(1))) >= least
    return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

  zero, one = jnp.zeros((), q.dtype), jnp.ones((), q.dtype)
  low, _ = lax.fori_loop(0, HALVINGS, halve, (zero, one))
  power = jnp.where(effective_size(product) >= least, one, low)
  return only(power * each.sum(1))


def draw(key: Array, log_w: Array, use: Array, count: int) -> Array:
  """Index [count] of candidates, with replacement, by their log weights [C]; where none has any,
  evenly of those in `use` [C]."""
  even = jnp.where(use, 0.0, -jnp.inf).astype(log_w.dtype)
  some = jnp.isfinite(log_w).any()
  return jax.random.categorical(key, jnp.where(some, log_w, even), shape=(count,))
