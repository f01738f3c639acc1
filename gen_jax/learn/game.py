"""Learning as a game of one to n players, each with parameters and an optimiser of its own.

A VAE or a diffusion model is the one-player game, a GAN the two-player one. State is a dict:

  params   {player: parameters}
  mutable  {player: what else it keeps: batch statistics, codebooks, controllers, ...}
  opt      {player: optax state}
  ema      {player: averaged parameters}, of the players that have an average
  updates  {player: how many updates its average has seen}; a `carry` takes it along with `ema`
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gen_jax.core import Array, Model, PyTree, UserError, masked_mean
from gen_jax.learn import ema as averages

# More turns in a row than these run in a loop: to compile each of a hundred would take minutes.
UNROLLED = 10

# (params of all, mutable of all, batch [B, ...], key, step)
#   -> (gradient of own params, (own mutable, {name: scalar}, loss))
Direction = Callable[..., tuple[PyTree, tuple[PyTree, dict[str, Array], Array]]]


class Player(NamedTuple):
  """Where a player goes (`direction`), and how it gets there (`tx`, an optax transformation).

  foresees: whether the direction is given `opt` too, {player: optax state}: others' next steps.
  """

  direction: Direction
  tx: optax.GradientTransformationExtraArgs
  foresees: bool = False


def minimise(player: str, loss: Callable, accumulate: int = 1) -> Direction:
  """The direction of an ordinary loss: its gradient with respect to the player's own parameters.

  loss: (params of all, mutable of all, batch, key, step) -> (value, (own mutable, metrics)), value
    and metrics each [B] or scalar; [B] is averaged over the examples that are not padding.
  accumulate: parts of the batch whose gradients are averaged, one part after the other, for batches
    that do not fit into memory.
  """

  def direction(params, mutable, batch, key, step):
    def objective(own):
      value, (state, metrics) = loss({**params, player: own}, mutable, batch, key, step)
      mean = lambda v: masked_mean(v, batch.get("mask")) if v.ndim else v
      return mean(value), (state, jax.tree.map(mean, metrics))

    both = jax.value_and_grad(objective, has_aux=True)
    (value, (state, metrics)), gradient = both(params[player])
    return gradient, (state, metrics, value)

  return direction if accumulate == 1 else accumulated(direction, player, accumulate)


def accumulated(direction: Direction, player: str, count: int) -> Direction:
  """The direction as the average over `count` parts of the batch, each with a key of its own.

  It is that of the whole batch where the loss is a mean over examples. What the player keeps
  besides its parameters is passed from part to part: batch statistics are those of a part.
  """

  def parts_of(leaf):
    """[B, ...] -> [count, B / count, ...]: part i has rows i, i + count, ..., on their devices."""
    if len(leaf) % count:
      raise UserError(
        f"optimizer.accumulate={count} must divide the batch, which has {len(leaf)} examples"
      )
    return leaf.reshape(len(leaf) // count, count, *leaf.shape[1:]).swapaxes(0, 1)

  def of_parts(params, mutable, batch, key, step):
    parts = jax.tree.map(parts_of, batch)
    shares = jnp.full(count, 1 / count)
    if "mask" in batch:
      shares = parts["mask"].sum(axis=1) / jnp.maximum(batch["mask"].sum(), 1)

    def part(own, at):
      i, share, batch = at
      gradient, (own, metrics, value) = direction(
        params, {**mutable, player: own}, batch, jax.random.fold_in(key, i), step
      )
      scaled = jax.tree.map(lambda v: (share * v).astype(v.dtype), (gradient, metrics, value))
      return own, scaled

    def add(carry, at):
      own, total = carry
      own, more = part(own, at)
      return (own, jax.tree.map(jnp.add, total, more)), None

    xs = (jnp.arange(count), shares, parts)
    first, rest = (jax.tree.map(lambda leaf, s=s: leaf[s], xs) for s in (0, slice(1, None)))
    (own, (gradient, metrics, value)), _ = jax.lax.scan(add, part(mutable[player], first), rest)
    return gradient, (own, metrics, value)

  return of_parts


def averaged(state: dict, player: str) -> PyTree:
  """The player's averaged parameters where it keeps an average, else its parameters."""
  return state["ema"].get(player, state["params"][player])


# Who moves, a player or several together, and how many turns they have; see `game`.
Order = tuple[tuple[str | tuple[str, ...], int], ...] | Literal["simultaneous"]
Rounds = tuple[tuple[tuple[str, ...], int], ...]


def rounds_of(order: Order, players: Mapping[str, Player]) -> Rounds:
  """((names of those who move together, turns), ...) of an order, see `game`.

  Raises:
    ValueError: for a player that does not exist, a group without or with the same player twice, or
      less than one turn.
  """
  if order == "simultaneous":
    return ((tuple(players), 1),)
  rounds = tuple(((who,) if isinstance(who, str) else tuple(who), turns) for who, turns in order)
  for names, turns in rounds:
    known(names, players)
    if not names or len(set(names)) < len(names):
      raise ValueError(f"the group {names} of an order must name players, each once")
    if turns < 1:
      raise ValueError(f"{names} must have 1 or more turns, not {turns}")
  return rounds


