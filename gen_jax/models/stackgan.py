"""StackGAN: pictures from captions, small ones first (Zhang et al. 2017, arXiv:1612.03242).

  text       t = sqrt(E) v(caption), of encoders learnt beforehand and frozen       (`models.pairs`)
             or, with `whiten`, v with all its directions varying alike         (`models.whitening`)
  condition  c = mu(t) + sigma(t) eps,  eps ~ N(0, I)                                (section 3.2)
  stage I    s = G_1(z, c_1), at half the resolution                                      (eq. 3-4)
  stage II   y = G_2(s, c_2), G_1 frozen                                                  (eq. 5-6)
  critic     -log D(x, t) - 1/2 (log(1 - D(x, t~)) + log(1 - D(y, t)))
               + gamma ||grad_x D(x, t)||^2 / 2
  generator  -log D(y, t) + kl KL(N(mu, sigma^2) || N(0, I))

in each stage. t~ is the caption of another picture of the batch, or (`wrong="word"`) the picture's
own with one word of the other's: critics that have to tell those apart look at what each word says.
Where t~ is t by accident, the pair is left out. The critic takes t by an inner product (Miyato &
Koyama 2018), and so never moves what makes c.

Unlike the source's: the text encoder is learnt here, normalisation is of each example and the
critic's place is taken by a penalty, mu and log sigma^2 are linear in t, and stage II adds to the
enlarged picture (`skip`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

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
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.losses.adversarial import LOSSES, matching_critic
from gen_jax.losses.kl import standard_kl
from gen_jax.losses.penalties import Penalties, penalise
from gen_jax.models.common import field_of, require_images, require_multiples, scaling
from gen_jax.models.painters import GeneratorNet, Painter, first_painter, second_painter
from gen_jax.models.pairs import Encoders, Pairs, pairs_of, wrong_captions
from gen_jax.models.whitening import no_whitening, white, zca
from gen_jax.nets import gan
from gen_jax.nets.superres import enlarge
from gen_jax.schema import Count, Decay, Dtype, NonNegative, builder

ADAM = Optimizer(learning_rate=2e-4, b1=0.5)
ENCODERS, FIRST = 0, 1  # the stages before the last


@dataclasses.dataclass(frozen=True)
class Sampler:
  """What is drawn: the pictures of stage 2, or of stage 1, enlarged by the bicubic."""

  stage: Literal[1, 2] = 2


@dataclasses.dataclass(frozen=True)
class CriticNet:
  """Both critics' networks: channels of their convolutions, which halve a picture, in stage I and
  II, and the dense layers behind them."""

  first: tuple[Count, ...] = (64, 128)
  second: tuple[Count, ...] = (64, 128, 256)
  hidden: tuple[Count, ...] = (128,)


class Task(NamedTuple):
  """What both players' losses are made of, in one stage.

  scaled: x in grey levels -> in [-1, 1].
  text: (what is frozen, captions [B, T]) -> t [B, E].
  kept: what is frozen besides the encoders, until the stage before says what it is.
  wrong: (key, captions [B, T], mask) -> wrong ones, and which are, as `wrong_captions` has them.
  kl: weight of the divergence.
  real: type of what is drawn.
  """

  painter: Painter
  critic: gan.Critic
  scaled: Callable[[Array], Array]
  text: Callable[[PyTree, Array], Array]
  kept: dict
  wrong: Callable[[Array, Array, Array | None], tuple[Array, Array]]
  penalties: Penalties
  kl: float
  real: jnp.dtype

  def draw(self, key: Array, n: int) -> Array:
    """e [n, size]."""
    return jax.random.normal(key, (n, self.painter.size), self.real)


def critic_loss(task: Task, params, mutable, batch, key, step):
  """As `learn.game.minimise` takes it."""
  del step
  frozen, mask, captions = mutable["generator"], batch.get("mask"), batch["caption"]
  draw_key, penalty_key, wrong_key = jax.random.split(key, 3)
  wrong, mismatched = task.wrong(wrong_key, captions, mask)
  x, text = task.scaled(batch["x"]), task.text(frozen, captions)
  y, *_ = task.painter.paint(params["generator"], frozen, task.draw(draw_key, len(x)), text)
  score = lambda x, text: task.critic.apply({"params": params["critic"]}, x, text)
  # What is computed of x alone is computed once for both texts.
  both = jnp.stack([text, task.text(frozen, wrong)])
  on_real, on_wrong = jax.vmap(score, in_axes=(None, 0))(x, both)
  on_fake = score(jax.lax.stop_gradient(y), text)
  penalty, terms = penalise(task.penalties, lambda x: score(x, text), penalty_key, x, y, mask)
  value = matching_critic(on_real, on_wrong, on_fake, mismatched) + penalty
  counted = mismatched if mask is None else mismatched & mask
  logits = {
    "critic_on_real": on_real,
    "critic_on_wrong": masked_mean(on_wrong, counted),
    "critic_on_fake": on_fake,
  }
  return value, (mutable["critic"], logits | terms)


def generator_loss(task: Task, params, mutable, batch, key, step):
  """As `learn.game.minimise` takes it."""
  del step
  frozen = mutable["generator"]
  text, e = task.text(frozen, batch["caption"]), task.draw(key, len(batch["x"]))
  y, mean, log_var = task.painter.paint(params["generator"], frozen, e, text)
  on_fake = task.critic.apply({"params": params["critic"]}, y, text)
  kl = standard_kl(mean, log_var)
  value = LOSSES["ns"].generator(on_fake, on_fake) + task.kl * kl
  return value, (frozen, {"condition_kl": kl})


@builder
def build(
  spec: Spec,
  *,
  encoders: Encoders = Encoders(),
  latent: Count = 100,
  condition: Count = 128,
  kl: NonNegative = 2 / 128,
  generator: GeneratorNet = GeneratorNet(),
  critic: CriticNet = CriticNet(),
  wrong: Literal["caption", "word"] = "caption",
  whiten: bool = False,
  penalties: Penalties = Penalties(r1=1.0),
  dtype: Dtype = "float32",
  ema: Decay = 0.999,
  optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  critic_optimizer: Optimizer = ADAM,
  generator_optimizer: Optimizer = ADAM,
  sample: Sampler = Sampler(),
) -> Program:
  """StackGAN of square images [R, R, C] with captions, in three stages: the encoders, pictures of
  half the resolution, and those of the whole one.

  The data must be of a source that takes `data.resolution`. The latent is all that is drawn for a
  picture: z, and eps of each stage's c. `embed` gives a picture and its caption as the encoders see
  them. `evaluate` gives critic_on_real, critic_on_fake, logits of x and of one y with the caption,
  and condition_kl in nats.

  Args:
    spec: of the data, at the whole resolution.
    encoders: of pictures and captions.
    latent: Z.
    condition: numbers of c.
    kl: weight of the divergence, a sum over c. The source's code has 2, and a mean over 128.
    generator, critic: their networks.
    wrong: whether the critic's wrong captions are those of other pictures, as in the source, or the
      picture's own but for one word of the other's, which is for captions in which each word
      counts: "a" for "the" would be called wrong.
    whiten: the captions' vectors, by their moments at the end of the encoders' stage: so that what
      one word says counts as much as what another does.
    penalties: on the critic, each with its weight.
    dtype: of the networks' computation.
    ema: decay of the average of a generator's parameters, which samples come from and stage II goes
      on with.
    optimizer: of the encoders.
    critic_optimizer, generator_optimizer: of stage I, and again of stage II.
    sample: see there.

  Raises:
    UserError: if the data are no square images with captions, or the networks do not fit them.
  """
  check(spec, encoders, generator, critic)
  size = spec.shape[0]
  half = spec._replace(x=spec.x._replace(shape=(size // 2, size // 2, spec.shape[-1])))
  pairs = pairs_of(spec, encoders, optimizer, dtype, moments=whiten)
  first = first_painter(half.shape, encoders.embedding, latent, condition, generator, dtype)
  second = second_painter(first, spec.shape, encoders.embedding, condition, generator, dtype)
  players = {"critic": critic_optimizer, "generator": generator_optimizer}
  real = jnp.promote_types(dtype, jnp.float32)

  def stage_of(own, painter, widths, before=None):
    net = gan.Critic(widths, hidden=critic.hidden, projection=True, dtype=jnp.dtype(dtype))
    scaled = scaling(own, real, centre)
    wrongs = partial(wrong_captions, word=wrong == "word")
    task = Task(painter, net, scaled, text_of, kept, wrongs, penalties, kl, real)
    return stage_model(own, task, pairs, players, ema, before, sample.stage)

  def text_of(known, captions):
    v = pairs.text(known["pairs"], captions)
    return white(v, known["white"]) if whiten else math.sqrt(encoders.embedding) * v

  kept = {"white": no_whitening(encoders.embedding, real)} if whiten else {}
  low, high = stage_of(half, first, critic.first), stage_of(spec, second, critic.second, first)

  def after_encoders(previous, fresh):
    before = previous[ENCODERS]
    how = {"white": zca(before["mutable"]["encoders"])} if whiten else {}
    return with_frozen(fresh, pairs=averaged(before, "encoders"), **how)

  def after_first(previous, fresh):
    before = previous[FIRST]
    return with_frozen(fresh, **before["mutable"]["generator"], first=averaged(before, "generator"))

  stages = (
    Stage(pairs.model),
    Stage(low, data={"resolution": size // 2}, carry=after_encoders, release=(ENCODERS,)),
    Stage(high, carry=after_first, release=(FIRST,)),
  )
  return Program(stages, over_states(high))


def with_frozen(fresh: PyTree, **kept: PyTree) -> PyTree:
  """A fresh state whose generator keeps, and never changes, parameters of earlier stages."""
  # A copy: two states must not share what a step donates.
  kept = jax.tree.map(jnp.copy, kept)
  return {**fresh, "mutable": {**fresh["mutable"], "generator": kept}}


def stage_model(
  spec: Spec, task: Task, pairs: Pairs, players: dict[str, Optimizer], ema: float,
  before: Painter | None = None, shown: int = 2,
) -> Model:  # fmt: skip
  """The game of one stage.

  before: the painter of the stage before; None in stage I.
  shown: which of the two stages' pictures are drawn.
  """
  painter, critic = task.painter, task.critic
  small = before is not None and shown == 1

  def init(key, batch):
    g_key, c_key, p_key, b_key = jax.random.split(key, 4)
    known = {"pairs": pairs.init(p_key), **task.kept}
    if before is not None:
      known["first"] = before.init(b_key)
    x, text = task.scaled(batch["x"][:1]), task.text(known, batch["caption"][:1])
    params = {"generator": painter.init(g_key), "critic": critic.init(c_key, x, text)["params"]}
    return params, {"generator": known, "critic": {}}

  def prior(state, keys, cond=None):
    del state, cond
    return jax.vmap(lambda key: task.draw(jax.random.fold_in(key, 0), 1)[0])(keys)

  def text_of(state, cond):
    return task.text(state["mutable"]["generator"], field_of(cond, "caption"))

  def painted(state, e, text):
    """Pictures in [-1, 1], and mu and log sigma^2 of their condition."""
    return painter.paint(averaged(state, "generator"), state["mutable"]["generator"], e, text)

  def drawn(state, e, cond):
    """Pictures in [-1, 1], of the stage that is shown."""
    text = text_of(state, cond)
    if not small:
      return painted(state, e, text)[0]
    first = state["mutable"]["generator"]["first"]
    return enlarge(before.paint(first, {}, e[:, : before.size], text)[0], 2)

  def evaluate(state, batch, keys):
    text = text_of(state, batch)
    y, mean, log_var = painted(state, prior(state, keys), text)
    score = lambda x: critic.apply({"params": state["params"]["critic"]}, x, text)
    return {
      "critic_on_real": score(task.scaled(batch["x"])),
      "critic_on_fake": score(y),
      "condition_kl": standard_kl(mean, log_var),
    }

  def embed(state, x, keys=None, cond=None):
    del keys
    known = state["mutable"]["generator"]["pairs"]
    return pairs.image(known, x), pairs.text(known, field_of(cond, "caption"))

  losses = {"critic": critic_loss, "generator": generator_loss}

  def player(name, how):
    return Player(minimise(name, partial(losses[name], task), how.accumulate), how.make())

  return game(
    {name: player(name, how) for name, how in players.items()},
    init,
    order=(("critic", 1), ("generator", 1)),
    ema={"generator": ema} if ema else {},
    evaluate=evaluate,
    prior=prior,
    decode=lambda state, e, cond=None: (drawn(state, e, cond) + 1) / 2 * (spec.levels - 1),
    sample=lambda state, keys, cond=None: quantize(
      drawn(state, prior(state, keys), cond), spec.levels
    ),
    # The encoders have seen pictures of the whole resolution.
    embed=None if before is None else embed,
    cond=("caption",),
  )


def check(spec: Spec, encoders: Encoders, generator: GeneratorNet, critic: CriticNet) -> None:
  """Refuses data that are no square images, and networks that do not fit them.

  Raises:
    UserError: in one line.
  """
  require_images(spec, "stackgan")
  if spec.shape[0] != spec.shape[1]:
    raise UserError(f"stackgan needs square images, not {spec.shape[0]}x{spec.shape[1]}")
  nets = {
    "generator.first": (generator.first, 1 + len(generator.first)),
    "generator.second": (generator.second, len(generator.second)),
    "critic.first": (critic.first, 1 + len(critic.first)),
    "critic.second": (critic.second, len(critic.second)),
    "encoders.widths": (encoders.widths, len(encoders.widths)),
  }
  for name, (widths, halvings) in nets.items():
    if not widths:
      raise UserError(f"model.{name} must have 1 or more entries, not ()")
    require_multiples(spec, 2**halvings, f"model.{name}={widths} halves an image {halvings} times")
