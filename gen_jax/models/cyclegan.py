"""CycleGAN: translation between two domains of which no pairs are known (Zhu et al. 2017,
arXiv:1703.10593).

  generators   G: x -> y,  F: y -> x
  critics      D_y, D_x: a logit for each patch                                       (section 7.2)
  adversarial  D_y descends  1/2 [(D_y(y) - 1)^2 + D_y(G(x))^2],  G  (D_y(G(x)) - 1)^2 (section 4)
  cycle        |F(G(x)) - x| + |G(F(y)) - y|                                           (eq. 2)
  identity     |G(y) - y| + |F(x) - x|                                                 (section 5.2)

Squares are means over patches, absolute values means over pixels, in [-1, 1]. Four players: both
generators move together, each by its own part of the whole objective, of which the other parts do
not depend on it; then both critics, on examples of their own and on translations out of a pool
(`learn.pool`). The source's critics see the batch, and the generators, of before the generators'
step.

Nothing in the objective says which x belongs to which y: a permutation of classes is as consistent
as the right translation. And a translation may hide its input in rounding noise (Chu et al. 2017,
arXiv:1712.02950), so that its cycle is to be measured after rounding.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array, Program, Spec, UserError, centre, quantize, single
from gen_jax.learn import pool as pools
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import LOSSES
from gen_jax.models.common import require_two_images
from gen_jax.nets.translation import Norm, PatchCritic, Translator, smallest_map
from gen_jax.schema import Count, Decay, Dtype, Natural, NonNegative, Positive, builder

GENERATORS = {"y": "generator_y", "x": "generator_x"}  # by the domain that each leads to
CRITICS = {"y": "critic_y", "x": "critic_x"}  # by the domain that each judges
OTHER = {"x": "y", "y": "x"}
LS = LOSSES["ls"]


@dataclasses.dataclass(frozen=True)
class Direction:
  """Which way `transform` translates.

  direction: x_to_y takes examples of the domain x, y_to_x those of the domain y.
  """

  direction: Literal["x_to_y", "y_to_x"] = "x_to_y"


@dataclasses.dataclass(frozen=True)
class GeneratorNet:
  """Both generators' networks, see `nets.translation.Translator`."""

  widths: tuple[Count, ...] = (64, 128, 256)
  blocks: Natural = 9
  kernel: Count = 7
  norm: Norm = "instance"
  init_std: Positive = 0.02


@dataclasses.dataclass(frozen=True)
class CriticNet:
  """Both critics' networks, see `nets.translation.PatchCritic`."""

  widths: tuple[Count, ...] = (64, 128, 256, 512)
  norm: Norm = "instance"
  init_std: Positive = 0.02


def difference(a: Array, b: Array) -> Array:
  """Mean absolute difference of each example [B, ...] -> [B]."""
  chex.assert_equal_shape([a, b])
  return jnp.abs(a - b).mean(axis=tuple(range(1, a.ndim)))


def over_patches(loss: Array) -> Array:
  """[B, h, w] -> [B]."""
  return loss.mean(axis=(1, 2))


def critic_loss(on_real: Array, on_fake: Array) -> Array:
  """1/2 [(D(x) - 1)^2 + D(y)^2] [B], a mean over the patches of logits [B, h, w]."""
  return over_patches(LS.critic(on_real, on_fake)) / 2


def adversarial_loss(on_fake: Array) -> Array:
  """(D(y) - 1)^2 [B], a mean over the patches of logits [B, h, w]."""
  return over_patches(LS.generator(on_fake, on_fake))


