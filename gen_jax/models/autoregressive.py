"""Autoregressive models of integers: what those with different networks share.

  model      p(x | c) = prod_i p(x_i | x_1, ..., x_{i-1}, c), a softmax over the K levels of x_i
                                                (van den Oord et al. 2016, arXiv:1601.06759, eq. 1)
  learn      -log p(x | c), with every factor from one pass of the network
  sample     x_i ~ p(x_i | x_1, ..., x_{i-1}, c), i = 1..D, with what the network keeps of those
             before: each step computes position i only

A network is a linen module with
  __call__   (x [B, *shape], label [B] or None, train) -> logits [B, *shape, K]
  start      (n) -> cache of n examples, before their first position
  step       (cache, i, before [B], label) -> (logits [B, K] of position i, cache), where before is
             x_{i-1}; called for i = 0, 1, ... in raster order
  grow       (cache, size) -> cache with room for the first `size` positions, if it grows at all
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax

from gen_jax.core import Array, Program, Spec, UserError, as_integers, count_dims, single
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.common import bits_per_dim, field, field_of, require_labels
from gen_jax.schema import Natural, NonNegative


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How samples are drawn.

  temperature: divides the logits; 1 is the model's own distribution, below it a sharper one, and 0
    takes the likeliest level.
  top_k: draw among this many likeliest levels only; 0 for all.
  """

  temperature: NonNegative = 1.0
  top_k: Natural = 0


class Steps(NamedTuple):
  """What a network does one position after the other, as above, its variables before the rest.

  start: (variables, n, label) -> cache.
  grow: (variables, cache, size) -> cache.
  step: (variables, cache, i, before, label) -> (logits, cache).
  """

  start: Callable
  grow: Callable
  step: Callable


def steps_of(net: nn.Module) -> Steps:
  """Those of a network."""
  return Steps(
    lambda variables, n, label: net.apply(variables, n, method="start"),
    lambda variables, cache, size: net.apply(variables, cache, size, method="grow"),
    lambda variables, *args: net.apply(variables, *args, method="step"),
  )


def drawer(
  steps: Steps, dims: int, sampler: Sampler, rooms: Sequence[int] = (), together: int = 0
) -> Callable[..., Array]:
  """(variables, keys [n], label, first [n, given] or None) -> x int32 [n, dims], which begins with
  `first`; rooms, together: see `autoregressive`."""

  def draw(variables, keys, label, first=None):
    def at_once(keys, label, first):
      given = 0 if first is None else first.shape[1]

      def add(i, carry):
        x, cache = carry
        logits, cache = steps.step(variables, cache, i, x[:, i - 1], label)
        new = drawn(keys, i, logits, sampler)
        return x.at[:, i].set(jnp.where(i < given, x[:, i], new) if given else new), cache

      x = jnp.zeros((len(keys), dims), jnp.int32)
      x = x if first is None else x.at[:, :given].set(first)
      cache = steps.start(variables, len(keys), label)
      for begin, end in itertools.pairwise((0, *(rooms or (dims,)))):
        cache = steps.grow(variables, cache, end) if rooms else cache
        x, cache = lax.fori_loop(begin, end, add, (x, cache))
      return x

    if not together:
      return at_once(keys, label, first)
    by_blocks = in_blocks(at_once, together)
    return lax.platform_dependent(keys, label, first, cpu=by_blocks, default=at_once)

  return draw


