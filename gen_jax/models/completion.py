"""Globally and locally consistent image completion (Iizuka, Simo-Serra & Ishikawa 2017).

  given       [x (1 - M) + mean M, M], with M the hole
  completion  c = M C(given) + (1 - M) x, which is x outside the hole           (section 3.1)
  critic      logit D(x, M) of an image and its hole, by the whole image and by the patch around it
  C descends  || M (C - x) ||^2 - alpha log D(c, M),  D  -log D(x, M') - log(1 - D(c, M))

The square is a mean over the hole's pixels, in [0, 1], and M' a hole of its own that nothing was
done to, so that a hole's place tells nothing. In three phases (alg. 1): C by the square alone, D
alone, and both in turns, with the parameters, optimisers and averages of the phase before. The
source's C ascends log(1 - D); this one has the loss that does not saturate.

D is shown completions, which are x outside the hole, never C's own output there: it would tell real
from made by that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Annotated, NamedTuple

import chex
import jax
import jax.numpy as jnp
from annotated_types import Ge

from gen_jax.core import (
  Array,
  Model,
  Program,
  PyTree,
  Spec,
  Stage,
  UserError,
  fold_all,
  over_states,
  single,
  unit,
)
from gen_jax.holes import blend, boxes, over_hole
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import LOSSES
from gen_jax.models.common import field_of, in_levels, require_images, require_multiples
from gen_jax.nets.completion import Completer, Critics, Norm, with_hole
from gen_jax.schema import Count, Decay, Dtype, NonNegative, builder

NS = LOSSES["ns"]


@dataclasses.dataclass(frozen=True)
class Blending:
  """blend: whether what fills the hole gets the offset by which it fits its border.

  Poisson blending (`gen_jax.holes`), a part of the source's post-processing.
  """

  blend: bool = False


@dataclasses.dataclass(frozen=True)
class Holes:
  """Where holes are: a box of each example, or what its data say.

  low, high: the least and the largest height, and width, of a box somewhere in the image; each is
    drawn by itself.
  field: a field [H, W] of the data that is not 0 in the hole; "" for boxes.
  """

  low: Count = 8
  high: Count = 12
  field: str = ""


@dataclasses.dataclass(frozen=True)
class CompleterNet:
  """C's network, see `nets.completion.Completer`."""

  widths: tuple[Count, ...] = (64, 128, 256)
  dilations: tuple[Count, ...] = (2, 4, 8, 16)
  norm: Norm = "none"
  bounded: bool = True


@dataclasses.dataclass(frozen=True)
class CriticNet:
  """D's networks, see `nets.completion.Critics`."""

  whole: tuple[Count, ...] = (64, 128, 256, 512, 512, 512)
  local: tuple[Count, ...] = (64, 128, 256, 512, 512)
  features: Count = 1024
  patch: Annotated[int, Ge(2)] = 128


class Parts(NamedTuple):
  """What the phases share: the data's spec, both players' networks, where holes are, and the type
  of the computation."""

  spec: Spec
  net: Completer
  judge: Critics
  holes: Holes
  real: jnp.dtype

  def scaled(self, x: Array) -> Array:
    """Images [B, H, W, C] of any size, in levels, to [0, 1]."""
    chex.assert_shape(x, (None, None, None, self.spec.shape[-1]))
    return unit(x, self.spec.levels, self.real)

  def hole_of(self, keys: Array, x: Array, cond: Mapping | None) -> Array:
    """bool [B, H, W] of images x [B, H, W, C]."""
    if not self.holes.field:
      return boxes(keys, *x.shape[1:3], self.holes.low, self.holes.high)
    given = field_of(cond, self.holes.field)
    chex.assert_shape(given, x.shape[:3])
    return given != 0

  def fill(self, params: PyTree, mean: Array, x: Array, hole: Array) -> Array:
    """C(given) [B, H, W, C] of x [B, H, W, C] in [0, 1]."""
    return self.net.apply({"params": params}, with_hole(x, hole, mean))

  def completed(self, state: PyTree, x: Array, hole: Array, blended: bool = False) -> Array:
    """c by the average of C's parameters, if there is one."""
    mean = state["mutable"]["generator"]["mean"]
    made = self.fill(averaged(state, "generator"), mean, x, hole)
    return blend(made, x, hole) if blended else jnp.where(hole[..., None], made, x)

  def made_of(self, params, mutable, batch, key) -> tuple[Array, Array, Array]:
    """x, its hole and c, in training."""
    x = self.scaled(batch["x"])
    hole = self.hole_of(jax.random.split(key, len(x)), x, batch)
    made = self.fill(params["generator"], mutable["generator"]["mean"], x, hole)
    return x, hole, jnp.where(hole[..., None], made, x)

  def score(self, params: PyTree, x: Array, hole: Array) -> Array:
    """The critic's logit [B]."""
    return self.judge.apply({"params": params["critic"]}, x, hole)