@builder
def build(
  spec: Spec,
  *,
  cycle_weight: NonNegative = 10.0,
  identity_weight: NonNegative = 5.0,
  pool: Natural = 50,
  generator: GeneratorNet = GeneratorNet(),
  critic: CriticNet = CriticNet(),
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  generator_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
  critic_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
  sample: Direction = Direction(),
) -> Program:
  """CycleGAN of images x [H, W, C] and y [H, W, C] with integer levels.

  `transform` is given an example of the domain that `sample.direction` starts from. `evaluate`
  gives for each x and y of the batch, as two examples of their domains and not as a pair,
  cycle_error and identity_error: mean absolute differences in [-1, 1], averaged over both
  directions, of translations that are not rounded.

  Args:
    spec: of the data, with an image y.
    cycle_weight: of the cycle terms.
    identity_weight: of the identity terms, 5 in the source where it has them; they need x and y of
      as many channels.
    pool: translations of each direction that are kept for its critic, 0 for none.
    generator, critic: networks, see there.
    dtype: of the networks' computation.
    ema: decay of the average of the generators' parameters that translations come from; 0, as in
      the source, for none.
    generator_optimizer, critic_optimizer: of both generators, of both critics.
    sample: see there.

  Raises:
    UserError: if the data have no second domain, or the networks do not fit the images.
  """
  check(spec, identity_weight, generator, critic)
  real = jnp.promote_types(dtype, jnp.float32)
  fields = {"x": spec.x, "y": spec.fields["y"]}
  how = {"dtype": jnp.dtype(dtype)}
  translators = {
    d: Translator(fields[d].shape[-1], **dataclasses.asdict(generator), **how) for d in fields
  }
  judge = PatchCritic(**dataclasses.asdict(critic), **how)

  def scaled(domain, x):
    return centre(x, fields[domain].levels, real)

  def both(batch):
    for d in fields:
      chex.assert_shape(batch[d], (None, *fields[d].shape))
    return {d: scaled(d, batch[d]) for d in fields}

  def translate(params, to, x):
    return translators[to].apply({"params": params[GENERATORS[to]]}, x)

  def score(params, domain, x):
    return judge.apply({"params": params[CRITICS[domain]]}, x)

  def init(key, batch):
    params, mutable = {}, {name: {} for name in (*GENERATORS.values(), *CRITICS.values())}
    for i, d in enumerate(fields):
      g_key, c_key = jax.random.split(jax.random.fold_in(key, i))
      given = both(jax.tree.map(lambda leaf: leaf[:1], {k: batch[k] for k in fields}))
      params[GENERATORS[d]] = translators[d].init(g_key, given[OTHER[d]])["params"]
      params[CRITICS[d]] = judge.init(c_key, given[d])["params"]
      if pool:
        mutable[CRITICS[d]] = pools.empty(pool, given[d][0])._asdict()
    return params, mutable

  def generator_loss(to):
    """Of the generator to that domain."""
    start = OTHER[to]

    def loss(params, mutable, batch, key, step):
      x = both(batch)
      made = {d: translate(params, d, x[OTHER[d]]) for d in fields}
      terms = {
        f"adversarial_{to}": adversarial_loss(score(params, to, made[to])),
        f"cycle_{start}": difference(translate(params, start, made[to]), x[start]),
      }
      value = terms[f"adversarial_{to}"] + cycle_weight * terms[f"cycle_{start}"]
      value += cycle_weight * difference(translate(params, to, made[start]), x[to])
      if identity_weight:
        terms[f"identity_{to}"] = difference(translate(params, to, x[to]), x[to])
        value += identity_weight * terms[f"identity_{to}"]
      return value, (mutable[GENERATORS[to]], terms)

    return minimise(GENERATORS[to], loss, generator_optimizer.accumulate)

  def loss_of_critic(domain):
    """Of the critic of that domain."""
    name = CRITICS[domain]

    def loss(params, mutable, batch, key, step):
      x, own = both(batch), mutable[name]
      made = jax.lax.stop_gradient(translate(params, domain, x[OTHER[domain]]))
      if pool:
        after, made = pools.exchange(pools.Pool(**own), made, key, batch.get("mask"))
        own = after._asdict()
      on_real, on_fake = score(params, domain, x[domain]), score(params, domain, made)
      terms = {f"{name}_on_real": over_patches(on_real), f"{name}_on_fake": over_patches(on_fake)}
      return critic_loss(on_real, on_fake), (own, terms)

    return minimise(name, loss, critic_optimizer.accumulate)

  def averages(state):
    return {name: averaged(state, name) for name in GENERATORS.values()}

  def evaluate(state, batch, keys):
    """cycle_error, identity_error [B]."""
    params, x = averages(state), both(batch)
    made = {d: translate(params, d, x[OTHER[d]]) for d in fields}
    terms = {"cycle_error": sum(difference(translate(params, d, made[OTHER[d]]), x[d]) for d in x)}
    if alike(spec):
      terms["identity_error"] = sum(difference(translate(params, d, x[d]), x[d]) for d in x)
    return {name: value / 2 for name, value in terms.items()}

  start, to = sample.direction.split("_to_")

  def transform(state, x, keys, cond=None):
    """Of the other domain, rounded to its levels."""
    chex.assert_shape(x, (None, None, None, fields[start].shape[-1]))
    return quantize(translate(averages(state), to, scaled(start, x)), fields[to].levels)

  generators = {
    GENERATORS[d]: Player(generator_loss(d), generator_optimizer.make()) for d in ("y", "x")
  }
  critics = {CRITICS[d]: Player(loss_of_critic(d), critic_optimizer.make()) for d in ("y", "x")}
  return single(
    game(
      {**generators, **critics},
      init,
      order=((tuple(generators), 1), (tuple(critics), 1)),
      ema=dict.fromkeys(generators, ema) if ema else {},
      evaluate=evaluate,
      transform=transform,
      given=start,
      stride=2 ** (len(generator.widths) - 1),
    )
  )


def alike(spec: Spec) -> bool:
  """Whether an example of one domain can be given to the generator that leads to it."""
  return spec.shape == spec.fields["y"].shape


def check(spec: Spec, identity_weight: float, generator: GeneratorNet, critic: CriticNet) -> None:
  """Refuses data without two domains of images, and networks that do not fit them."""
  require_two_images(spec, "CycleGAN", "two domains: take data.name=domains:colour")
  y = spec.fields["y"]
  check_widths(spec, generator.widths, critic.widths)
  if identity_weight and not alike(spec):
    raise UserError(
      f"model.identity_weight={identity_weight} needs x and y of as many channels, not"
      f" {spec.shape[-1]} and {y.shape[-1]}: set it 0"
    )
  if generator.kernel % 2 == 0:
    raise UserError(f"model.generator.kernel must be odd, not {generator.kernel}")
  size, scale = min(spec.shape[:2]), 2 ** (len(generator.widths) - 1)
  low = size // scale
  if any(n % scale for n in spec.shape[:2]) or low < 2 or size <= generator.kernel // 2:
    raise UserError(
      f"model.generator.widths={generator.widths} halve an image {len(generator.widths) - 1} times"
      f" and reflect its border; the data have shape {spec.shape}: give fewer widths"
    )


def check_widths(spec: Spec, generator: tuple[int, ...], critic: tuple[int, ...]) -> None:
  """Refuses a generator without layers, and a critic that leaves nothing of the images."""
  if not generator or not critic:
    raise UserError("model.generator.widths and model.critic.widths must have 1 or more entries")
  if smallest_map(min(spec.shape[:2]), len(critic)) < 1:
    raise UserError(
      f"model.critic.widths={critic} leave nothing of images of shape {spec.shape}: give fewer"
    )
