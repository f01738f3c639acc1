"""Descending through an opponent's next steps (Metz et al. 2017, arXiv:1611.02163, section 2.2).

  opponent  v_0 = v,  v_{k+1} = v_k - eta grad_v l_v(u, v_k)                            (eq. 3-4)
  player    u <- u - eta d l_u(u, v_K(u)) / du
                    = u - eta (grad_u l_u + (dv_K / du)^T grad_v l_u)                    (eq. 6-8)

The opponent itself takes an ordinary step. For K = 0 it is the game itself; with the second term
left out, that of K steps ahead which `learn.duality` plays.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Array, PyTree
from gen_jax.learn.game import UNROLLED, Direction, minimise


def descended(
  loss: Callable[[PyTree, Array | int], Array], own: PyTree,
  tx: optax.GradientTransformationExtraArgs, opt: PyTree, steps: int,
) -> PyTree:  # fmt: skip
  """own after that many steps of tx, in the state opt, on loss(own, i), step i = 0, 1, ...

  A function of all that the loss depends on: it can be differentiated, optimiser included.
  """

  def one(carry, i):
    own, opt = carry
    value, gradient = jax.value_and_grad(loss)(own, i)
    updates, opt = tx.update(gradient, opt, own, value=value)
    return (optax.apply_updates(own, updates), opt), None

  carry = own, opt
  if steps > UNROLLED:
    carry, _ = jax.lax.scan(one, carry, jnp.arange(steps))
  else:
    # Unrolled: on CPU, XLA is slow at convolution gradients inside a loop.
    for i in range(steps):
      carry, _ = one(carry, i)
  return carry[0]


def unrolled(
  player: str, loss: Callable, opponent: str, opponent_loss: Callable,
  tx: optax.GradientTransformationExtraArgs, steps: int,
) -> Direction:  # fmt: skip
  """The player's direction through so many steps of the opponent; of a `Player` that foresees.

  All of them are taken on one batch and one draw of the latents, the loss itself on another draw.
  The opponent's optimiser goes on from the state that it is in.

  Args:
    loss, opponent_loss: as `learn.game.minimise` takes them, the opponent's a scalar.
    tx: the opponent's. Its updates must have a derivative where a gradient is 0, which Adam's have
      not (`Optimizer.make`).
    steps: K.
  """

  def direction(params, mutable, batch, key, step, opt):
    ahead, last = jax.random.split(key)

    def through(params, mutable, batch, key, step):
      def of(own, _):
        draw = jax.random.clone(ahead)  # the same in every step
        return opponent_loss({**params, opponent: own}, mutable, batch, draw, step)[0]

      answer = descended(of, params[opponent], tx, opt[opponent], steps)
      return loss({**params, opponent: answer}, mutable, batch, key, step)

    return minimise(player, through)(params, mutable, batch, last, step)

  return direction