def init_players(parts: Parts, alpha: float, key, batch) -> tuple[dict, dict]:
  """Parameters and mutable state of C, which keeps the mean colour of the first batch, and of D
  where there is an adversarial loss."""
  x = parts.scaled(batch["x"])
  hole = jnp.zeros((1, *x.shape[1:3]), bool)
  mean = x.mean(axis=(0, 1, 2))
  given = with_hole(x[:1], hole, mean)
  params = {"generator": parts.net.init(jax.random.fold_in(key, 0), given)["params"]}
  mutable = {"generator": {"mean": mean}}
  if alpha:
    params["critic"] = parts.judge.init(jax.random.fold_in(key, 1), x[:1], hole)["params"]
    mutable["critic"] = {}
  return params, mutable


def generator_loss(parts: Parts, alpha: float, params, mutable, batch, key, step):
  """|| M (C - x) ||^2, with alpha also - alpha log D(c, M), [B]."""
  x, hole, made = parts.made_of(params, mutable, batch, key)
  value = over_hole((made - x) ** 2, hole)
  terms = {"hole_error": value}
  if alpha:
    logit = parts.score(params, made, hole)
    terms["adversarial"] = NS.generator(logit, logit)
    value = value + alpha * terms["adversarial"]
  return value, (mutable["generator"], terms)


def critic_loss(parts: Parts, params, mutable, batch, key, step):
  """- log D(x, M') - log(1 - D(c, M)), [B]."""
  own, other = jax.random.split(key)
  x, hole, made = parts.made_of(params, mutable, batch, own)
  elsewhere = parts.hole_of(jax.random.split(other, len(x)), x, batch)
  on_real = parts.score(params, x, elsewhere)
  on_fake = parts.score(params, jax.lax.stop_gradient(made), hole)
  terms = {"critic_on_real": on_real, "critic_on_fake": on_fake}
  return NS.critic(on_real, on_fake), (mutable["critic"], terms)


def evaluate(parts: Parts, state, batch, keys) -> dict[str, Array]:
  """hole_error [B], and where there is a critic critic_on_real and critic_on_fake [B]."""
  x = parts.scaled(batch["x"])
  hole = parts.hole_of(fold_all(keys, 0), x, batch)
  made = parts.completed(state, x, hole)
  terms = {"hole_error": over_hole((made - x) ** 2, hole)}
  if "critic" in state["params"]:
    terms["critic_on_real"] = parts.score(state["params"], x, hole)
    terms["critic_on_fake"] = parts.score(state["params"], made, hole)
  return terms


def observe(parts: Parts, state, x: Array, keys: Array, cond: Mapping | None = None) -> Array:
  """x [B, H, W, C] with a hole: [B, H, W, C + 1], the last channel alpha, in levels."""
  hidden = parts.hole_of(fold_all(keys, 0), x, cond)[..., None]
  known = jnp.full_like(x[..., :1], parts.spec.levels - 1)
  return jnp.where(hidden, 0, jnp.concatenate([x, known], axis=-1)).astype(x.dtype)


def transform(
  parts: Parts, blended: bool, state, x: Array, keys: Array | None = None,
  cond: Mapping | None = None,
) -> Array:  # fmt: skip
  """x [B, H, W, C + 1] as `observe` gives it, filled: [B, H, W, C], in levels.

  Raises:
    UserError: if x has another number of channels.
  """
  channels, top = parts.spec.shape[-1], parts.spec.levels - 1
  if x.shape[-1] != channels + 1:
    raise UserError(
      f"completion is given images of {channels + 1} channels, of which the last is below {top} in"
      f" the hole and {top} elsewhere, not of {x.shape[-1]}"
    )
  known, hole = x[..., :channels], x[..., channels] < top
  shown = parts.scaled(jnp.where(hole[..., None], 0, known))
  made = parts.completed(state, shown, hole, blended)
  filled = jnp.round(in_levels(made, parts.spec)).astype(x.dtype)
  return jnp.where(hole[..., None], filled, known)


