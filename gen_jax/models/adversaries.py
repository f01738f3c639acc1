"""A generator against a critic: their losses, and what is drawn and evaluated of the pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from gen_jax.core import Array, Model, UserError, masked_mean
from gen_jax.learn import ema as averages
from gen_jax.learn.game import averaged
from gen_jax.losses.penalties import Penalties, penalise
from gen_jax.models.critics import Critic
from gen_jax.nets.gan import join, pack


class Adversaries(NamedTuple):
  """A generator and its critic, and all that their losses are made of.

  generator: (z [B, Z], condition) -> y [B, ...].
  critic: of packs.
  penalties: weights.
  packing: m, examples of a pack.
  latents: (key, n) -> z [n, Z].
  scale: x [B, ...] as in the batch -> what the critic sees.
  condition: fields of a batch -> [B, K] or None.
  """

  generator: nn.Module
  critic: Critic
  penalties: Penalties
  packing: int
  latents: Callable[[Array, int], Array]
  scale: Callable[[Array], Array]
  condition: Callable[[dict | None], Array | None]


def packed(pair: Adversaries, x: Array | None) -> Array | None:
  """What the critic sees: x [B, ...] in packs of m; None stays None."""
  return None if x is None else pack(x, pair.packing)


def seen(pair: Adversaries, batch: dict) -> tuple[Array, Array | None, Array | None]:
  """Packs of the batch: x [n, ...], condition [n, m K] or None, mask [n] or None.

  Raises:
    UserError: if packs do not divide the batch.
  """
  m = pair.packing
  if len(batch["x"]) % m:
    raise UserError(
      f"model.packing={m} must divide the batch, which has {len(batch['x'])} examples:"
      " change data.batch_size"
    )
  whole = batch["mask"].reshape(-1, m).all(axis=1) if "mask" in batch else None
  return packed(pair, pair.scale(batch["x"])), packed(pair, pair.condition(batch)), whole


def init(pair: Adversaries, key: Array, batch: dict) -> tuple[dict, dict]:
  """(params, mutable) of both players; batch normalisation's statistics count their updates."""
  c_key, g_key = jax.random.split(key)
  one = jax.tree.map(lambda leaf: leaf[:1], batch)
  x, c = pair.scale(one["x"]), pair.condition(one)
  made = pair.generator.init(g_key, jnp.zeros_like(pair.latents(g_key, 1)), c)
  own = {}
  if "batch_stats" in made:
    own = {"batch_stats": made["batch_stats"], "updates": jnp.int32(0)}
  one = jax.tree.map(lambda leaf: packed(pair, leaf.repeat(pair.packing, axis=0)), (x, c))
  params, kept = pair.critic.init(c_key, *one)
  return {"generator": made["params"], "critic": params}, {"generator": own, "critic": kept}


def fakes(pair: Adversaries, params: dict, key: Array, batch: dict) -> tuple[Array, dict]:
  """y [B, ...] in training, and {"batch_stats": those of this batch}."""
  z = pair.latents(key, len(batch["x"]))
  return pair.generator.apply(
    {"params": params}, z, pair.condition(batch), batch.get("mask"), train=True,
    mutable=["batch_stats"],
  )  # fmt: skip


def critic_loss(pair: Adversaries, params, mutable, batch, key, step):
  """Of the critic, as `learn.game.minimise` takes it: means over the packs without padding."""
  del step
  critic, z_key, penalty_key = pair.critic, *jax.random.split(key)
  x, c, mask = seen(pair, batch)
  y, _ = fakes(pair, params["generator"], z_key, batch)
  y = packed(pair, y)
  own = critic.refresh(params["critic"], mutable["critic"], x, c, mask)

  def score(points):
    """0 in padding, of which a penalty on the gradient of a sum must not see anything."""
    scores = critic.score(params["critic"], own, points, c, mask, train=True)
    return scores if mask is None else jnp.where(mask, scores, 0)

  real, fake = score(x), score(y)
  penalty, terms = penalise(pair.penalties, score, penalty_key, x, y, mask)
  value = critic.loss(real, fake, own) + penalty
  own, standing = critic.settle(own, real, fake, mask)
  metrics = {"critic_on_real": real, "critic_on_fake": fake, **terms, **standing}
  mean = lambda v: masked_mean(v, mask) if v.ndim else v
  return mean(value), (own, jax.tree.map(mean, metrics))


