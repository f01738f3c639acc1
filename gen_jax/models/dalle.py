"""DALL-E: pictures from captions, as one sequence of words and codes (Ramesh et al. 2021,
arXiv:2102.12092).

  stage 1    codes z [h, w] of a picture, by a VQ-VAE                                (models.vqvae)
  stage 2    -log p(y, z) = -sum_i log p(y_i | y_<i) - sum_j log p(z_j | y, z_<j)    of words y of
             the caption and the codes z, by one causal transformer; learnt by
             (text + w codes) / (1 + w), means over words and over codes, w = 7       (section 2.2)
  stage 3    encoders of pictures and captions, learnt by telling which belong together
                                                                (models.pairs; CLIP's part, 2.3)
  sample     x = D(z),  z ~ p(z | y);  of k such the one that is most like y in stage 3
  guidance   logits l_0 + g (l_y - l_0), with l_0 those without the caption, which is hidden in some
             of the training            (Ho & Salimans 2022; Crowson's form for transformers)

Unlike the source's: words instead of byte pairs, full attention, and a VQ-VAE by default where the
source has a relaxed discrete VAE.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax import lax

from gen_jax.core import Array, Model, Program, Spec, Stage, UserError, fold_all
from gen_jax.learn.game import Player, averaged, game, minimise
from gen_jax.learn.optimizer import Optimizer
from gen_jax.models import autoregressive
from gen_jax.models.autoregressive import Steps, check, drawer
from gen_jax.models.common import field_of, require_captions
from gen_jax.models.discrete import FirstStage, first_stage
from gen_jax.models.pairs import Encoders, Pairs, pairs_of
from gen_jax.models.transformer import fitting, rooms_of
from gen_jax.models.vqvae import Transformer, two_stages
from gen_jax.nets.dalle import TextTransformer
from gen_jax.nets.text import PAD
from gen_jax.schema import Count, Decay, Dtype, NonNegative, builder

CODES, JOINT, MATCHING = range(3)  # the stages


@dataclasses.dataclass(frozen=True)
class Sampler(autoregressive.Sampler):
  """How pictures are drawn.

  guidance: g; 1 is none, and 0 takes no notice of the caption.
  candidates: k.
  """

  guidance: NonNegative = 1.0
  candidates: Count = 1


class Joint(NamedTuple):
  """The transformer of words and codes.

  net: see `TextTransformer`.
  name: of its player.
  dropout: share of captions that are hidden in training.
  weight: w, of the codes.
  """

  net: TextTransformer
  name: str
  dropout: float
  weight: float


@builder
def build(
  spec: Spec,
  *,
  vqvae: FirstStage = FirstStage(),
  transformer: Transformer = Transformer(),
  caption_dropout: Decay = 0.1,
  image_weight: NonNegative = 7.0,
  clip: bool = True,
  encoders: Encoders = Encoders(),
  clip_optimizer: Optimizer = Optimizer(learning_rate=1e-3),
  dtype: Dtype = "float32",
  sample: Sampler = Sampler(),
) -> Program:
  """Images [H, W, C] of integer levels from captions, in three stages, or two without `clip`.

  `encode` gives codes [B, h, w]; `prior` draws them given `caption`, or without one where captions
  are hidden in training; `decode` gives images. `evaluate` is that of `models.vqvae`'s first stage;
  nats_per_code, -log p(z | y) / (h w); nats_per_caption, -log p(y) without the first token, which
  is given, and the padding; nats_per_word, that for each token; and with `clip` what `models.pairs`
  evaluates. `embed` is of the encoders.

  Args:
    spec: of the data.
    vqvae: of stage 1; see `models.vqvae.build`.
    transformer: of stage 2.
    caption_dropout: share of captions that are hidden in training, of which none is learnt.
    image_weight: w.
    clip: whether there is a stage 3.
    encoders, clip_optimizer: of stage 3.
    dtype: of the networks' computation.
    sample: how pictures are drawn.

  Raises:
    UserError: if the data are no images with captions, or options do not fit them or each other.
  """
  field = require_captions(spec, "dalle")
  first, shape, *_ = first_stage(spec, vqvae, dtype)
  code_spec = Spec.of((*shape, 1), vqvae.size, caption=field)
  check_options(code_spec, transformer, caption_dropout, clip, sample)
  t, length, prefix = transformer, math.prod(shape), field.shape[0]
  net = TextTransformer(
    vqvae.size, length, t.width, t.layers, t.heads, t.dropout, classes=field.levels + 1,
    dtype=jnp.dtype(dtype), words=field.levels, prefix=prefix, grid=vqvae.grid,
  )  # fmt: skip
  joint = Joint(net, "transformer", caption_dropout, image_weight)
  second = joint_model(joint, code_spec, t.optimizer, t.ema, sample)
  program = two_stages(first, second, spec, shape)

  def evaluate(states, batch, keys):
    seen = program.stages[JOINT].view(states, batch)
    terms = first.evaluate(states[CODES], batch, keys)
    return terms | second.evaluate(states[JOINT], seen, keys)

  model = program.model._replace(evaluate=evaluate)
  stages = (program.stages[CODES], program.stages[JOINT]._replace(so_far=model))
  if not clip:
    return Program(stages, model)
  pairs = pairs_of(spec, encoders, clip_optimizer, dtype)
  whole = with_encoders(model, pairs, sample.candidates)
  return Program((*stages, Stage(pairs.model)), whole)


def joint_model(
  joint: Joint, spec: Spec, optimizer: Optimizer, ema: float, sample: Sampler
) -> Model:
  """What learns the transformer of codes [h, w, 1] = spec.shape and their captions."""
  net, name, nothing = joint.net, joint.name, joint.net.words
  each = net.lead + net.length
  memory = 2 * net.layers * each * net.width * jnp.dtype(net.dtype).itemsize
  steps = Steps(
    lambda variables, n, caption: net.apply(variables, caption, method="begin"),
    *autoregressive.steps_of(net)[1:],
  )
  if sample.guidance != 1:
    steps, memory = guided(steps, sample.guidance, nothing), 2 * memory
  draw = drawer(steps, net.length, sample, rooms_of(net.length), fitting(memory))

  def init(key, batch):
    x, caption = sequence(batch["x"][:1], spec), batch["caption"][:1]
    return {name: net.init(key, x, caption)["params"]}, {name: {}}

  def loss(params, mutable, batch, key, step):
    del step
    hide_key, dropout_key = jax.random.split(key)
    x, caption = sequence(batch["x"], spec), batch["caption"]
    hidden = jax.random.bernoulli(hide_key, joint.dropout, (len(x), 1))
    how = {"train": True, "rngs": {"dropout": dropout_key}}
    logits = net.apply({"params": params[name]}, x, jnp.where(hidden, nothing, caption), **how)
    words, count, codes = nats(*logits, x, caption)
    text = jnp.where(hidden[:, 0], 0, words) / (count * (1 - joint.dropout))
    code = codes / net.length
    value = (text + joint.weight * code) / (1 + joint.weight)
    return value, (mutable[name], {"nats_per_word": text, "nats_per_code": code})

  def evaluate(state, batch, keys):
    """nats_per_code, nats_per_caption and nats_per_word."""
    del keys
    x, caption = sequence(batch["x"], spec), batch["caption"]
    logits = net.apply({"params": averaged(state, name)}, x, caption)
    words, count, codes = nats(*logits, x, caption)
    return {
      "nats_per_code": codes / net.length,
      "nats_per_caption": words,
      "nats_per_word": words / count,
    }

  def drawn(state, keys, cond=None):
    if cond is None and joint.dropout:
      caption = jnp.full((keys.shape[0], net.prefix), nothing)
    else:
      caption = field_of(cond, "caption")
    x = draw({"params": averaged(state, name)}, keys, caption)
    return x.reshape(-1, *spec.shape)

  return game(
    {name: Player(minimise(name, loss, optimizer.accumulate), optimizer.make())},
    init,
    ema={name: ema} if ema else {},
    evaluate=evaluate,
    sample=drawn,
    cond=("caption",),
  )


def sequence(x: Array, spec: Spec) -> Array:
  """Codes [B, h, w, 1] in raster order [B, T]."""
  chex.assert_shape(x, (None, *spec.shape))
  return x.reshape(len(x), -1).astype(jnp.int32)


def nats(words: Array, codes: Array, x: Array, caption: Array) -> tuple[Array, Array, Array]:
  """(-log p of a caption [B], of how many tokens it is (1 at least), -log p of the codes [B]).

  Args:
    words: logits [B, P - 1, V] of the caption's tokens after the first.
    codes: logits [B, T, K].
    x: codes [B, T].
    caption: [B, P]; padding is not counted.
  """
  cross_entropy = optax.softmax_cross_entropy_with_integer_labels
  target = caption[:, 1:]
  seen = target != PAD
  # Any word but the padding, whose probability is 0.
  of_words = cross_entropy(words, jnp.where(seen, target, PAD + 1))
  text = jnp.where(seen, of_words, 0).sum(1)
  return text, jnp.maximum(seen.sum(1), 1), cross_entropy(codes, x).sum(1)


def guided(steps: Steps, g: float, nothing: int) -> Steps:
  """The same with logits l_0 + g (l_y - l_0), l_0 those of captions [n, P] of `nothing`."""

  def both(caption):
    return jnp.concatenate([caption, jnp.full_like(caption, nothing)])

  def step(variables, cache, i, before, caption):
    twice = jnp.concatenate([before, before])
    logits, cache = steps.step(variables, cache, i, twice, both(caption))
    told, untold = jnp.split(logits, 2)
    return untold + g * (told - untold), cache

  start = lambda variables, n, caption: steps.start(variables, 2 * n, both(caption))
  return Steps(start, steps.grow, step)


def with_encoders(model: Model, pairs: Pairs, candidates: int) -> Model:
  """The model with the encoders of stage 3, by which it chooses among candidates."""

  def evaluate(states, batch, keys):
    return model.evaluate(states, batch, keys) | pairs.model.evaluate(states[MATCHING], batch, keys)

  def embed(states, x, keys=None, cond=None):
    return pairs.model.embed(states[MATCHING], x, keys, cond)

  def sample(states, keys, cond=None):
    if candidates == 1:
      return model.sample(states, keys, cond)

    def score(x):
      u, v = embed(states, x, None, cond)
      return (u * v).sum(-1)

    field_of(cond, "caption")
    return best_of(candidates, keys, lambda keys: model.sample(states, keys, cond), score)

  return model._replace(evaluate=evaluate, embed=embed, sample=sample)


def best_of(k: int, keys: Array, draw: Callable, score: Callable) -> Array:
  """Of k candidates for each of n samples the one of the highest score, the first where they tie.

  Candidate j of sample i is drawn by fold_in(key_i, j).

  Args:
    k: how many.
    keys: [n].
    draw: keys [n] -> x [n, ...].
    score: x [n, ...] -> [n].
  """

  def candidate(j):
    x = draw(fold_all(keys, j))
    return x, score(x)

  x, scores = lax.map(candidate, jnp.arange(k))
  best = scores.argmax(0)
  return jax.vmap(lambda x, j: x[j], in_axes=(1, 0))(x, best)


def check_options(
  spec: Spec, transformer: Transformer, dropout: float, clip: bool, sample: Sampler
) -> None:
  """Refuses options that do not fit the codes, spec, or each other.

  Raises:
    UserError: in one line.
  """
  if transformer.width % transformer.heads:
    raise UserError(
      f"model.transformer.heads={transformer.heads} must divide its width={transformer.width}"
    )
  check(spec, False, sample)
  if sample.guidance != 1 and not dropout:
    raise UserError(
      f"sample.guidance={sample.guidance} needs a model that was trained without captions too, with"
      " model.caption_dropout above 0: leave it 1"
    )
  if sample.candidates > 1 and not clip:
    raise UserError("sample.candidates are chosen by the encoders of model.clip=True: leave it 1")
