"""Learning on the duality gap of a game min_u max_v M(u, v) (Grnarova et al. 2021,
arXiv:2103.12685).

  duality gap   max_v' M(u, v') - min_u' M(u', v), at least 0, and 0 at an equilibrium
  rivals        v_w, some steps of ascent on M(u, .) from v;  u_w, of descent on M(., v) from u
  directions    of u: grad_u M(u, v_w);  of v: -grad_v M(u_w, v)

A rival is found anew for every step, by an optimiser that begins anew, and held constant: its own
dependence on u or v adds nothing to the gradient of a maximum (envelope theorem), and where it is
found in a few steps, differentiating through them would be another method (unrolled games).
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import optax

from gen_jax.core import Array, PyTree
from gen_jax.learn.game import Direction
from gen_jax.learn.unrolled import descended

# (params of all, mutable of all, batch [B, ...], key) -> M, a scalar
Value = Callable[..., Array]


def rival(
  value: Value, player: str, sign: float, tx: optax.GradientTransformation, steps: int,
  params: dict, mutable: dict, batch: dict, key: Array,
) -> PyTree:  # fmt: skip
  """The player's parameters after some steps of descent on sign * M, all others held fixed."""

  def loss(own, i):
    return sign * value({**params, player: own}, mutable, batch, jax.random.fold_in(key, i))

  own = params[player]
  return jax.lax.stop_gradient(descended(loss, own, tx, tx.init(own), steps))


def directions(
  value: Value, minimiser: str, maximiser: str, tx: optax.GradientTransformation, steps: int
) -> dict[str, Direction]:
  """The directions of both players, whose losses are M(u, v_w) and -M(u_w, v): their sum is the
  gap as the rivals have found it, on the batch that is learnt from.

  Args:
    value: M.
    minimiser, maximiser: names of the players.
    tx: the rivals' optimiser.
    steps: of a rival.
  """

  def direction_of(player, sign, other):
    def direction(params, mutable, batch, key, step):
      del step
      search, last = jax.random.split(key)
      found = rival(value, other, -sign, tx, steps, params, mutable, batch, search)
      against = {**params, other: found}
      loss = lambda own: sign * value({**against, player: own}, mutable, batch, last)
      worst, gradient = jax.value_and_grad(loss)(params[player])
      return gradient, (mutable[player], {}, worst)

    return direction

  return {
    minimiser: direction_of(minimiser, 1.0, maximiser),
    maximiser: direction_of(maximiser, -1.0, minimiser),
  }