def generator_loss(pair: Adversaries, params, mutable, batch, key, step):
  """Of the generator, as `learn.game.minimise` takes it."""
  del step
  y, _ = fakes(pair, params["generator"], key, batch)
  x, c, mask = seen(pair, batch)
  own = mutable["critic"]
  score = lambda points: pair.critic.score(params["critic"], own, points, c, mask, train=True)
  value = pair.critic.generator_loss(score(x), score(packed(pair, y)))
  return masked_mean(value, mask), (mutable["generator"], {})


def value(pair: Adversaries, params, mutable, batch, key) -> Array:
  """M, minus the mean over the packs of what the critic descends, without penalties: a game of zero
  sum, in which the generator would have it small."""
  x, c, mask = seen(pair, batch)
  y, _ = fakes(pair, params["generator"], key, batch)
  own = mutable["critic"]
  score = lambda points: pair.critic.score(params["critic"], own, points, c, mask, train=True)
  return -masked_mean(pair.critic.loss(score(x), score(packed(pair, y)), own), mask)


def generate(pair: Adversaries, state: dict, z: Array, c: Array | None) -> Array:
  """y [B, ...] of the averaged generator with its running statistics."""
  own = state["mutable"]["generator"]
  stats = {"batch_stats": own["batch_stats"]} if own else {}
  return pair.generator.apply({"params": averaged(state, "generator"), **stats}, z, c)


def draw(pair: Adversaries, keys: Array, i: int = 0) -> Array:
  """z [n, Z], the i-th draw of each of keys [n]."""
  return jax.vmap(lambda key: pair.latents(jax.random.fold_in(key, i), 1)[0])(keys)


def evaluate(pair: Adversaries, state: dict, batch: dict, keys: Array) -> dict[str, Array]:
  """critic_on_real, critic_on_fake, critic_loss, generator_loss [B].

  A packed critic sees each example together with those that follow it in the batch.
  """
  x, c, m = pair.scale(batch["x"]), pair.condition(batch), pair.packing
  after = lambda v: [None if v is None else jnp.roll(v, -i, axis=0) for i in range(m)]
  y = [generate(pair, state, draw(pair, keys, i), c_i) for i, c_i in enumerate(after(c))]
  group = lambda vs: None if vs[0] is None else join(jnp.stack(vs, axis=1))
  params, own = state["params"]["critic"], state["mutable"]["critic"]
  real, fake = (pair.critic.score(params, own, group(v), group(after(c))) for v in (after(x), y))
  return {
    "critic_on_real": real,
    "critic_on_fake": fake,
    "critic_loss": pair.critic.loss(real, fake, own),
    "generator_loss": pair.critic.generator_loss(real, fake),
  }


def with_running_statistics(model: Model, pair: Adversaries) -> Model:
  """The model, with statistics that follow those of the averaged generator's activations."""

  def update(state, batch, key, step):
    state, metrics = model.update(state, batch, key, step)
    last = jax.tree.map(lambda leaf: leaf[-1], batch)
    key = jax.random.fold_in(key, model.microbatches)  # the turns have the numbers below
    _, now = fakes(pair, averaged(state, "generator"), key, last)
    own = state["mutable"]["generator"]
    stats = averages.update(
      own["batch_stats"], dict(now)["batch_stats"], averages.STATISTICS, own["updates"]
    )
    own = {"batch_stats": stats, "updates": own["updates"] + 1}
    return {**state, "mutable": {**state["mutable"], "generator": own}}, metrics

  return model._replace(update=update)
