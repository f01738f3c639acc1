"""Super-resolution: the picture that a small one was made of, as a regression or as a game.

  given      LR = down_s(HR), bicubic and antialiased, rounded to the data's levels
  learn      |HR - G(LR)|, or its square                       (a mean over the pixels, in [0, 1])
  then       l_X(HR, G(LR)) - w log D(G(LR)),  D descends  -log D(HR) - log(1 - D(G(LR)))

The second line is SRCNN, ESPCN and SRResNet, by `net`; the third, of `adversarial` = w above 0, is
SRGAN (Ledig et al. 2017, arXiv:1609.04802, eq. 2-3), a stage of its own that goes on from the
first. Its content loss l_X is that of the pixels, or of a frozen net's features
(`models.perceptual`).

In colour "y" the net sees and makes Y of BT.601, which is what the field measures; Cb and Cr are
the bicubic's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal, NamedTuple

import chex
import jax
import jax.numpy as jnp

from gen_jax.colour import luma
from gen_jax.core import (
  Array,
  Program,
  Spec,
  UserError,
  as_integers,
  single,
  unit,
)
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models.common import in_levels, require_images, require_multiples
from gen_jax.models.perceptual import Perceptual, extractor
from gen_jax.models.srgan import Task, critic_loss, generator_loss, in_stages
from gen_jax.nets import gan
from gen_jax.nets.superres import NETS, Enlarger, enlarge, reach, reduce
from gen_jax.schema import Count, Decay, Dtype, NonNegative, builder

# How much R, G and B each rise with Y where Cb and Cr stay: the inverse of BT.601's 219 / 255.
RISE = 255 / 219
ERRORS: dict[str, Callable[[Array], Array]] = {"l1": jnp.abs, "l2": jnp.square}


@dataclasses.dataclass(frozen=True)
class SelfEnsemble:
  """How pictures are enlarged.

  ensemble: the mean over the picture flipped and turned in all eight ways, each turned back
    (Timofte et al. 2016, section 3.8; Lim et al. 2017, section 3.4).
  """

  ensemble: bool = False


@dataclasses.dataclass(frozen=True)
class CriticNet:
  """The critic's network, see `nets.gan.Critic`. That of the source halves 96x96 pixels four times,
  with batch normalisation, by which a logit would depend on the rest of its batch."""

  widths: tuple[Count, ...] = (32, 64, 128, 128)
  hidden: tuple[Count, ...] = (128,)
  norm: Literal["none", "layer"] = "none"


class Views(NamedTuple):
  """What the net sees of a picture, and the picture that belongs to what it makes.

  see: picture [B, H, W, C] in [0, 1] -> [B, H, W, 1 or 3].
  paint: (bicubic picture [B, H, W, C], what is made [B, H, W, 1 or 3]) -> picture [B, H, W, C].
  """

  see: Callable[[Array], Array]
  paint: Callable[[Array, Array], Array]


def views(colour: str) -> Views:
  """Of Y, or of all channels as they are."""
  if colour == "rgb":
    return Views(lambda x: x, lambda large, made: made)

  def see(x):
    x = jnp.broadcast_to(x, (*x.shape[:-1], 3))  # grey has equal R, G and B
    return luma(255 * x)[..., None] / 255

  return Views(see, lambda large, made: large + RISE * (made - see(large)))


def eightfold(enlarger: Callable[[Array], Array], x: Array) -> Array:
  """The mean of an enlarger's results over the symmetries of the square: [B, H, W, C] -> [B, s H,
  s W, C]."""
  flips = [lambda x: x, lambda x: x[:, ::-1], lambda x: x[:, :, ::-1], lambda x: x[:, ::-1, ::-1]]

  def of_flips(x):
    made = enlarger(jnp.concatenate([flip(x) for flip in flips]))
    return sum(flip(part) for flip, part in zip(flips, jnp.split(made, 4), strict=True))

  turn = lambda x: x.swapaxes(1, 2)
  return (of_flips(x) + turn(of_flips(turn(x)))) / 8


@builder
def build(
  spec: Spec,
  *,
  scale: Literal[2, 3, 4] = 4,
  colour: Literal["y", "rgb"] = "y",
  net: Literal[tuple(NETS)] = "srresnet",
  width: Count = 32,
  blocks: Count = 6,
  skip: bool = True,
  loss: Literal[tuple(ERRORS)] = "l1",
  adversarial: NonNegative = 0.0,
  perceptual: Perceptual = Perceptual(),
  critic: CriticNet = CriticNet(),
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3, clip=1.0),
  generator_optimizer: Optimizer = Optimizer(learning_rate=1e-4),
  critic_optimizer: Optimizer = Optimizer(learning_rate=1e-4),
  sample: SelfEnsemble = SelfEnsemble(),
) -> Program:
  """Super-resolution of images [H, W, C] with grey levels.

  `observe` gives the small picture of x, after rows and columns that s does not divide are cut off
  at the end; `transform` enlarges small pictures of any size, real-valued, in grey levels.
  `evaluate` gives pixel_error, the loss of the first stage, and bicubic_pixel_error, that of the
  bicubic; with a perceptual loss also feature_error (and style_error).

  Args:
    spec: of the data.
    scale: s.
    colour: what the net sees and makes: Y, or R, G and B.
    net, width, blocks, skip: of the `Enlarger`.
    loss: the pixels' of the first stage and of a content loss: l1 or l2.
    adversarial: w, of the critic's part in the second stage; 0 for the first stage alone. 1e-3 in
      the source.
    perceptual: the content loss of the second stage, see there; its `pixels` is the weight of the
      pixels' mean error beside the features. A classifier's stage comes before all others.
    critic: see there.
    dtype: of the networks' computation.
    ema: decay of the average of the net's parameters that enlarges; 0 for none.
    optimizer: of the first stage.
    generator_optimizer, critic_optimizer: of the second.
    sample: see there.

  Raises:
    UserError: if the data are no images with grey levels of sizes that s divides, or options do
      not fit each other or the data.
  """
  check(spec, scale, colour, adversarial, perceptual, critic)
  real, channels = jnp.promote_types(dtype, jnp.float32), spec.shape[-1]
  enlarger = Enlarger(scale, net, width, blocks, skip, jnp.dtype(dtype))
  view = views(colour)
  features = extractor(spec, perceptual, dtype) if perceptual.features != "none" else None

  def scaled(x):
    chex.assert_shape(x, (None, None, None, channels))
    return unit(x, spec.levels, real)

  def shrunk(x):
    """x [B, H, W, C] in [0, 1] as a small picture, rounded to the data's levels, in them."""
    height, width = (n // scale * scale for n in x.shape[1:3])
    return as_integers(
      jnp.round((spec.levels - 1) * reduce(x[:, :height, :width], scale)), spec.levels
    )

  def given(batch):
    """Of a batch: the small pictures and the whole ones, in [0, 1]."""
    chex.assert_shape(batch["x"], (None, *spec.shape))
    x = scaled(batch["x"])
    return scaled(shrunk(x)), x

  def make(params, small):
    return enlarger.apply({"params": params}, view.see(small))

  def pixel_error(made, x):
    return ERRORS[loss](made - view.see(x)).mean((1, 2, 3))

  def feature_terms(phi, small, made, x):
    if features is None:
      return {}
    return features.terms(phi, view.paint(enlarge(small, scale), made), x)

  def init(key, batch):
    small, _ = given({"x": batch["x"][:1]})
    return {"generator": enlarger.init(key, view.see(small))["params"]}, {"generator": {}}

  def regression(params, mutable, batch, key, step):
    del key, step
    small, x = given(batch)
    value = pixel_error(make(params["generator"], small), x)
    return value, (mutable["generator"], {"pixel_error": value})

  def evaluate(state, batch, keys):
    del keys
    small, x = given(batch)
    made = make(averaged(state, "generator"), small)
    terms = {
      "pixel_error": pixel_error(made, x),
      "bicubic_pixel_error": pixel_error(view.see(enlarge(small, scale)), x),
    }
    phi = state["mutable"]["generator"].get("phi")
    return terms if phi is None else terms | feature_terms(phi, small, made, x)

  def observe(state, x, keys=None, cond=None):
    """The small picture, rounded to the data's levels."""
    del state, keys, cond
    return shrunk(scaled(x))

  def transform(state, x, keys=None, cond=None):
    del keys, cond
    small, params = scaled(x), averaged(state, "generator")
    of = lambda x: make(params, x)
    made = eightfold(of, small) if sample.ensemble else of(small)
    return in_levels(view.paint(enlarge(small, scale), made), spec)

  capabilities = dict(
    evaluate=evaluate, observe=observe, transform=transform, stride=1,
    context=reach(net, scale, blocks),
  )  # fmt: skip
  average = {"generator": ema} if ema else {}
  player = lambda name, loss, how: Player(minimise(name, loss, how.accumulate), how.make())
  first = game(
    {"generator": player("generator", regression, optimizer)}, init, ema=average, **capabilities
  )
  if not adversarial:
    return single(first)

  judge = gan.Critic(**dataclasses.asdict(critic), dtype=jnp.dtype(dtype))
  task = Task(given, make, view.see, pixel_error, feature_terms, judge)

  def init_game(key, batch):
    params, mutable = init(key, batch)
    c_key, phi_key = jax.random.split(jax.random.fold_in(key, 1))
    x = scaled(batch["x"][:1])
    params["critic"] = judge.init(c_key, 2 * view.see(x) - 1)["params"]
    phi = {} if features is None else {"phi": features.init(phi_key, x)}
    return params, {**mutable, "generator": phi, "critic": {}}

  players = {
    "critic": player("critic", critic_loss(task), critic_optimizer),
    "generator": player(
      "generator", generator_loss(task, perceptual, adversarial), generator_optimizer
    ),
  }
  order = (("critic", 1), ("generator", 1))
  second = game(players, init_game, order=order, ema=average, **capabilities)
  return in_stages(first, second, features)


def check(
  spec: Spec, scale: int, colour: str, adversarial: float, perceptual: Perceptual, critic: CriticNet
) -> None:
  """Refuses data that cannot be reduced by the scale, and options that do not fit each other."""
  require_images(spec, "superres")
  require_multiples(spec, scale, f"model.scale={scale} makes pictures {scale} times as small")
  if spec.shape[-1] not in (1, 3):
    raise UserError(f"superres needs grey or RGB images, not {spec.shape[-1]} channels")
  if colour == "rgb" and spec.shape[-1] != 3:
    raise UserError("model.colour=rgb needs images of three channels: take model.colour=y")
  if perceptual.features != "none" and not adversarial:
    raise UserError(
      "model.perceptual is of the second stage: set model.adversarial above 0 for it, or"
      " model.perceptual.features=none"
    )
  if adversarial:
    if not critic.widths:
      raise UserError("model.critic.widths must have 1 or more entries, not ()")
    require_multiples(
      spec, 2 ** len(critic.widths), f"{len(critic.widths)} model.critic.widths halve an image"
    )
