"""pix2pix: translation learnt from pairs (Isola et al. 2017, arXiv:1611.07004).

  critic     descends 1/2 [-log D(x, y) - log(1 - D(x, G(x)))]      (eq. 1; the half: section 3.4)
  generator  descends -log D(x, G(x)) + 100 |y - G(x)|              (eq. 4; section 3.4)

Logarithms are means over patches, absolute values means over pixels, in [-1, 1]. Both players move
at once, on one batch: the critic sees the translations of before the generator's step.

The source's noise is dropout, and its norms are those of the test batch; here norms are of the
example, and a translation is drawn by the example's key, or has no noise (law 6).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import chex
import jax
import jax.numpy as jnp

from gen_jax.core import Array, Program, Spec, UserError, centre, fold_all, quantize, single
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import LOSSES
from gen_jax.models.common import require_two_images
from gen_jax.models.cyclegan import CriticNet, check_widths, difference, over_patches
from gen_jax.nets.translation import Norm, PatchCritic, SkipTranslator
from gen_jax.schema import Count, Decay, Dtype, NonNegative, Positive, builder

CROSS_ENTROPY = LOSSES["ns"]


@dataclasses.dataclass(frozen=True)
class Noise:
  """How a translation is made.

  noise: draw it, by the dropout that the generator was trained with.
  """

  noise: bool = False


@dataclasses.dataclass(frozen=True)
class GeneratorNet:
  """The generator's network, see `nets.translation.SkipTranslator`."""

  widths: tuple[Count, ...] = (64, 128, 256, 512, 512, 512, 512, 512)
  norm: Norm = "instance"
  dropout: Decay = 0.5
  init_std: Positive = 0.02


def critic_loss(on_real: Array, on_fake: Array) -> Array:
  """1/2 [-log D(x, y) - log(1 - D(x, G(x)))] [B], a mean over the patches of logits [B, h, w]."""
  return over_patches(CROSS_ENTROPY.critic(on_real, on_fake)) / 2


def adversarial_loss(on_fake: Array) -> Array:
  """-log D(x, G(x)) [B], a mean over the patches of logits [B, h, w]."""
  return over_patches(CROSS_ENTROPY.generator(on_fake, on_fake))


def conditional_game(
  pair: Callable,
  make: Callable,
  score: Callable,
  *,
  l1_weight: float,
  generator_optimizer: Optimizer,
  critic_optimizer: Optimizer,
) -> dict[str, Player]:
  """The players "generator" and "critic" of a translation between images that are known in pairs.

  Args:
    pair: batch -> (given, wanted), [B, H, W, C] and [B, H, W, C'] in [-1, 1].
    make: (generator's parameters, given, key) -> [B, H, W, C'].
    score: (critic's parameters, given, made) -> logits [B, h, w].
    l1_weight: of the absolute error.
    generator_optimizer, critic_optimizer: see there.
  """

  def generator_loss(params, mutable, batch, key, step):
    given, wanted = pair(batch)
    made = make(params["generator"], given, key)
    terms = {
      "adversarial": adversarial_loss(score(params["critic"], given, made)),
      "absolute_error": difference(made, wanted),
    }
    value = terms["adversarial"] + l1_weight * terms["absolute_error"]
    return value, (mutable["generator"], terms)

  def loss_of_critic(params, mutable, batch, key, step):
    given, wanted = pair(batch)
    made = jax.lax.stop_gradient(make(params["generator"], given, key))
    on_real, on_fake = (score(params["critic"], given, y) for y in (wanted, made))
    terms = {"critic_on_real": over_patches(on_real), "critic_on_fake": over_patches(on_fake)}
    return critic_loss(on_real, on_fake), (mutable["critic"], terms)

  return {
    "generator": Player(
      minimise("generator", generator_loss, generator_optimizer.accumulate),
      generator_optimizer.make(),
    ),
    "critic": Player(
      minimise("critic", loss_of_critic, critic_optimizer.accumulate), critic_optimizer.make()
    ),
  }