def autoregressive(
  name: str,
  net: nn.Module,
  shape: tuple[int, ...],
  spec: Spec,
  *,
  condition: str,
  ema: float,
  optimizer: Optimizer,
  sample: Sampler,
  channel_order: tuple[int, ...] = (),
  rooms: Sequence[int] = (),
  together: int = 0,
  given: int = 0,
) -> Program:
  """The system of a network; `evaluate` gives nll in nats and bits_per_dim, exact as `log_prob` is.

  Args:
    name: of the only player.
    net: see above.
    shape: of an example as the network takes it, spec.shape in raster order.
    spec: of the data; K is spec.levels.
    condition: the field that the network is given as `label`, or "" for none.
    ema: decay of the parameter average that samples and likelihoods use; 0 for none.
    optimizer, sample: see there.
    channel_order: in which the channels of a pixel are taken; () for their own.
    rooms: sizes that the cache grows to, one after the other, so that early positions do not read
      what is still empty; the last is that of x. () for a cache that does not grow.
    together: how many samples at most a CPU draws at a time; 0 for all.
    given: how many first positions of x are given: samples take them from cond["x"], likelihoods
      are of the others.
  """
  dims, label_of = count_dims(spec), field(condition)
  order = np.asarray(channel_order or range(spec.shape[-1]))

  def sequence(x):
    chex.assert_shape(x, (None, *spec.shape))
    return x[..., order].reshape(len(x), *shape).astype(jnp.int32)

  def init(key, batch):
    first = jax.tree.map(lambda leaf: leaf[:1], batch)
    return {name: net.init(key, sequence(first["x"]), label_of(first))["params"]}, {name: {}}

  def nll(params, x, label, **how):
    """-log p(x | label) in nats [B]."""
    x = sequence(x)
    logits = net.apply({"params": params}, x, label, **how)
    each = optax.softmax_cross_entropy_with_integer_labels(logits, x)
    return each.reshape(len(x), -1)[:, given:].sum(1)

  def bits(value):
    return bits_per_dim(value, spec) * (dims / (dims - given))

  def loss(params, mutable, batch, key, step):
    del step
    how = {"train": True, "rngs": {"dropout": key}}
    value = nll(params[name], batch["x"], label_of(batch), **how)
    return value, (mutable[name], {"bits_per_dim": bits(value)})

  def evaluate(state, batch, keys):
    del keys
    value = nll(averaged(state, name), batch["x"], label_of(batch))
    return {"nll": value, "bits_per_dim": bits(value)}

  def log_prob(state, x, keys=None, cond=None):
    """log p(x | cond) in nats [B], exact."""
    del keys
    return -nll(averaged(state, name), x, label_of(cond))

  draw_all = drawer(steps_of(net), dims, sample, rooms, together)

  def draw(state, keys, cond=None):
    first = sequence(field_of(cond, "x")).reshape(len(keys), dims)[:, :given] if given else None
    x = draw_all({"params": averaged(state, name)}, keys, label_of(cond), first)
    x = x.reshape(-1, *spec.shape)[..., np.argsort(order)]
    return as_integers(x, spec.levels)

  model = game(
    {name: Player(minimise(name, loss, optimizer.accumulate), optimizer.make())},
    init,
    ema={name: ema} if ema else {},
    evaluate=evaluate,
    sample=draw,
    log_prob=log_prob,
    cond=(("x",) if given else ()) + ((condition,) if condition else ()),
  )
  return single(model)


def in_blocks(f: Callable, most: int) -> Callable:
  """f of trees of n examples each, at most `most` of them at a time: as many as divide n.

  A block has every b-th of them, so that examples which are split over devices stay so where a
  block has enough for all.
  """

  def g(*each):
    n = len(jax.tree.leaves(each)[0])
    blocks = next(b for b in range(1, n + 1) if n % b == 0 and n <= b * most)
    split = jax.tree.map(lambda x: x.reshape(n // blocks, blocks, *x.shape[1:]), each)
    block = lambda b: f(*jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, b, 1, False), split))
    found = lax.map(block, jnp.arange(blocks))
    return found.swapaxes(0, 1).reshape(n, *found.shape[2:])

  return g


def drawn(keys: Array, i: Array, logits: Array, sampler: Sampler) -> Array:
  """Levels [n, ...] from logits [n, ..., K], each example's by use i of its own key of keys [n]."""
  if sampler.top_k:
    smallest = lax.top_k(logits, sampler.top_k)[0][..., -1:]
    logits = jnp.where(logits < smallest, -jnp.inf, logits)
  if not sampler.temperature:
    return logits.argmax(-1).astype(jnp.int32)
  one = lambda key, row: jax.random.categorical(jax.random.fold_in(key, i), row)
  return jax.vmap(one)(keys, logits / sampler.temperature).astype(jnp.int32)


def check(
  spec: Spec, conditional: bool, sample: Sampler, channel_order=(), who="an autoregressive model"
) -> None:
  """Refuses data of real values, labels that they lack, and options beyond their levels."""
  if spec.levels is None or spec.levels < 2:
    raise UserError(f"{who} is of data of integer levels, and these are real")
  if conditional:
    require_labels(spec)
  if channel_order and sorted(channel_order) != list(range(spec.shape[-1])):
    raise UserError(
      f"model.channel_order={channel_order} is no order of the {spec.shape[-1]} channels from 0 on"
    )
  if sample.top_k > spec.levels:
    raise UserError(
      f"sample.top_k must be 0 (all) or up to {spec.levels}, the levels, not {sample.top_k}"
    )
