"""Progressive growing of GANs: a resolution a stage (Karras et al. 2018, arXiv:1710.10196).

  critic      D(G(z)) - D(x) + lambda (||grad D|| - 1)^2 + epsilon D(x)^2     (appendix A.1)
  generator   -D(G(z))
  growth      a stage begins with the players of the stage before and new layers, which fade in over
              its first steps; real images fade as the made ones do            (section 2, figure 2)
  samples     from the average of the generator's weights, which is carried from stage to stage

Optimisers begin anew in each stage. The critic looks at groups of examples (minibatch deviation),
so its penalty is on the gradient of the sum of a group's logits with respect to each example, as in
the source's code; `evaluate` shows it each example alone.
"""

from __future__ import annotations

import math

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import (
  Array,
  Model,
  Program,
  Spec,
  Stage,
  UserError,
  centre,
  masked_mean,
  over_states,
  quantize,
)
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import LOSSES
from gen_jax.losses.penalties import Penalties, penalise
from gen_jax.models.common import require_images
from gen_jax.nets.conv import enlarge, pool
from gen_jax.nets.progan import BASE, Critic, Generator
from gen_jax.schema import Count, Decay, Dtype, builder

ADAM = Optimizer(learning_rate=1e-3, b1=0.0, b2=0.99)


@builder
def build(
  spec: Spec,
  *,
  latent: Count = 128,
  widths: tuple[Count, ...] = (128, 128, 64, 32),
  fade: Count = 1000,
  group: Count = 4,
  penalties: Penalties = Penalties(wgan_gp=10.0, drift=1e-3),
  n_critic: Count = 1,
  dtype: Dtype = "float32",
  ema: Decay = 0.999,
  critic_optimizer: Optimizer = ADAM,
  generator_optimizer: Optimizer = ADAM,
) -> Program:
  """Progressive GAN of square images [R, R, C], R = 4 * 2^L, in L stages: 8x8, 16x16, ..., RxR.

  The data must be of a source that takes `data.resolution`. An unfinished run draws at the
  resolution that it has come to.

  Args:
    spec: of the data, at the last resolution.
    latent: Z.
    widths: channels at 4x4, 8x8, ..., RxR: L + 1 of them.
    fade: steps over which a stage's new layers fade in.
    group: examples that the critic sees together; divides the batch.
    penalties: on the critic, each with its weight.
    n_critic: turns of the critic for one of the generator.
    dtype: of the networks' computation.
    ema: decay of the average of the generator's weights.
    critic_optimizer, generator_optimizer: of each stage.

  Raises:
    UserError: if the data are no square images of such a size.
  """
  levels = check(spec, widths)
  stages = []
  for level in range(1, levels + 1):
    size = BASE * 2**level
    own = spec._replace(x=spec.x._replace(shape=(size, size, spec.shape[-1])))
    model = stage_model(
      own, level, latent, widths[: level + 1], fade, group, penalties, n_critic, dtype, ema,
      critic_optimizer, generator_optimizer,
    )  # fmt: skip
    carry = grown if level > 1 else None
    release = (level - 2,) if level > 1 else ()
    data = {"resolution": size} if level < levels else None
    stages.append(Stage(model, data=data, carry=carry, release=release))
  return Program(tuple(stages), over_states(stages[-1].model))