@builder
def build(
  spec: Spec,
  *,
  direction: Literal["x_to_y", "y_to_x"] = "x_to_y",
  l1_weight: NonNegative = 100.0,
  generator: GeneratorNet = GeneratorNet(),
  critic: CriticNet = CriticNet(),
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  generator_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
  critic_optimizer: Optimizer = Optimizer(learning_rate=2e-4, b1=0.5),
  sample: Noise = Noise(),
) -> Program:
  """pix2pix of images x [H, W, C] and y [H, W, C'] with integer levels.

  `transform` is given x, or y where the direction is y_to_x. `evaluate` gives absolute_error: the
  mean absolute difference in [-1, 1] to the paired image, of a translation without noise that is
  not rounded.

  Args:
    spec: of the data, with an image y that belongs to x.
    direction: which of the two is made of the other.
    l1_weight: of the absolute error.
    generator, critic: networks, see there. The critic sees the given image and the made one as
      channels of one.
    dtype: of the networks' computation.
    ema: decay of the average of the generator's parameters that translations come from; 0, as in
      the source, for none.
    generator_optimizer, critic_optimizer: see there.
    sample: see there.

  Raises:
    UserError: if the data have no paired image, or the networks do not fit the images.
  """
  check(spec, generator, critic, sample)
  real = jnp.promote_types(dtype, jnp.float32)
  start, to = direction.split("_to_")
  fields = {"x": spec.x, "y": spec.fields["y"]}
  how = {"dtype": jnp.dtype(dtype)}
  net = SkipTranslator(fields[to].shape[-1], **dataclasses.asdict(generator), **how)
  judge = PatchCritic(**dataclasses.asdict(critic), **how)

  def scaled(domain, x):
    return centre(x, fields[domain].levels, real)

  def pair(batch):
    for d in fields:
      chex.assert_shape(batch[d], (None, *fields[d].shape))
    return scaled(start, batch[start]), scaled(to, batch[to])

  def make(params, given, key):
    return net.apply({"params": params}, given, noise=True, rngs={"dropout": key})

  def score(params, given, made):
    return judge.apply({"params": params}, jnp.concatenate([given, made], axis=-1))

  def init(key, batch):
    given, wanted = pair(jax.tree.map(lambda leaf: leaf[:1], {d: batch[d] for d in fields}))
    g_key, c_key = jax.random.split(key)
    params = {
      "generator": net.init(g_key, given)["params"],
      "critic": judge.init(c_key, jnp.concatenate([given, wanted], axis=-1))["params"],
    }
    return params, {name: {} for name in params}

  def translate(state, given):
    return net.apply({"params": averaged(state, "generator")}, given)

  def drawn(state, given, keys):
    params = averaged(state, "generator")
    one = lambda x, key: make(params, x[None], key)[0]
    return jax.vmap(one)(given, fold_all(keys, 0))

  def evaluate(state, batch, keys):
    """absolute_error [B]."""
    given, wanted = pair(batch)
    return {"absolute_error": difference(translate(state, given), wanted)}

  def transform(state, x, keys=None, cond=None):
    """Of the other image, rounded to its levels."""
    chex.assert_shape(x, (None, None, None, fields[start].shape[-1]))
    given = scaled(start, x)
    made = drawn(state, given, keys) if sample.noise else translate(state, given)
    return quantize(made, fields[to].levels)

  players = conditional_game(
    pair, make, score, l1_weight=l1_weight, generator_optimizer=generator_optimizer,
    critic_optimizer=critic_optimizer,
  )  # fmt: skip
  return single(
    game(
      players,
      init,
      ema={"generator": ema} if ema else {},
      evaluate=evaluate,
      transform=transform,
      given=start,
      stride=2 ** len(generator.widths),
    )
  )


def check(spec: Spec, generator: GeneratorNet, critic: CriticNet, sample: Noise) -> None:
  """Refuses data without pairs of images, and networks that do not fit them."""
  require_two_images(spec, "pix2pix", "in pairs: take data.name=pairs:shape")
  check_widths(spec, generator.widths, critic.widths)
  if any(n % 2 ** len(generator.widths) for n in spec.shape[:2]):
    raise UserError(
      f"model.generator.widths={generator.widths} halve an image {len(generator.widths)} times, and"
      f" the data have shape {spec.shape}: give fewer widths"
    )
  if sample.noise and not generator.dropout:
    raise UserError("sample.noise=True needs model.generator.dropout above 0: there is no noise")
