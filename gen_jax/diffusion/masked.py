"""Masked (absorbing) diffusion of integers x [B, T] in 0..K-1: to hide, to bound, to unmask.

  corrupt    each position is hidden with probability t; the network is shown K there
  bound      -log p(x) <= E_t 1/t sum_{i hidden} -log p(x_i | x_t),  t uniform in [0, 1]
                                    (MDLM: Sahoo et al. 2024, arXiv:2406.07524, log-linear schedule)
             = E_n T/n sum_{i hidden} -log p(x_i | x_n),  n uniform in 1..T of T positions hidden
                             (Hoogeboom et al. 2021, arXiv:2110.02037: autoregression in any order)
  unmask     step by step, some of the hidden positions are drawn from p(x_i | x_t)

The two bounds are one: of T positions, a given set of n is hidden for a share
int t^(n-1) (1-t)^(T-n) dt = (n-1)! (T-n)! / T! of 1/t. That of n has the smaller variance, and
nothing is divided by a t near 0. It is equal to -log p(x) where every conditional is that of one
joint. What is not hidden is copied, and K is never drawn, as logits are of 0..K-1 (MDLM's SUBS).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax import lax

from gen_jax.core import Array, fold_all
from gen_jax.losses.diffusion import stratified

# x [B, T] in 0..K, K where it is hidden -> logits [B, T, K]
Predict = Callable[[Array], Array]


def hide(keys: Array, n: Array, length: int) -> Array:
  """bool [B, T], True at n [B] of T = `length` positions, any as likely as any other; keys [B]."""
  return ranks(jax.vmap(lambda key: jax.random.uniform(key, (length,)))(keys)) < n[:, None]


def ranks(score: Array) -> Array:
  """The place of each entry of score [B, T] in ascending order, 0..T-1."""
  return jnp.argsort(jnp.argsort(score))


def hidden_nll(predict: Predict, x: Array, hidden: Array, levels: int) -> Array:
  """sum over the hidden positions of -log p(x_i | x elsewhere), in nats [B]."""
  chex.assert_equal_shape([x, hidden])
  logits = predict(jnp.where(hidden, levels, x))
  chex.assert_shape(logits, (*x.shape, levels))
  each = optax.softmax_cross_entropy_with_integer_labels(logits, x)
  return jnp.where(hidden, each, 0).sum(1)


def bound_at(predict: Predict, x: Array, n: Array, keys: Array, levels: int) -> Array:
  """T/n times `hidden_nll` with n [B] positions hidden, by keys [B]: the bound [B] of one n."""
  nll = hidden_nll(predict, x, hide(keys, n, x.shape[1]), levels)
  return x.shape[1] / n.astype(nll.dtype) * nll


def bound(predict: Predict, x: Array, keys: Array, levels: int, counts: int = 0) -> Array:
  """An unbiased estimate of the bound on -log p(x), in nats [B].

  Args:
    predict: the network.
    x: integers 0..K-1 [B, T].
    keys: of each example, [B].
    levels: K.
    counts: how many n an example is evaluated at, one in each of as many equal strata of 1..T; 0
      for every n.
  """
  size, length = x.shape
  if counts:
    draw = jax.vmap(lambda key: stratified(key, counts, length))
    n = 1 + draw(fold_all(keys, 0)).T
  else:
    n = jnp.broadcast_to(jnp.arange(1, length + 1)[:, None], (length, size))
  at = lambda i: bound_at(predict, x, n[i], fold_all(keys, 1 + i), levels)
  nothing = jnp.zeros_like(jax.eval_shape(at, 0), shape=(size,))
  return lax.fori_loop(0, len(n), lambda i, total: total + at(i), nothing) / len(n)


class Rule(NamedTuple):
  """Which of the hidden positions a sampler draws in a step.

  left: (hidden at first [n], step k, steps S) -> how many stay hidden after the step, [n].
  score: (log p of what is drawn [n, T], Gumbel noise [n, T], 1 - (k + 1) / S, temperature) ->
    [n, T]; the lowest stay hidden.
  """

  left: Callable[[Array, Array, int], Array]
  score: Callable[[Array, Array, Array, float], Array]


def evenly(n: Array, k: Array, steps: int) -> Array:
  """n s of n where s = 1 - (k + 1) / S: from t to s, a position stays hidden with probability s/t,
  and of as many as expected."""
  return n * (steps - 1 - k) // steps


def by_cosine(n: Array, k: Array, steps: int) -> Array:
  """n cos(pi/2 (k + 1) / S): few at first."""
  return jnp.floor(n * jnp.cos(math.pi / 2 * (k + 1) / steps)).astype(jnp.int32)


# ancestral: in an order of chance (MDLM; with as many steps as positions that is exact, the order
# of first hits of Zheng et al. 2024, arXiv:2409.02908). confidence: the surest of what is drawn
# (MaskGIT: Chang et al. 2022, arXiv:2202.04200, section 3.2), which favours what is typical, even
# where every conditional is right.
RULES = {
  "ancestral": Rule(evenly, lambda log_p, noise, later, temperature: noise),
  "confidence": Rule(
    by_cosine, lambda log_p, noise, later, temperature: log_p + temperature * later * noise
  ),
}


def unmask(
  predict: Predict, keys: Array, x: Array, hidden: Array, *, levels: int, steps: int, rule: Rule,
  temperature: float, draw: Callable[[Array, Array, Array], Array], frames: int = 0,
) -> Array:  # fmt: skip
  """x with its hidden positions drawn; the others are as they were.

  Args:
    predict: the network.
    keys: of each example, [n].
    x: integers 0..K-1 [n, T], any where it is hidden.
    hidden: bool [n, T].
    levels: K.
    steps: S, number of network calls.
    rule: which are drawn when.
    temperature: of the noise in the rule's score.
    draw: (keys [n], i, logits [n, T, K]) -> levels [n, T], by use i of the keys.
    frames: F.

  Returns:
    [n, T]; or with frames, F <= S of the steps, evenly, [F, n, T], K where it is hidden yet.
  """
  count = hidden.sum(1, dtype=jnp.int32)

  def step(k, carry):
    x, hidden, film = carry
    logits = predict(jnp.where(hidden, levels, x))
    drawn = draw(keys, 2 * k, logits)
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), drawn[..., None], -1)[..., 0]
    gumbel = lambda key: jax.random.gumbel(key, x.shape[1:], log_p.dtype)
    noise = jax.vmap(gumbel)(fold_all(keys, 2 * k + 1))
    score = rule.score(log_p, noise, 1 - (k + 1) / steps, temperature)
    order = ranks(jnp.where(hidden, score, jnp.inf))
    later = order < rule.left(count, k, steps)[:, None]
    x = jnp.where(hidden & ~later, drawn, x)
    if frames:
      film = film.at[k * frames // steps].set(jnp.where(later, levels, x))
    return x, later, film

  film = jnp.zeros((frames, *x.shape), x.dtype)
  x, _, film = lax.fori_loop(0, steps, step, (x, hidden, film))
  return film if frames else x
