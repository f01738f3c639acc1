"""Losses of adversarial games, per example (the table of Lucic et al. 2018, arXiv:1711.10337).

With the critic's logits l on real x and on fake y = G(z), and D = sigmoid(l):

         critic                                   generator
  mm     -log D(x) - log(1 - D(y))                log(1 - D(y))     (Goodfellow et al. 2014, eq. 1)
  ns     as mm                                    -log D(y)         (Goodfellow et al. 2014, sec. 3)
  wgan   -l(x) + l(y)                             -l(y)             (Arjovsky et al. 2017, alg. 1)
  ls     (l(x) - 1)^2 + l(y)^2                    (l(y) - 1)^2      (Mao et al. 2017)
  hinge  max(0, 1 - l(x)) + max(0, 1 + l(y))      -l(y)             (Miyato et al. 2018, eq. 16-17)
  rp     -log sigmoid(l(x) - l(y))                -log sigmoid(l(y) - l(x))
                                                          (Jolicoeur-Martineau 2019, sec. 4.1)

A critic of pairs (x, t) that also sees x with a wrong text t~ (GAN-CLS: Reed et al. 2016, alg. 1):

  matching_critic  -log D(x, t) - 1/2 (log(1 - D(x, t~)) + log(1 - D(y, t)))

which is least at D = p / (p + (p_wrong + p_made) / 2), by the densities of the kinds of pairs.

mm's and ns's critics descend the same loss; the generators differ in where their gradient vanishes.

BEGAN (Berthelot et al. 2017, section 3) has an autoencoder for a critic, with e(x) the error of the
reconstruction of x; a controller k holds e(y) at the share gamma of e(x):

  critic       e(x) - k e(y)
  generator    e(y)
  controller   k <- k + lambda_k (gamma E e(x) - E e(y)), kept in [0, 1]
  convergence  E e(x) + |gamma E e(x) - E e(y)|
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.nn import log_sigmoid, relu

from gen_jax.core import Array


class Adversarial(NamedTuple):
  """What each player descends: critic, generator: (logits of real [B], logits of fake [B]) -> [B].

  Real and fake are paired at random. `translates` says that the critic's is the same after a
  constant is added to all logits, so that an output bias would learn nothing but rounding noise.
  """

  critic: Callable[[Array, Array], Array]
  generator: Callable[[Array, Array], Array]
  translates: bool = False


def cross_entropy(real: Array, fake: Array) -> Array:
  """-log D(x) - log(1 - D(y)), from logits [B]: the critic of mm and ns."""
  return -log_sigmoid(real) - log_sigmoid(-fake)


LOSSES: Mapping[str, Adversarial] = {
  "mm": Adversarial(cross_entropy, lambda real, fake: log_sigmoid(-fake)),
  "ns": Adversarial(cross_entropy, lambda real, fake: -log_sigmoid(fake)),
  "wgan": Adversarial(lambda real, fake: fake - real, lambda real, fake: -fake, translates=True),
  "ls": Adversarial(
    lambda real, fake: (real - 1) ** 2 + fake**2, lambda real, fake: (fake - 1) ** 2
  ),
  "hinge": Adversarial(
    lambda real, fake: relu(1 - real) + relu(1 + fake), lambda real, fake: -fake
  ),
  "rp": Adversarial(
    lambda real, fake: -log_sigmoid(real - fake),
    lambda real, fake: -log_sigmoid(fake - real),
    translates=True,
  ),
}


def matching_critic(real: Array, wrong: Array, fake: Array, mismatched: Array) -> Array:
  """See above, of logits [B]; mismatched [B]: whether the wrong text is one. Where it is right by
  accident, that pair has no part in the loss."""
  of_wrong = jnp.where(mismatched, -log_sigmoid(-wrong), 0)
  return -log_sigmoid(real) + (of_wrong - log_sigmoid(-fake)) / 2


def saturation(loss: Adversarial, real: Array, fake: Array, slope: float = 0.05) -> Array:
  """Share (0, 1/2 or 1) of each pair of logits real, fake [B] at which the critic's loss is flat.

  Flat is a derivative within +-slope: for mm and ns an error of less than that, D(x) > 0.95 and
  D(y) < 0.05. A critic that is sure of everything has nothing to learn, and little to teach.
  """
  total = lambda real, fake: loss.critic(real, fake).sum()
  by_real, by_fake = jax.grad(total, (0, 1))(*jax.lax.stop_gradient((real, fake)))
  flat = lambda slopes: (jnp.abs(slopes) < slope).astype(real.dtype)
  return (flat(by_real) + flat(by_fake)) / 2


def reconstruction_error(x: Array, reconstruction: Array) -> Array:
  """e(x) [B]: the mean absolute difference over each example of [B, ...]."""
  chex.assert_equal_shape([x, reconstruction])
  return jnp.abs(x - reconstruction).mean(axis=tuple(range(1, x.ndim)))


def began_critic(real: Array, fake: Array, k: Array) -> Array:
  """e(x) - k e(y) [B], from errors [B]. The generator's loss is e(y) itself."""
  return real - k * fake


def began_controller(k: Array, real: Array, fake: Array, gamma: float, lambda_k: float) -> Array:
  """The next k, from the batch's mean errors real and fake (scalars)."""
  return jnp.clip(k + lambda_k * (gamma * real - fake), 0, 1)


def began_convergence(real: Array, fake: Array, gamma: float) -> Array:
  """How far the game is from its end, from the batch's mean errors: falls as samples get better."""
  return real + jnp.abs(gamma * real - fake)