def known(names: Iterable[str], players: Mapping[str, Player]) -> None:
  """Refuses names of players that do not exist."""
  for name in names:
    if name not in players:
      raise ValueError(f"{name!r} is not among the players {tuple(players)}")


def merged(metrics: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
  """{player: {name: scalar}} as one dict.

  Raises:
    ValueError: if two players report a metric of one name.
  """
  out, owner = {}, {}
  for player, terms in metrics.items():
    for name, value in terms.items():
      if name in out:
        raise ValueError(
          f"the players {owner[name]!r} and {player!r} both report the metric {name!r}: name one of"
          " them otherwise"
        )
      out[name], owner[name] = value, player
  return out


def game(
  players: Mapping[str, Player],
  init: Callable[[Array, dict], tuple[dict, dict]],
  *,
  order: Order = "simultaneous",
  ema: Mapping[str, float] | None = None,
  **capabilities: Any,
) -> Model:
  """A Model whose update is one round of the game.

  Args:
    players: name -> Player.
    init: (key, batch [B, ...]) -> (params, mutable), each {player: ...}.
    order: ((who, turns), ...): who moves and how often, each turn on a microbatch of its own. Who
      is a player, or a tuple of players that move together: all their gradients are taken at one
      point, then all step. "simultaneous" is one turn of all players together.
    ema: {player: decay} of the players that keep an average of their parameters, updated once in a
      round.
    **capabilities: the other fields of Model.

  Metrics of an update are those of each player's last turn, with its loss and gradient norm; the
  latter two carry the player's name where there is more than one.

  `respond(state, batch, key, player, step=0, extra=None)` is one turn of that player on one batch
  [B, ...], by its own optimiser. Nothing else moves, its average neither; `step` is for losses that
  anneal, `extra` (own parameters -> scalar) is added to the player's loss.

  Raises:
    ValueError: for an order or averages of players that do not exist (`rounds_of`); when an update
      is traced, for two metrics of one name.
  """
  ema = dict(ema or {})
  rounds = rounds_of(order, players)
  known(ema, players)

  def init_state(key, batch):
    params, mutable = init(key, batch)
    return {
      "params": params,
      "mutable": mutable,
      "opt": {name: players[name].tx.init(params[name]) for name in players},
      "ema": {name: params[name] for name in ema},
      "updates": {name: jnp.int32(0) for name in ema},
    }

  def turn(names, key, step, now, microbatch, extra=None):
    """(params, mutable, opt) after a turn of the named players, and the metrics of each."""
    params, mutable, opt = map(dict, now)
    moves, metrics = {}, {}
    for i, name in enumerate(names):
      player, more = players[name], {"opt": opt} if players[name].foresees else {}
      moves[name] = player.direction(
        params, mutable, microbatch, jax.random.fold_in(key, i), step, **more
      )
    for name, (gradient, (own, terms, value)) in moves.items():
      if extra is not None:
        more, slope = jax.value_and_grad(extra)(params[name])
        value, gradient = value + more, jax.tree.map(jnp.add, gradient, slope)
      updates, opt[name] = players[name].tx.update(gradient, opt[name], params[name], value=value)
      params[name] = optax.apply_updates(params[name], updates)
      mutable[name] = own
      prefix = f"{name}_" if len(players) > 1 else ""
      standard = {f"{prefix}loss": value, f"{prefix}gradient_norm": optax.tree.norm(gradient)}
      if taken := terms.keys() & standard.keys():
        raise ValueError(
          f"the metric {min(taken)!r} of {name!r} is the game's own: name it otherwise"
        )
      metrics[name] = {**terms, **standard}
    return (params, mutable, opt), metrics

  def update(state, batch, key, step):
    now, metrics, first = (state["params"], state["mutable"], state["opt"]), {}, 0
    for names, turns in rounds:
      own = jax.tree.map(lambda leaf, a=first, b=first + turns: leaf[a:b], batch)

      def one(now, at, names=names):
        i, microbatch = at
        return turn(names, jax.random.fold_in(key, i), step, now, microbatch)

      if turns > UNROLLED:
        now, terms = jax.lax.scan(one, now, (jnp.arange(first, first + turns), own))
        metrics |= jax.tree.map(lambda term: term[-1], terms)
      else:
        # Unrolled: on CPU, XLA is slow at convolution gradients inside a loop.
        for i in range(turns):
          now, terms = one(now, (first + i, jax.tree.map(lambda leaf, i=i: leaf[i], own)))
          metrics |= terms
      first += turns
    params, mutable, opt = now
    seen = state["updates"]
    average = {
      name: averages.update(state["ema"][name], params[name], decay, seen[name])
      for name, decay in ema.items()
    }
    state = {
      "params": params,
      "mutable": mutable,
      "opt": opt,
      "ema": average,
      "updates": {name: seen[name] + 1 for name in ema},
    }
    return state, merged(metrics)

  def respond(state, batch, key, player, step=0, extra=None):
    known((player,), players)
    now = state["params"], state["mutable"], state["opt"]
    (params, mutable, opt), _ = turn((player,), key, step, now, batch, extra)
    return {**state, "params": params, "mutable": mutable, "opt": opt}

  return Model(
    init=init_state,
    update=update,
    respond=respond,
    microbatches=sum(turns for _, turns in rounds),
    weights=("params", "mutable", "ema"),
    **capabilities,
  )