@builder
def build(
  spec: Spec,
  *,
  alpha: NonNegative = 4e-4,
  holes: Holes = Holes(),
  completer: CompleterNet = CompleterNet(),
  critic: CriticNet = CriticNet(),
  dtype: Dtype = "float32",
  ema: Decay = 0.0,
  generator_optimizer: Optimizer = Optimizer(learning_rate=4e-4),
  critic_optimizer: Optimizer = Optimizer(learning_rate=4e-4),
  sample: Blending = Blending(),
) -> Program:
  """Completion of images [H, W, C] with integer levels, C of 1 or 3.

  The networks' defaults are the source's, for images of 256x256. `observe` gives images with one
  channel more, alpha: the highest level where a pixel is known, and in the hole 0 like the others.
  `transform` is given such images, of any height and width that the net's halvings divide, and
  fills what is not fully opaque: the result is rounded to the data's levels, and outside the hole
  it is what was given. `evaluate` gives hole_error, the mean squared error in the hole, pixels in
  [0, 1], and the critic's logits of x and of its completion.

  Args:
    spec: of the data.
    alpha: weight of the adversarial loss; with 0 the first phase is all, and there is no critic.
    holes: see there.
    completer, critic: networks, see there.
    dtype: of the networks' computation.
    ema: decay of the average of C's parameters that completions come from; 0, as in the source, for
      none. It rests while C does.
    generator_optimizer, critic_optimizer: of C and of D.
    sample: see there.

  Raises:
    UserError: if the data are no such images, the networks or the holes do not fit them, or if
      `transform` is given images without alpha; if holes are of a field, `observe` needs `cond`.
  """
  check(spec, alpha, holes, completer, critic)
  how = {"dtype": jnp.dtype(dtype)}
  net = Completer(spec.shape[-1], **dataclasses.asdict(completer), **how)
  judge = Critics(**dataclasses.asdict(critic), **how)
  parts = Parts(spec, net, judge, holes, jnp.promote_types(dtype, jnp.float32))

  def phase(*order, weight=0.0):
    """The game in which these move."""
    losses = {
      "generator": (partial(generator_loss, parts, weight), generator_optimizer),
      "critic": (partial(critic_loss, parts), critic_optimizer),
    }
    players = {
      name: Player(minimise(name, loss, optimizer.accumulate), optimizer.make())
      for name, (loss, optimizer) in losses.items()
      if alpha or name == "generator"
    }
    return game(
      players,
      partial(init_players, parts, alpha),
      order=tuple((name, 1) for name in order),
      ema={"generator": ema} if ema else {},
      evaluate=partial(evaluate, parts),
      observe=partial(observe, parts),
      transform=partial(transform, parts, sample.blend),
      cond=(holes.field,) if holes.field else (),
      stride=2 ** (len(completer.widths) - 1),
    )

  first = phase("generator")
  if not alpha:
    return single(first)
  second, last = resting(phase("critic")), phase("critic", "generator", weight=alpha)
  # A copy: the two stages' states are kept side by side, and the later one is donated.
  carry = lambda previous, fresh: jax.tree.map(jnp.copy, previous[-1])
  stages = (
    Stage(first), Stage(second, carry=carry, release=(0,)), Stage(last, carry=carry, release=(1,))
  )  # fmt: skip
  return Program(stages, over_states(last))


def resting(model: Model) -> Model:
  """The game without a change of its averages: the players that have them do not move."""

  def update(state, batch, key, step):
    after, metrics = model.update(state, batch, key, step)
    return {**after, "ema": state["ema"], "updates": state["updates"]}, metrics

  return model._replace(update=update)


def check(
  spec: Spec, alpha: float, holes: Holes, completer: CompleterNet, critic: CriticNet
) -> None:  # fmt: skip
  """Refuses data that are not grey or RGB images, and holes and networks that do not fit them."""
  require_images(spec, "completion")
  smallest = min(spec.shape[:2])
  if spec.shape[-1] not in (1, 3):
    raise UserError(f"completion is of grey and RGB images, not of {spec.shape[-1]} channels")
  if holes.field:
    given = spec.fields.get(holes.field)
    if given is None or given.shape != spec.shape[:2]:
      raise UserError(
        f"model.holes.field={holes.field!r} must be a field of the data of {spec.shape[0]}x"
        f"{spec.shape[1]} numbers; they have {', '.join(spec.fields) or 'none'}"
      )
  elif not holes.low <= holes.high < smallest:
    raise UserError(
      f"model.holes.low={holes.low} must be at most model.holes.high={holes.high}, and that below"
      f" the image's {smallest} pixels"
    )
  if not completer.widths:
    raise UserError("model.completer.widths must have 1 or more entries")
  halved = len(completer.widths) - 1
  require_multiples(spec, 2**halved, f"model.completer.widths halve an image {halved} times")
  if not alpha:
    return
  scale = 2 ** len(critic.whole)
  require_multiples(spec, scale, f"model.critic.whole halves an image {len(critic.whole)} times")
  if critic.patch > smallest or critic.patch % 2 ** len(critic.local):
    raise UserError(
      f"model.critic.patch={critic.patch} must be at most the image's {smallest} pixels and a"
      f" multiple of {2 ** len(critic.local)}, as model.critic.local halves it"
      f" {len(critic.local)} times"
    )
