"""GANs that grow by a resolution a stage (Karras et al. 2018, arXiv:1710.10196).

  critic      l_D(D(x), D(y)) + sum_i lambda_i penalty_i,  y made by the generator
  generator   l_G(D(x), D(y))
  growth      a stage begins with the players of the stage before and new layers, which fade in over
              its first steps; real images fade as the made ones do            (section 2, figure 2)
  samples     from the average of the generator's weights, which is carried from stage to stage

Optimisers begin anew in each stage. The critic looks at groups of examples (minibatch deviation),
so its penalty is on the gradient of the sum of a group's logits with respect to each example, as in
the source's code; `evaluate` shows it each example alone. Without growth there is one stage, at the
last resolution, and nothing fades.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import (
  Array,
  Model,
  Program,
  PyTree,
  Spec,
  Stage,
  UserError,
  centre,
  masked_mean,
  over_states,
  quantize,
)
from gen_jax.learn.game import Player, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import Adversarial
from gen_jax.losses.penalties import Penalties, penalise
from gen_jax.models.common import require_images
from gen_jax.nets.conv import enlarge, pool
from gen_jax.nets.progan import BASE, Critic


class Pair(NamedTuple):
  """A generator and a critic at one resolution.

  spec: at that resolution.
  init: key -> (the generator's parameters, what it keeps besides how far it has faded in).
  make: (its parameters, key, n, fade) -> y [n, R, R, C], in training.
  draw: (state, keys [n]) -> y [n, R, R, C], of the averaged generator.
  critic: network.
  loss, penalties: of both.
  group: examples that the critic sees together.
  fade: steps over which the newest layers fade in; None where there are no such.
  dtype: of images.
  """

  spec: Spec
  init: Callable[[Array], tuple[PyTree, dict]]
  make: Callable[..., Array]
  draw: Callable[[dict, Array], Array]
  critic: Critic
  loss: Adversarial
  penalties: Penalties
  group: int
  fade: int | None
  dtype: Any


def faded(x: Array, fade: Array | None) -> Array:
  """x [B, R, R, C] as far as it has faded in: half the resolution for 0, all for 1 or None."""
  return x if fade is None else (1 - fade) * enlarge(pool(x)) + fade * x


def fade_of(state: dict) -> Array | None:
  """How far the newest layers of a state have faded in."""
  return state["mutable"]["generator"].get("fade")


def shown_at(pair: Pair, step: Array) -> Array | None:
  """How far they have at a step."""
  return None if pair.fade is None else jnp.clip(step / pair.fade, 0, 1).astype(pair.dtype)


def scaled(pair: Pair, x: Array, fade: Array | None) -> Array:
  """x [B, R, R, C] in integer levels -> as the critic sees it."""
  chex.assert_shape(x, (None, *pair.spec.shape))
  return faded(centre(x, pair.spec.levels, pair.dtype), fade)


def without_padding(x: Array, mask: Array | None) -> Array:
  """x [B, ...] with 0 in the examples that are padding: others see them in their group."""
  return x if mask is None else jnp.where(mask.reshape(-1, *[1] * (x.ndim - 1)), x, 0)


def init(pair: Pair, key: Array, batch: dict) -> tuple[dict, dict]:
  """(params, mutable) of both players."""
  del batch
  g_key, c_key = jax.random.split(key)
  fade = shown_at(pair, jnp.zeros((), pair.dtype))
  made, kept = pair.init(g_key)
  critic = pair.critic.init(c_key, jnp.zeros((1, *pair.spec.shape), pair.dtype), fade)["params"]
  kept |= {} if fade is None else {"fade": fade}
  return {"generator": made, "critic": critic}, {"generator": kept, "critic": {}}


def critic_loss(pair: Pair, params, mutable, batch, key, step):
  """Of the critic, as `learn.game.minimise` takes it."""
  y_key, penalty_key = jax.random.split(key)
  fade, mask, n = shown_at(pair, step), batch.get("mask"), len(batch["x"])
  check_groups(n, pair.group)
  x, y = scaled(pair, batch["x"], fade), pair.make(params["generator"], y_key, n, fade)
  x, y = (without_padding(v, mask) for v in (x, y))
  score = lambda v: pair.critic.apply({"params": params["critic"]}, v, fade, pair.group, mask)
  on_real, on_fake = score(x), score(y)
  penalty, terms = penalise(pair.penalties, score, penalty_key, x, y, mask)
  value = pair.loss.critic(on_real, on_fake) + penalty
  metrics = {"critic_on_real": on_real, "critic_on_fake": on_fake, **terms}
  mean = lambda v: masked_mean(v, mask) if v.ndim else v
  return mean(value), (mutable["critic"], jax.tree.map(mean, metrics))


def generator_loss(pair: Pair, params, mutable, batch, key, step):
  """Of the generator, as `learn.game.minimise` takes it; the loss's own is of fakes alone."""
  fade, mask, n = shown_at(pair, step), batch.get("mask"), len(batch["x"])
  y = without_padding(pair.make(params["generator"], key, n, fade), mask)
  on_fake = pair.critic.apply({"params": params["critic"]}, y, fade, pair.group, mask)
  value = masked_mean(pair.loss.generator(on_fake, on_fake), mask)
  shown = {} if fade is None else {"fade": fade}
  return value, ({**mutable["generator"], **shown}, shown)


def evaluate(pair: Pair, state: dict, batch: dict, keys: Array) -> dict[str, Array]:
  """critic_on_real, critic_on_fake, critic_loss, generator_loss [B], of examples alone and without
  penalties."""
  fade = fade_of(state)
  score = lambda v: pair.critic.apply({"params": state["params"]["critic"]}, v, fade)
  x, y = scaled(pair, batch["x"], fade), pair.draw(state, keys)
  on_real, on_fake = score(x), score(y)
  return {
    "critic_on_real": on_real,
    "critic_on_fake": on_fake,
    "critic_loss": pair.loss.critic(on_real, on_fake),
    "generator_loss": pair.loss.generator(on_real, on_fake),
  }


def model_of(
  pair: Pair, *, n_critic: int, ema: float, critic_optimizer: Optimizer,
  generator_optimizer: Optimizer, **capabilities,
) -> Model:  # fmt: skip
  """The game of a pair; capabilities: the other fields of Model."""
  bound = lambda function: lambda *args: function(pair, *args)
  losses = {
    "critic": (critic_loss, critic_optimizer),
    "generator": (generator_loss, generator_optimizer),
  }
  return game(
    {
      name: Player(minimise(name, bound(loss), optimizer.accumulate), optimizer.make())
      for name, (loss, optimizer) in losses.items()
    },
    bound(init),
    order=(("critic", n_critic), ("generator", 1)),
    ema={"generator": ema} if ema else {},
    evaluate=bound(evaluate),
    sample=lambda state, keys, cond=None: quantize(pair.draw(state, keys), pair.spec.levels),
    **capabilities,
  )


def grown(previous: list, fresh: dict) -> dict:
  """A fresh state with the weights, the average and what else the players of the stage before keep,
  wherever they have a place; new optimisers, and the average's count of updates."""
  old = previous[-1]

  def graft(new, old):
    if not isinstance(new, dict):
      return old
    return {name: graft(new[name], old[name]) if name in old else new[name] for name in new}

  kept = {name: graft(fresh[name], old[name]) for name in ("params", "ema", "mutable")}
  if (fade := fade_of(fresh)) is not None:
    kept["mutable"]["generator"]["fade"] = fade
  # A copy: two states must not share what a step donates.
  return jax.tree.map(jnp.copy, {**fresh, **kept, "updates": old["updates"]})


def program_of(
  spec: Spec, widths: tuple[int, ...], grow: bool, model_at: Callable[[Spec, int, bool], Model]
) -> Program:
  """The stages of square images [R, R, C], R = 4 * 2^L: 8x8, 16x16, ..., RxR; or RxR alone.

  Args:
    spec: of the data, at the last resolution.
    widths: channels at 4x4, 8x8, ..., RxR: L + 1 of them.
    grow: whether there are the smaller ones.
    model_at: (spec of a stage, its level, whether its newest layers fade in) -> model.

  Raises:
    UserError: if the data are no such images.
  """
  levels = check(spec, widths)
  if not grow:
    model = model_at(spec, levels, False)
    return Program((Stage(model),), over_states(model))
  stages = []
  for level in range(1, levels + 1):
    size, first = BASE * 2**level, level == 1
    own = spec._replace(x=spec.x._replace(shape=(size, size, spec.shape[-1])))
    stages.append(
      Stage(
        model_at(own, level, not first),
        data={"resolution": size} if level < levels else None,
        carry=None if first else grown,
        release=() if first else (level - 2,),
      )
    )
  return Program(tuple(stages), over_states(stages[-1].model))


def check(spec: Spec, widths: tuple[int, ...]) -> int:
  """L, of images that the widths go with.

  Raises:
    UserError: for other data.
  """
  require_images(spec, "a growing GAN")
  size, levels = spec.shape[0], len(widths) - 1
  if levels < 1 or spec.shape[:2] != (BASE * 2**levels,) * 2:
    raise UserError(
      f"{len(widths)} model.widths are of square images of {BASE * 2 ** max(levels, 1)} pixels, not"
      f" {size}x{spec.shape[1]}: give {max(round(math.log2(max(size, 8) / BASE)), 1) + 1} widths or"
      " another data.resolution"
    )
  return levels


def check_groups(batch: int, group: int) -> None:
  """Refuses groups that do not divide a batch."""
  if batch % group:
    raise UserError(f"model.group={group} must divide the batch, which has {batch} examples")