def stage_model(
  spec, level, latent, widths, fade, group, penalties, n_critic, dtype, ema, critic_optimizer,
  generator_optimizer,
) -> Model:  # fmt: skip
  """The game at one level; see `build`."""
  real, loss = jnp.promote_types(dtype, jnp.float32), LOSSES["wgan"]
  generator = Generator(spec.shape[-1], level, widths, jnp.dtype(dtype))
  critic = Critic(level, widths, jnp.dtype(dtype))

  def shown_at(step):
    """a, by which the new layers have faded in."""
    return jnp.ones((), real) if level == 1 else jnp.clip(step / fade, 0, 1).astype(real)

  def scaled(x, a):
    chex.assert_shape(x, (None, *spec.shape))
    x = centre(x, spec.levels, real)
    return x if level == 1 else faded(x, a)

  def latents(key, n):
    return jax.random.normal(key, (n, latent), real)

  def made(params, key, n, a):
    return generator.apply({"params": params}, latents(key, n), a)

  def init(key, batch):
    g_key, c_key = jax.random.split(key)
    a, x = jnp.zeros((), real), jnp.zeros((1, *spec.shape), real)
    params = {
      "generator": generator.init(g_key, jnp.zeros((1, latent), real), a)["params"],
      "critic": critic.init(c_key, x, a)["params"],
    }
    return params, {"generator": {"fade": shown_at(jnp.zeros((), real))}, "critic": {}}

  def critic_loss(params, mutable, batch, key, step):
    z_key, penalty_key = jax.random.split(key)
    a, mask, n = shown_at(step), batch.get("mask"), len(batch["x"])
    check_groups(n, group)
    x, y = scaled(batch["x"], a), made(params["generator"], z_key, n, a)
    x, y = (without_padding(v, mask) for v in (x, y))
    score = lambda v: critic.apply({"params": params["critic"]}, v, a, group, mask)
    on_real, on_fake = score(x), score(y)
    penalty, terms = penalise(penalties, score, penalty_key, x, y, mask)
    value = loss.critic(on_real, on_fake) + penalty
    metrics = {"critic_on_real": on_real, "critic_on_fake": on_fake, **terms}
    mean = lambda v: masked_mean(v, mask) if v.ndim else v
    return mean(value), (mutable["critic"], jax.tree.map(mean, metrics))

  def generator_loss(params, mutable, batch, key, step):
    a, mask, n = shown_at(step), batch.get("mask"), len(batch["x"])
    y = without_padding(made(params["generator"], key, n, a), mask)
    on_fake = critic.apply({"params": params["critic"]}, y, a, group, mask)
    value = masked_mean(loss.generator(on_fake, on_fake), mask)
    return value, ({"fade": a}, {"fade": a})

  def generate(state, z):
    a = state["mutable"]["generator"]["fade"]
    return generator.apply({"params": averaged(state, "generator")}, z, a)

  def prior(state, keys, cond=None):
    del state, cond
    return jax.vmap(lambda key: latents(jax.random.fold_in(key, 0), 1)[0])(keys)

  def evaluate(state, batch, keys):
    """critic_on_real, critic_on_fake, critic_loss, generator_loss [B], of examples alone and
    without penalties."""
    a = state["mutable"]["generator"]["fade"]
    score = lambda v: critic.apply({"params": state["params"]["critic"]}, v, a)
    x, y = scaled(batch["x"], a), generate(state, prior(state, keys))
    on_real, on_fake = score(x), score(y)
    return {
      "critic_on_real": on_real,
      "critic_on_fake": on_fake,
      "critic_loss": loss.critic(on_real, on_fake),
      "generator_loss": loss.generator(on_real, on_fake),
    }

  return game(
    {
      "critic": Player(
        minimise("critic", critic_loss, critic_optimizer.accumulate), critic_optimizer.make()
      ),
      "generator": Player(
        minimise("generator", generator_loss, generator_optimizer.accumulate),
        generator_optimizer.make(),
      ),
    },
    init,
    order=(("critic", n_critic), ("generator", 1)),
    ema={"generator": ema} if ema else {},
    evaluate=evaluate,
    prior=prior,
    decode=lambda state, z, cond=None: (generate(state, z) + 1) / 2 * (spec.levels - 1),
    sample=lambda state, keys, cond=None: quantize(
      generate(state, prior(state, keys)), spec.levels
    ),
  )


def faded(x: Array, a: Array) -> Array:
  """x [B, R, R, C] as far as it has faded in: half the resolution for a = 0."""
  return (1 - a) * enlarge(pool(x)) + a * x


def without_padding(x: Array, mask: Array | None) -> Array:
  """x [B, ...] with 0 in the examples that are padding: others see them in their group."""
  return x if mask is None else jnp.where(mask.reshape(-1, *[1] * (x.ndim - 1)), x, 0)


def grown(previous: list, fresh: dict) -> dict:
  """A fresh state with the weights and the average of the stage before wherever they have a place;
  new optimisers, and the average's count of updates."""
  old = previous[-1]

  def graft(new, old):
    return {name: old.get(name, new[name]) for name in new}

  players = lambda new, old: {name: graft(new[name], old[name]) for name in new}
  # A copy: two states must not share what a step donates.
  kept = {name: players(fresh[name], old[name]) for name in ("params", "ema")}
  return jax.tree.map(jnp.copy, {**fresh, **kept, "updates": old["updates"]})


def check(spec: Spec, widths: tuple[int, ...]) -> int:
  """L, of images that the widths go with.

  Raises:
    UserError: for other data.
  """
  require_images(spec, "progan")
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
